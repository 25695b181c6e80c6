"""IAM documents: filled from the templates in ``policies/``, merged, read back and compared. Pure.

    template ──fill──► Grants ◄──read back── the role's own policy
                          │
                          └── role(grants) ──► document        same(a, b), missing(have, wanted)

`Grants` is all that a role policy of vmie says. A document is *ours* when it says exactly what some
`Grants` says, whoever typed it and in whatever order: that is how an edited policy is distinguished from one
that may be replaced (no marker, nothing to lose).
"""

from __future__ import annotations

from vmie.policy.compare import Document, Permission, missing, same, statements, text
from vmie.policy.documents import (
    ASSUME_ROLE,
    EXPORT_SID,
    EXTERNAL_ID,
    SERVICE,
    Grants,
    bucket_name,
    export_bucket,
    key_arn,
    key_statement,
    merged,
    role,
    role_name,
    template,
    trust,
    user,
)
from vmie.policy.hcl import hcl
from vmie.policy.reading import (
    admits,
    buckets_of,
    document,
    granted,
    grants_of,
    mentions_source,
    trusted_account,
    trusts_only_the_service,
)

__all__ = [
    "ASSUME_ROLE",
    "EXPORT_SID",
    "EXTERNAL_ID",
    "SERVICE",
    "Document",
    "Grants",
    "Permission",
    "admits",
    "bucket_name",
    "buckets_of",
    "document",
    "export_bucket",
    "granted",
    "grants_of",
    "hcl",
    "key_arn",
    "key_statement",
    "mentions_source",
    "merged",
    "missing",
    "role",
    "role_name",
    "same",
    "statements",
    "template",
    "text",
    "trust",
    "trusted_account",
    "trusts_only_the_service",
    "user",
]
