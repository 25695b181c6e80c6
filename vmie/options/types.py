"""The types of options: a text, a list of them, a path, and what has a shape that AWS gives it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Strict, WithJsonSchema

from vmie.model import Profile, Route
from vmie.options import aws_names
from vmie.options.base import OneOf


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | set | frozenset) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _path(value: Any) -> Any:
    return str(Path(value).absolute()) if isinstance(value, str | os.PathLike) and str(value) else value


def _source(value: Any) -> Any:
    return value if isinstance(value, str) and value.startswith("s3://") else _path(value)


def _sources(value: Any) -> Any:
    return (value,) if isinstance(value, os.PathLike) else _listed(value)


def _string_or_strings(item: str = "") -> WithJsonSchema:
    one = {"type": "string", **({"pattern": item} if item else {})}
    return WithJsonSchema({"anyOf": [one, {"type": "array", "items": one}]})


#: makes a path absolute, from where the process is
ABSOLUTE = BeforeValidator(_path)
Listed = BeforeValidator(_listed)
Lower = BeforeValidator(_lower)

Text = Annotated[str, AfterValidator(aws_names.clean)]
Texts = Annotated[Sequence[Text], Listed, _string_or_strings()]
Tags = dict[Text, Text]
#: of a file or folder
LocalPath = Annotated[Text, ABSOLUTE]
Sources = Annotated[Sequence[Annotated[Text, BeforeValidator(_source)]], BeforeValidator(_sources)]
RouteName = Annotated[Route, Strict(False), Lower]
RulesName = Annotated[Profile, Strict(False), Lower]

Region = Annotated[Text, AfterValidator(aws_names.region)]
Bucket = Annotated[Text, AfterValidator(aws_names.bucket)]
Buckets = Annotated[Sequence[Bucket], Listed, _string_or_strings()]
Role = Annotated[Text, AfterValidator(aws_names.role)]
UsageOperation = Annotated[Text, AfterValidator(aws_names.usage_operation)]
KmsKey = Annotated[Text, AfterValidator(aws_names.kms_key)]
KmsKeys = Annotated[Sequence[KmsKey], Listed, _string_or_strings()]
ClientToken = Annotated[Text, AfterValidator(aws_names.client_token)]
Parent = Annotated[Text, AfterValidator(aws_names.parent)]
AmiName = Annotated[Text, AfterValidator(aws_names.ami_name)]
Rate = Annotated[
    float, BeforeValidator(aws_names.rate), WithJsonSchema({"type": ["string", "number"], "examples": ["20M"]})
]
InstanceType = Annotated[Text, AfterValidator(aws_names.instance_type)]
InstanceTypes = Annotated[Sequence[InstanceType], BeforeValidator(aws_names.instance_types), _string_or_strings()]
InstanceProfile = Annotated[Text, AfterValidator(aws_names.instance_profile)]
Money = Annotated[
    float, BeforeValidator(aws_names.money), WithJsonSchema({"type": ["string", "number"], "examples": [0.5]})
]
Zone = Annotated[Text, AfterValidator(aws_names.zone)]
Subnet = Annotated[Text, AfterValidator(aws_names.subnet)]
Address = Annotated[Text, AfterValidator(aws_names.address)]
LicenseConfigurations = Annotated[
    Sequence[Annotated[Text, AfterValidator(aws_names.license_configuration)]], Listed, _string_or_strings()
]
SecurityGroups = Annotated[
    Sequence[Annotated[Text, AfterValidator(aws_names.security_group)]], Listed, _string_or_strings()
]
#: what S3 may keep an object in and still give it to an import at once
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
StorageClass = Annotated[
    str,
    OneOf("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "REDUCED_REDUNDANCY"),
    BeforeValidator(aws_names.usable_class),
]
VolumeType = Annotated[str, OneOf("gp3", "gp2", "standard"), BeforeValidator(aws_names.volume_type)]
ImportFormat = Annotated[str, OneOf("ova", "vmdk", "vhd", "vhdx", "raw"), Lower]
ExportFormat = Annotated[str, OneOf("vmdk", "vhd", "raw", "ova", "qcow2", "vhdx"), Lower]
UploadFormat = Annotated[str, OneOf("vmdk", "vhd", "raw"), Lower]
Target = Annotated[str, OneOf("vmware", "microsoft", "citrix"), Lower]
