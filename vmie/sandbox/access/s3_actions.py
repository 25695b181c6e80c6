"""Which permission each operation of S3 needs.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
"""

from __future__ import annotations

from collections.abc import Mapping

#: of a bucket, by the sub-resource in the query: the noun in Get… and Put…; a DELETE needs Put… but for those below
BUCKET: Mapping[str, str] = {
    "accelerate": "AccelerateConfiguration",
    "acl": "BucketAcl",
    "analytics": "AnalyticsConfiguration",
    "cors": "BucketCORS",
    "encryption": "EncryptionConfiguration",
    "intelligent-tiering": "IntelligentTieringConfiguration",
    "inventory": "InventoryConfiguration",
    "lifecycle": "LifecycleConfiguration",
    "location": "BucketLocation",
    "logging": "BucketLogging",
    "metrics": "MetricsConfiguration",
    "notification": "BucketNotification",
    "object-lock": "BucketObjectLockConfiguration",
    "ownershipControls": "BucketOwnershipControls",
    "policy": "BucketPolicy",
    "policyStatus": "BucketPolicyStatus",
    "publicAccessBlock": "BucketPublicAccessBlock",
    "replication": "ReplicationConfiguration",
    "requestPayment": "BucketRequestPayment",
    "tagging": "BucketTagging",
    "versioning": "BucketVersioning",
    "website": "BucketWebsite",
}
DELETED: Mapping[str, str] = {"policy": "DeleteBucketPolicy", "website": "DeleteBucketWebsite"}
LISTED: Mapping[str, str] = {"uploads": "ListBucketMultipartUploads", "versions": "ListBucketVersions"}
#: of an object, by sub-resource and method; the second half says whether a version has a permission of its own
OBJECT: Mapping[tuple[str, str], str] = {
    ("acl", "GET"): "GetObject{}Acl",
    ("acl", "PUT"): "PutObject{}Acl",
    ("tagging", "GET"): "GetObject{}Tagging",
    ("tagging", "PUT"): "PutObject{}Tagging",
    ("tagging", "DELETE"): "DeleteObject{}Tagging",
    ("attributes", "GET"): "GetObject{}Attributes",
    ("retention", "GET"): "GetObjectRetention",
    ("retention", "PUT"): "PutObjectRetention",
    ("legal-hold", "GET"): "GetObjectLegalHold",
    ("legal-hold", "PUT"): "PutObjectLegalHold",
    ("restore", "POST"): "RestoreObject",
    ("torrent", "GET"): "GetObject{}Torrent",
    ("select", "POST"): "GetObject",
    ("uploads", "POST"): "PutObject",
    ("uploadId", "GET"): "ListMultipartUploadParts",
    ("uploadId", "PUT"): "PutObject",
    ("uploadId", "POST"): "PutObject",
    ("uploadId", "DELETE"): "AbortMultipartUpload",
}
PLAIN: Mapping[str, str] = {
    "GET": "GetObject{}",
    "HEAD": "GetObject{}",
    "PUT": "PutObject",
    "POST": "PutObject",
    "DELETE": "DeleteObject{}",
}
#: headers (or, presigned, parameters) that are condition keys as they are
HEADERS = (
    "x-amz-acl",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-metadata-directive",
    "x-amz-object-ownership",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
)
#: parameters of a list that are condition keys
LISTING = ("prefix", "delimiter", "max-keys")


def of_bucket(method: str, query: Mapping[str, str]) -> str:
    """The permission for an operation on a bucket."""
    for sub, action in LISTED.items():
        if sub in query:
            return action
    for sub, noun in BUCKET.items():
        if sub in query:
            if method == "DELETE":
                return DELETED.get(sub, f"Put{noun}")
            return f"{'Put' if method == 'PUT' else 'Get'}{noun}"
    return {"PUT": "CreateBucket", "DELETE": "DeleteBucket"}.get(method, "ListBucket")


def of_object(method: str, query: Mapping[str, str]) -> str:
    """The permission for an operation on an object."""
    kind = next((one for (sub, verb), one in OBJECT.items() if sub in query and verb == method), "")
    return (kind or PLAIN.get(method, "GetObject{}")).format("Version" if "versionId" in query else "")
