"""The options of `vmie setup-role`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from vmie.errors import UsageError
from vmie.options.base import OneOf, Options, option
from vmie.options.shared import judged_tags
from vmie.options.spelling import FLAGS
from vmie.options.types import Buckets, KmsKeys, Role, Tags


class RoleRequest(Options):
    """What the role shall be. Buckets may be written ``s3://name``; keys as id, alias or ARN."""

    buckets: Buckets = option((), "A bucket to import from.", flags=FLAGS["buckets"], metavar="B")
    export_buckets: Buckets = option((), "A bucket to export to.", flags=FLAGS["export_buckets"], metavar="B")
    grant: Annotated[str, OneOf("policy", "acl")] = option(
        "policy",
        "How instance exports are let into an export bucket: policy, or acl (switches the bucket's ACLs on).",
    )
    kms_keys: KmsKeys = option(
        (),
        "A KMS key (ARN, id or alias) that the role may use: of results, or of a bucket.",
        flags=FLAGS["kms_keys"],
        metavar="KEY",
    )
    license_manager: bool = option(False, "Let the role attach licence configurations.")
    role_name: Role = option("vmimport", "Another name than vmimport.")
    create_bucket: bool = option(False, "Make the buckets that do not exist, private and encrypted.")
    restrict_source: bool = option(False, "Trust only requests of this account (confused deputy).")
    tags: Tags = option({}, "A tag of the role.", flags=FLAGS["tags"], metavar="K=V")
    force: bool = option(False, "Replace documents that somebody else edited.")

    def conflicts(self) -> Iterator[UsageError]:
        """See `Options.conflicts`."""
        yield from judged_tags(self.tags, others=0)
