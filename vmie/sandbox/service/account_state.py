"""What the account owns, read from moto: buckets, objects, roles, keys."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends
from moto.utilities.utils import get_partition

from vmie.disk.base import SECTOR
from vmie.policy.service import RoleDocuments
from vmie.sandbox.defaults import ACCESS_KEY, SECRET_KEY
from vmie.sandbox.moto_fixes.s3 import stored
from vmie.sandbox.service.role_history import RoleKey
from vmie.sandbox.storage import Blob, ZeroFile, boot_sector

_PART = 10 << 20
_LEAST = 2 << 20
_ZEROS = ZeroFile()


@dataclass(frozen=True, slots=True)
class BucketState:
    """A bucket: `grants` are (canonical id, permission) of its ACL, empty where ACLs are off."""

    name: str
    region: str
    account: str
    policy: str
    grants: frozenset[tuple[str, str]]
    kms_default: bool
    kms_key: str = ""  #: the key that objects are encrypted with by default, "" for none or S3's own


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object and its bytes; `kms_key` is the key that encrypts it, "" without SSE-KMS."""

    key: str
    etag: str
    content: Blob
    kms_key: str


@dataclass(frozen=True, slots=True)
class KeyState:
    """A KMS key."""

    arn: str
    policy: str
    enabled: bool
    managed_by_aws: bool


def bucket(name: str, *, partition: str) -> BucketState | None:
    """The bucket of that name, whoever owns it."""
    found_in, account = s3_backends.bucket_accounts.get(name, (None, None))
    if account is None or found_in != partition:
        return None
    found = s3_backends[account][partition].buckets.get(name)
    if found is None:
        return None
    encryption: dict[str, Any] = (found.encryption or {}).get("Rule") or {}
    default = encryption.get("ApplyServerSideEncryptionByDefault") or {}
    return BucketState(
        name=name,
        region=found.region_name,
        account=account,
        policy=(found.policy or b"").decode(),
        grants=_grants(found.acl) if found.acl is not None and _acls_on(found.ownership_rule) else frozenset(),
        kms_default=str(default.get("SSEAlgorithm", "")).startswith("aws:kms"),
        kms_key=str(default.get("KMSMasterKeyID") or ""),
    )


def _acls_on(ownership: Any) -> bool:
    """New buckets have ACLs off (BucketOwnerEnforced) unless somebody asked for another ownership (aws-facts 4.4)."""
    rules = ownership.get("Rule") if isinstance(ownership, dict) else {"ObjectOwnership": ownership}
    rules = rules if isinstance(rules, list) else [rules or {}]
    return any(rule.get("ObjectOwnership") in ("BucketOwnerPreferred", "ObjectWriter") for rule in rules)


def _grants(acl: Any) -> frozenset[tuple[str, str]]:
    return frozenset(
        (grantee.id, permission)
        for grant in acl.grants
        for grantee in grant.grantees
        if grantee.id
        for permission in grant.permissions
    )


def fetch(where: BucketState, key: str) -> StoredObject | None:
    """The object, or None."""
    found = s3_backends[where.account][get_partition(where.region)].get_object(where.name, key)
    if found is None:
        return None
    kms = (found.encryption or "").startswith("aws:kms")
    return StoredObject(key, found.etag, stored(found), (found.kms_key_id or "aws/s3") if kms else "")


def put(where: BucketState, key: str, content: Blob, *, etag: str = "") -> None:
    """Write an object as the service does; `etag` is its MD5, where that is known."""
    backend = s3_backends[where.account][get_partition(where.region)]
    # Else as if written in parts: such an ETag is no digest of the whole, which would take long to read.
    etag = etag or f"{hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()}-{max(1, -(-content.size // _PART))}"
    backend.put_object(where.name, key, content, etag=etag)  # type: ignore[arg-type]


def put_disk(where: BucketState, key: str, size: int) -> None:
    """Write a raw disk of `size` bytes, at least 2 MiB, with one Linux partition in an MBR; it takes no space."""
    if size % SECTOR or size < _LEAST:
        raise ValueError("a disk has whole sectors of 512 bytes, and 2 MiB at least")
    put(where, key, Blob([(boot_sector(size), 0, SECTOR), (_ZEROS, 0, size - SECTOR)]))


def remove(where: BucketState, key: str) -> None:
    """Remove an object as the service does."""
    s3_backends[where.account][get_partition(where.region)].delete_object(where.name, key)


def roles() -> Mapping[RoleKey, RoleDocuments]:
    """Every role of every account."""
    out: dict[RoleKey, RoleDocuments] = {}
    for account in list(iam_backends):
        for partition, backend in list(iam_backends[account].items()):
            for role in list(backend.roles.values()):
                managed = tuple(policy_document(policy) for policy in role.managed_policies.values())
                boundary = backend.managed_policies.get(role.permissions_boundary_arn or "")
                out[account, partition, role.name] = RoleDocuments(
                    arn=role.arn,
                    account=account,
                    trust=role.assume_role_policy_document,
                    identity=(*role.policies.values(), *managed),
                    boundary=policy_document(boundary) if boundary else "",
                )
    return out


def secret_key(access_key: str) -> str:
    """The secret of an access key: the sandbox's own, a user's, or that of an assumed role; "" for an unknown one."""
    if access_key == ACCESS_KEY:
        return SECRET_KEY
    for account in list(iam_backends):
        for backend in list(iam_backends[account].values()):
            for key in list(backend.access_keys.values()):
                if key.access_key_id == access_key and key.status == "Active":
                    return str(key.secret_access_key)
    return ""


def policy_document(policy: Any) -> str:
    """The default version of a managed policy of moto's."""
    default = (version for version in policy.versions if version.version_id == policy.default_version_id)
    return next((version.document or "" for version in default), "")


def kms_key(name: str, *, account: str, region: str) -> KeyState | None:
    """The key behind an id, an ARN, an alias or an alias ARN."""
    backend = kms_backends[account][region]
    short = name.rsplit(":", 1)[-1] if name.startswith("arn:") else name
    if name.startswith("arn:") and name.count(":") >= 5 and name.split(":")[3] != region:
        return None
    if short.startswith("alias/"):
        short = next((key.id for key in backend.keys.values() if short in key.aliases), "")
    found = backend.keys.get(short.removeprefix("key/"))
    if found is None:
        return None
    return KeyState(found.arn, found.policy, found.enabled and found.key_state == "Enabled", found.key_manager == "AWS")
