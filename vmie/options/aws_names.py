"""The shapes that AWS gives its names and numbers, as far as they can be judged without asking it.

Each function takes a text and gives it back, tidied where that is clear, or raises ValueError with
what is wrong with it and, where that is not plain, what is wanted.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping

from vmie.limits import TAGS_PER_RESOURCE

#: area, sometimes a part of it, and a direction: holds for Regions that are yet to come
_DIRECTIONS = "north|northeast|east|southeast|south|southwest|west|northwest|central"
_REGION = re.compile(rf"[a-z]{{2,4}}(-[a-z]{{2,5}})?-({_DIRECTIONS})-[1-9][0-9]?")
_ZONE = re.compile(rf"{_REGION.pattern}([a-z]|(-[a-z0-9]+)+-[1-9][0-9]?[a-z])")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET_BEGINS = ("xn--", "sthree-", "amzn-s3-demo-")
_BUCKET_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_ROLE = re.compile(r"[A-Za-z0-9+=,.@_-]{1,64}")
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY = rf"({_UUID}|mrk-[0-9a-f]{{32}})"
_ALIAS = r"alias/[A-Za-z0-9/_-]{1,250}"
_KMS_ARN = re.compile(rf"arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):[0-9]{{12}}:(key/{_KEY}|{_ALIAS})")
_KMS = re.compile(rf"{_KEY}|{_ALIAS}")
_LICENSE = re.compile(
    r"arn:aws[a-z-]*:license-manager:(?P<region>[a-z0-9-]+):[0-9]{12}:license-configuration[:/]lic-[0-9a-f]+"
)
_SUBNET = re.compile(r"subnet-[0-9a-f]{8}([0-9a-f]{9})?")
_SNAPSHOT = re.compile(r"snap-[0-9a-f]{8}([0-9a-f]{9})?")
_GROUP_ID = re.compile(r"sg-[0-9a-f]{8}([0-9a-f]{9})?")
_PROFILE = re.compile(r"[\w+=,.@-]{1,128}|arn:aws[a-z-]*:iam::\d{12}:instance-profile/[\w+=,.@/-]{1,512}", re.ASCII)
_INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/billing-info-fields.html
_USAGE = re.compile(r"RunInstances(:[0-9a-zA-Z]{4})?")
#: what no name of AWS may hold and no database keeps; line breaks and tabs are judged with the YAML
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")

TAG_KEY, TAG_VALUE = 128, 256
_TOKEN = re.compile(r"[\x21-\x7e]{1,64}")
_AMI_NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
_RATE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMG]?)(?:i?B)?(?:/s)?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

#: the tag that every task and result of a job bears
OURS = "vmie:job"


def clean(text: str) -> str:
    """Without characters that cannot be kept or shown."""
    if found := _CONTROL.search(text):
        raise ValueError(f"holds the character U+{ord(found[0]):04X}, which no name may")
    return text


def region(text: str) -> str:
    """An AWS Region."""
    if not _REGION.fullmatch(text):
        zone = text[:-1] if _ZONE.fullmatch(text) else ""
        hint = f"that is a zone of {zone}" if _REGION.fullmatch(zone) else "such as eu-central-1"
        raise ValueError(f"{text!r} is no AWS Region", hint)
    return text


def zone(text: str) -> str:
    """An Availability Zone or Local Zone."""
    if not _ZONE.fullmatch(text):
        raise ValueError(f"{text!r} is no Availability Zone", "such as eu-central-1a")
    return text


def bucket(text: str) -> str:
    """The name of a bucket; ``s3://`` before it is taken off."""
    name = text.removeprefix("s3://").rstrip("/")
    if "/" in name:
        raise ValueError(f"{text!r} is more than a bucket", "give the rest as `prefix`")
    if name.startswith("arn:"):
        raise ValueError(f"{text!r} is an ARN", "give the bucket's name")
    if not _BUCKET.fullmatch(name) or ".." in name or re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name):
        raise ValueError(
            f"{text!r} is no bucket's name",
            "3 to 63 lower-case letters, digits, dots and hyphens, no address, a letter or digit first and last",
        )
    if name.startswith(_BUCKET_BEGINS) or name.endswith(_BUCKET_ENDS):
        raise ValueError(f"{text!r}: S3 reserves names that begin or end like this", "choose another bucket")
    return name


def role(text: str) -> str:
    """The name of a role."""
    if text.startswith("arn:"):
        raise ValueError(f"{text!r} is an ARN", "give the role's name, what follows the last /")
    if not _ROLE.fullmatch(text):
        raise ValueError(f"{text!r} is no role's name", "1 to 64 letters, digits and +=,.@_-")
    return text


def kms_key(text: str) -> str:
    """A KMS key: its id, an alias, or the ARN of either."""
    found = _KMS_ARN.fullmatch(text)
    if not (found or _KMS.fullmatch(text)):
        raise ValueError(f"{text!r} is no KMS key", "give a key's id, alias/NAME, or the ARN of either")
    if found:
        region(found["region"])
    return text


def license_configuration(text: str) -> str:
    """The ARN of a licence configuration."""
    found = _LICENSE.fullmatch(text)
    if not found:
        raise ValueError(
            f"{text!r} is no licence configuration",
            "arn:aws:license-manager:REGION:ACCOUNT:license-configuration:lic-…",
        )
    region(found["region"])
    return text


