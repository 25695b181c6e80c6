"""Does the service take the request? The role, the bucket, the object and the key, rules_verdict as they stand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moto.utilities.utils import get_partition

from vmie.limits import export_canonical_id
from vmie.policy import service
from vmie.policy.evaluate import Access, Decision, Principal, decide
from vmie.policy.service import RoleDocuments, TaskOrigin
from vmie.sandbox.api_errors import ApiError, internal_error, invalid_parameter, role_refused
from vmie.sandbox.moto_fixes import compute
from vmie.sandbox.service import account_state, encryption
from vmie.sandbox.service.requests import SourceLocation
from vmie.sandbox.service.role_history import RoleHistory
from vmie.sandbox.service.tasks import SandboxTask

NOT_LOCAL = "The given S3 bucket is not local to the Region"
OBJECT_NOT_LOCAL = "The given S3 object is not local to the region."
BAD_SOURCE = "Invalid S3 source location"


class RoleJudge:
    """Evaluates with the roles as `role_history` has them; raises ApiError with the service's message."""

    def __init__(self, role_history: RoleHistory) -> None:
        self._role_history = role_history

    def assume(self, task: SandboxTask) -> RoleDocuments:
        """The task's role, if it is there and trusts the service."""
        name = task.request.get("RoleName") or "vmimport"
        partition = get_partition(task.region)
        documents = self._role_history.effective((task.account, partition, name))
        errand = TaskOrigin(partition, task.region, task.account, task.id)
        if documents is None or not service.trusts_service(documents, errand):
            raise role_refused(name)
        return documents

    def source(self, task: SandboxTask, location: SourceLocation, *, image: bool) -> account_state.StoredObject:
        """The object that an import is to read, if the role may."""
        documents = self.assume(task)
        bucket = account_state.bucket(location.bucket, partition=get_partition(task.region))
        if bucket is None:
            raise invalid_parameter(BAD_SOURCE)
        if bucket.region != task.region:
            raise invalid_parameter(NOT_LOCAL)
        licensed = bool(task.request.get("LicenseSpecifications"))
        asks = (
            service.service_asks(image=image, licensed=licensed)
            if location.signed
            else service.import_asks(
                get_partition(task.region), bucket.name, location.key, image=image, licensed=licensed
            )
        )
        _require(task, documents, asks, bucket)
        found = account_state.fetch(bucket, location.key)
        if found is None:
            raise invalid_parameter(BAD_SOURCE)
        if not location.signed and not self._may_decrypt(task, documents, found):
            raise role_refused(_name(task))
        return found

    def readable(
        self, task: SandboxTask, location: SourceLocation, *, image: bool
    ) -> tuple[account_state.StoredObject | None, str]:
        """The object while the task runs, or None and the reason that the task fails with."""
        bucket = account_state.bucket(location.bucket, partition=get_partition(task.region))
        found = account_state.fetch(bucket, location.key) if bucket else None
        if found is None:
            return None, "404 Not Found"
        try:
            return self.source(task, location, image=image), ""
        except ApiError:
            return None, "403 Forbidden"

    def encryption(self, task: SandboxTask) -> str | None:
        """The ARN of the key that the result will be encrypted with, None where it is not; raises ApiError."""
        name, backend = task.request.get("KmsKeyId"), compute.backend_of(task.account, task.region)
        if not name and not task.request.get("Encrypted") and not encryption.by_default(backend):
            return None
        key = encryption.named(backend, name) if name else encryption.default_key(backend)
        if key is None:
            raise invalid_parameter(f"The given key ID '{name}' is not accessible or does not exist")
        if not key.enabled:
            raise ApiError("CustomerKeyHasBeenRevoked", f"The customer master key {key.arn} cannot be accessed.")
        if not key.managed_by_aws and not service.may_use_key(self.assume(task), key.arn, key.policy):
            raise role_refused(_name(task))
        return key.arn

    def image_target(self, task: SandboxTask, name: str, key: str) -> account_state.BucketState:
        """The bucket of an ExportImage, if the role may write there."""
        documents = self.assume(task)
        bucket = _target(task, name, NOT_LOCAL)
        _require(task, documents, service.export_asks(get_partition(task.region), bucket.name, key), bucket)
        return bucket

    def instance_target(self, task: SandboxTask, name: str, key: str) -> account_state.BucketState:
        """The bucket of a CreateInstanceExportTask, if it grants the service to write: by policy or by ACL."""
        bucket = _target(task, name, OBJECT_NOT_LOCAL)
        who = export_canonical_id(task.region)
        arn = f"arn:{get_partition(task.region)}:s3:::{bucket.name}"
        for action, resource, permission in (
            ("s3:GetBucketAcl", arn, "READ_ACP"),
            ("s3:PutObject", f"{arn}/{key}", "WRITE"),
        ):
            decision = decide([bucket.policy], Access(action, resource), principal=Principal("CanonicalUser", (who,)))
            by_acl = {(who, permission), (who, "FULL_CONTROL")} & bucket.grants
            if decision is Decision.DENY or (decision is Decision.SILENT and not by_acl):
                # What AWS says of a missing grant (aws-facts 4.4).
                raise internal_error()
        return bucket

    def _may_decrypt(self, task: SandboxTask, documents: RoleDocuments, found: account_state.StoredObject) -> bool:
        if not found.kms_key:
            return True
        key = account_state.kms_key(found.kms_key, account=task.account, region=task.region)
        if key is None:  # S3's own key, which needs no right of the role
            return found.kms_key.endswith("aws/s3")
        return key.enabled and (
            key.managed_by_aws or service.may_use_key(documents, key.arn, key.policy, ("kms:Decrypt",))
        )


def _target(task: SandboxTask, name: str, not_local: str) -> account_state.BucketState:
    bucket = account_state.bucket(name, partition=get_partition(task.region))
    if bucket is None or bucket.account != task.account:
        raise invalid_parameter(f"The given S3 bucket '{name}' does not exist or is not owned by this account.")
    if bucket.region != task.region:
        raise invalid_parameter(not_local)
    if bucket.kms_default:
        raise invalid_parameter("Buckets encrypted with AWS KMS are not supported for export.")
    return bucket


def _require(
    task: SandboxTask, documents: RoleDocuments, asks: Iterable[Access], bucket: account_state.BucketState
) -> None:
    for ask in asks:
        policy = bucket.policy if ask.action.startswith("s3:") else ""
        owner = bucket.account if ask.action.startswith("s3:") else ""
        context: dict[str, Any] = {"aws:SourceAccount": task.account, "aws:PrincipalArn": documents.arn}
        if not service.may(documents, Access(ask.action, ask.resource, context), resource_policy=policy, owner=owner):
            raise role_refused(_name(task))


def _name(task: SandboxTask) -> str:
    return task.request.get("RoleName") or "vmimport"
