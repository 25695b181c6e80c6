"""StartSnapshot: what is asked for, checked; and whether the snapshot will be encrypted.

Sources: botocore's ebs model; https://docs.aws.amazon.com/ebs/latest/userguide/ebsapis-using-encryption.html
"""

from __future__ import annotations

import re
from typing import Any

from vmie.sandbox.service import encryption
from vmie.sandbox.service.account_state import KeyState
from vmie.sandbox.service.ebs import errors
from vmie.sandbox.service.ebs.given import Params

SNAPSHOT_ID = re.compile(r"snap-[0-9a-f]+")
_MOST_GIB = 65536
_TAGS, _KEY, _VALUE, _WORDS, _TOKEN = 50, 127, 255, 255, 255
_KINDS = {
    "VolumeSize": int,
    "ParentSnapshotId": str,
    "Tags": list,
    "Description": str,
    "ClientToken": str,
    "Encrypted": bool,
    "KmsKeyArn": str,
    "Timeout": int,
}


def check(params: Params) -> None:
    """Raise ApiError for parameters that are out of their range, or exclude each other."""
    for name, kind in _KINDS.items():
        value = params.get(name)
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise errors.invalid(f"The parameter {name} is not of its type.")
    if not 1 <= params.get("VolumeSize", 0) <= _MOST_GIB:
        raise errors.invalid(f"VolumeSize must be from 1 to {_MOST_GIB} GiB.", "INVALID_VOLUME_SIZE")
    if not 10 <= params.get("Timeout", 60) <= 4320:
        raise errors.invalid("Timeout must be from 10 to 4320 minutes.")
    for name, most in (("Description", _WORDS), ("ClientToken", _TOKEN)):
        if len(params.get(name) or "") > most:
            raise errors.invalid(f"{name} is longer than {most} characters.")
    if params.get("ParentSnapshotId") is not None:
        if params.get("Encrypted") is not None:
            raise errors.invalid("ParentSnapshotId and Encrypted are mutually exclusive.")
        require_id(params["ParentSnapshotId"])
    tags_of(params)


def require_id(snapshot_id: str) -> None:
    """Raise ApiError for what is no snapshot's id."""
    if len(snapshot_id) > 64 or not SNAPSHOT_ID.fullmatch(snapshot_id):
        raise errors.invalid(f"'{snapshot_id}' is not the id of a snapshot.", "INVALID_SNAPSHOT_ID")


def tags_of(params: Params) -> dict[str, str]:
    """The tags; raises ApiError for those that EBS does not take."""
    given = params.get("Tags") or []
    out: dict[str, str] = {}
    for tag in given:
        key = tag.get("Key") if isinstance(tag, dict) else None
        value = tag.get("Value", "") if isinstance(tag, dict) else None
        if not isinstance(key, str) or not isinstance(value, str):
            raise errors.invalid("A tag has a Key and a Value.", "INVALID_TAG")
        if not 0 < len(key) <= _KEY or len(value) > _VALUE or key.lower().startswith("aws:") or key in out:
            raise errors.invalid(f"The tag '{key[:_KEY]}' is not valid.", "INVALID_TAG")
        out[key] = value
    if len(given) > _TAGS:
        raise errors.invalid(f"A snapshot has at most {_TAGS} tags.", "INVALID_TAG")
    return out


def key_of(params: Params, backend: Any, parent: Any | None) -> KeyState | None:
    """The key that the snapshot is encrypted with, None where it is not; raises ApiError for what EBS refuses."""
    wanted, name = params.get("Encrypted"), params.get("KmsKeyArn")
    default = encryption.by_default(backend)
    if parent is not None:
        if name:
            raise errors.invalid("KmsKeyArn cannot be given with ParentSnapshotId: the snapshot is as its parent is.")
        if not parent.encrypted and default:
            raise errors.invalid("The account encrypts by default: the parent snapshot must be encrypted.")
        if not parent.encrypted:
            return None
        return _usable(backend, parent.kms_key_id) if parent.kms_key_id else encryption.default_key(backend)
    if wanted is False and (default or name):
        raise errors.invalid("Encrypted is false, but a key is given or the account encrypts by default.")
    if name and wanted is None and not default:
        raise errors.invalid("KmsKeyArn needs Encrypted.")
    if name:
        return _usable(backend, name)
    return encryption.default_key(backend) if wanted or default else None


def _usable(backend: Any, name: str) -> KeyState:
    key = encryption.named(backend, name) if name.startswith("arn:") else None
    if key is None or not key.enabled:
        raise errors.invalid(f"The KMS key '{name}' does not exist or cannot be used.", "INVALID_CUSTOMER_KEY")
    return key