def region_of_arn(text: str) -> str:
    """The Region in the ARN of a key or a licence configuration; "" for what is no ARN."""
    found = _KMS_ARN.fullmatch(text) or _LICENSE.fullmatch(text)
    return found["region"] if found else ""


def usage_operation(text: str) -> str:
    """What a usage operation looks like."""
    if not _USAGE.fullmatch(text):
        raise ValueError(f"{text!r} is no usage operation", "such as RunInstances:0800")
    return text


def subnet(text: str) -> str:
    """A subnet's id."""
    if not _SUBNET.fullmatch(text):
        raise ValueError(f"{text!r} is no subnet", "such as subnet-0123456789abcdef0")
    return text


def parent(text: str) -> str:
    """A snapshot's id, or "last" for the one that was written before."""
    if text and text != "last" and not _SNAPSHOT.fullmatch(text):
        raise ValueError(f"{text!r} is no snapshot", "give a snapshot's id, snap-…, or last")
    return text


def security_group(text: str) -> str:
    """A security group's id or name."""
    if not text or len(text) > 255 or (re.match(r"sg-[0-9a-z]", text) and not _GROUP_ID.fullmatch(text)):
        raise ValueError(f"{text!r} is no security group", "sg- with 8 or 17 hexadecimal digits, or a name")
    return text


def instance_type(text: str) -> str:
    """What an instance type looks like."""
    if not _INSTANCE_TYPE.fullmatch(text):
        raise ValueError(f"{text!r} is no instance type", "such as m3.large")
    return text


def instance_types(given: object) -> object:
    """Instance types, also several in one text: ``t3.micro,m5.large``; each once."""
    listed = (given,) if isinstance(given, str) else given
    if not isinstance(listed, list | tuple) or not all(isinstance(one, str) for one in listed):
        return given
    found = (one.strip() for text in listed for one in text.split(","))
    return tuple(dict.fromkeys(one for one in found if one))


def instance_profile(text: str) -> str:
    """An instance profile's name or ARN."""
    if not _PROFILE.fullmatch(text):
        raise ValueError(
            f"{text!r} is no instance profile", "give its name, or its ARN (arn:aws:iam::…:instance-profile/…)"
        )
    return text


def money(given: object) -> float:
    """US dollars."""
    try:
        number = float(given) if isinstance(given, str | int | float) and not isinstance(given, bool) else -1.0
    except ValueError:
        number = -1.0
    if not 0 < number <= 10_000:
        raise ValueError(f"{given!r} is no sum of money", "US dollars, such as 0.5")
    return number


def address(text: str) -> str:
    """An IPv4 address."""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError(f"{text!r} is no IPv4 address", "such as 10.0.0.9") from None


def rate(given: object) -> float:
    """Bytes per second, such as 20M, as a number."""
    if isinstance(given, str) and (found := _RATE.fullmatch(given)):
        given = float(found[1]) * _UNITS[found[2].upper()]
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < float("inf"):
        raise ValueError(f"{given!r} is no rate", "bytes per second, such as 500K, 20M or 1.5G")
    return float(given)


def client_token(text: str) -> str:
    """A token of idempotency."""
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is no token", "1 to 64 printable ASCII characters without spaces")
    return text


def ami_name(text: str) -> str:
    """The name of an AMI."""
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RegisterImage.html
    if not _AMI_NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no AMI name", "3 to 128 letters, digits, spaces and ()[]./-'@_")
    return text


def usable_class(text: str) -> str:
    """A storage class that an import can read at once: the frozen ones are named for what they are."""
    if text in ("GLACIER", "DEEP_ARCHIVE"):
        raise ValueError(
            f"{text}: EC2 could not read the object, which must be restored first", "choose STANDARD or STANDARD_IA"
        )
    return text


def volume_type(text: str) -> str:
    """A type of EBS volume that an AMI can ask for without more: its other types are named for what they need."""
    if text in ("io1", "io2"):
        raise ValueError(f"{text} needs a number of IOPS, which vmie does not set", "choose gp3, gp2 or standard")
    if text in ("st1", "sc1"):
        raise ValueError(f"{text} cannot be a boot volume", "choose gp3, gp2 or standard")
    return text


def tags(given: Mapping[str, str], *, others: int) -> Iterator[tuple[str, str]]:
    """What is wrong with tags: (key or "" for all of them, why). `others`: tags that vmie adds."""
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions
    for key, value in given.items():
        if not key:
            yield key, "a tag's key cannot be empty"
        elif key.lower().startswith("aws:"):
            yield key, "a tag's key cannot begin with aws:"
        elif key == OURS:
            yield key, "is how vmie knows its own tasks: choose another key"
        elif len(key) > TAG_KEY:
            yield key, f"a tag's key has at most {TAG_KEY} characters, this one {len(key)}"
        if len(value) > TAG_VALUE:
            yield key, f"a tag's value has at most {TAG_VALUE} characters, this one {len(value)}"
    if len(given) + others > TAGS_PER_RESOURCE.value:
        ours = f" with the {others} that vmie adds" if others else ""
        yield "", f"{len(given)} tags{ours} are more than the {TAGS_PER_RESOURCE.value} that a resource may have"
