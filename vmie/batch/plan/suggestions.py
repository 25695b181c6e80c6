"""What was probably meant: the nearest field, value or key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from pydantic import BaseModel

from vmie.batch.plan.schema import Common, ItemModel, LimitsModel, PlanModel, spelled

#: what people call things elsewhere
_GUESSES: Mapping[str, str] = {
    "account": "profile",
    "accelerated": "accelerate",
    "ami_name": "register",
    "arch": "architecture",
    "az": "availability_zone",
    "batch": "wave",
    "boot": "boot_mode",
    "client_token": "",
    "comment": "description",
    "concurrency": "limits",
    "credentials": "profile",
    "depends": "after",
    "depends_on": "after",
    "disk": "source",
    "disk_format": "format",
    "disks": "source",
    "encrypt": "encrypted",
    "exclude": "except",
    "file": "source",
    "files": "source",
    "firmware": "boot_mode",
    "groups": "security_groups",
    "id": "key",
    "image": "source",
    "image_name": "name",
    "images": "source",
    "instance": "source",
    "jobs": "items",
    "key_id": "kms_key",
    "keypair": "",
    "kms": "kms_key",
    "kms_key_id": "kms_key",
    "label": "queue",
    "labels": "tags",
    "licence": "license_type",
    "licence_type": "license_type",
    "licences": "license_configurations",
    "license": "license_type",
    "license_configuration": "license_configurations",
    "licenses": "license_configurations",
    "machines": "items",
    "needs": "after",
    "operating_system": "platform",
    "order": "wave",
    "os": "platform",
    "os_type": "platform",
    "output": "download",
    "parallel": "limits",
    "path": "source",
    "paths": "source",
    "phase": "wave",
    "priority": "wave",
    "requires": "after",
    "role": "role_name",
    "s3_bucket": "bucket",
    "s3_key": "prefix",
    "s3_prefix": "prefix",
    "security_group": "security_groups",
    "sg": "security_groups",
    "shutdown": "shutdown_behavior",
    "size": "volume_size",
    "skip": "skip_check",
    "stage": "wave",
    "subnet_id": "subnet",
    "tag": "tags",
    "target_environment": "target",
    "type": "route",
    "url": "source",
    "userdata": "user_data",
    "vm": "source",
    "vms": "items",
    "zone": "availability_zone",
}
#: values as other tools call them
_VALUES: Mapping[str, str] = {
    "amd64": "x86_64",
    "ami": "image",
    "bios": "legacy-bios",
    "ebs": "snapshot",
    "efi": "uefi",
    "hyper-v": "microsoft",
    "i686": "i386",
    "img": "raw",
    "legacy": "legacy-bios",
    "vhdx": "vhd",
    "vsphere": "vmware",
    "win": "Windows",
    "x64": "x86_64",
    "x86": "i386",
    "x86-64": "x86_64",
    "xen": "citrix",
}


def unknown(name: str, model: type[BaseModel]) -> str:
    """The sentence for a field that there is not."""
    plain = name.lower().replace("-", "_").replace(" ", "_")
    known = spelled(model)
    guess = _GUESSES.get(plain, "")
    if plain not in known and guess not in known:
        guess = next(iter(get_close_matches(plain, known, n=1, cutoff=0.7)), guess)
    elif plain in known:
        guess = plain
    if guess in known:
        return f"there is no such field; did you mean {guess}?"
    for other, where in ((PlanModel, "the top of the file"), (LimitsModel, "`limits`"), (Common, "an item")):
        if {plain, guess} & set(spelled(other)) and other is not model:
            meant = plain if plain in spelled(other) else guess
            return f"there is no such field here; {meant} is a field of {where}"
    if model is not ItemModel and {plain, guess} & set(spelled(ItemModel)):
        return f"there is no such field here; {plain if plain in spelled(ItemModel) else guess} is a field of an item"
    return "there is no such field"


def value(given: object, choices: Iterable[str]) -> str:
    """``; did you mean uefi?`` for a value that is not among `choices`, or "" """
    known = {choice.lower(): choice for choice in choices}
    text = str(given).strip().lower().replace("_", "-")
    meant = _VALUES.get(text, text)
    for one in (meant, text.replace("-", "_"), meant.lower()):
        if one.lower() in known:
            return f"; did you mean {known[one.lower()]}?"
    near = get_close_matches(text, known, n=1)
    return f"; did you mean {known[near[0]]}?" if near else ""


def name(given: str, known: Iterable[str]) -> str:
    """``; did you mean web-1?`` for a key that is none, or "" """
    near = get_close_matches(given, list(known)[:5000], n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ""
