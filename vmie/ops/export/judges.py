"""The looks behind the export rules: each takes the facts and yields what trips its rule. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vmie import limits
from vmie.aws.exportable import ExportBucket, Image, Instance
from vmie.model import Task, Verdict
from vmie.options import ExportRequest
from vmie.policy import Document, statements
from vmie.policy.evaluate import Access, Decision, Principal, decide

#: Usage operations whose software AWS bills (aws-facts 3.9).
_WINDOWS_OR_SQL = frozenset(f"RunInstances:{code}" for code in ("0002", "0006", "0102", "0202", "0004", "0100", "0200"))
_LINUX_LICENSED = {"RunInstances:0010": "Red Hat Enterprise Linux", "RunInstances:000g": "SUSE Linux"}
_BYOL = "RunInstances:0800"


@dataclass(frozen=True, slots=True)
class ExportFacts:
    """Everything that the rules look at.

    `elsewhere` says where the bucket is when it is not in the Region; `active` are the active exports of the AMI.
    `role_lacks` is what the AMI export's role may not do ("the service role … lacks …"), and `role_certain` False
    where that hangs on a condition or on a policy that cannot be read. `key` is one that the export may write.
    """

    request: ExportRequest
    account: str
    region: str
    source: Instance | Image
    bucket: ExportBucket | None = None
    elsewhere: str = ""
    key: str = "export-ami-0123456789abcdef0.vmdk"
    partition: str = "aws"
    role_lacks: str = ""
    role_certain: bool = True
    active: tuple[Task, ...] = ()

    @property
    def is_image(self) -> bool:
        """An AMI."""
        return isinstance(self.source, Image)

    @property
    def image(self) -> Image | None:
        """The AMI, or the AMI of the instance where it is still there."""
        return self.source if isinstance(self.source, Image) else self.source.image


# --- instances -------------------------------------------------------------------------------------------


def several_volumes(facts: ExportFacts) -> Iterator[str]:
    """More volumes than the root."""
    if isinstance(facts.source, Instance) and len(facts.source.volumes) > limits.EXPORT_INSTANCE_DISKS.value:
        data = [volume.id for volume in facts.source.volumes if volume.device != facts.source.root_device]
        yield f"{facts.source.id} has {len(facts.source.volumes)} volumes; besides the root: {', '.join(data)}"


def several_interfaces(facts: ExportFacts) -> Iterator[str]:
    """More network interfaces than one."""
    most = limits.EXPORT_INSTANCE_INTERFACES.value
    if isinstance(facts.source, Instance) and facts.source.interfaces > most:
        yield f"{facts.source.id} has {facts.source.interfaces} network interfaces"


def instance_state(facts: ExportFacts) -> Iterator[str | tuple[Verdict, str]]:
    """Gone, or running."""
    if not isinstance(facts.source, Instance):
        return
    if facts.source.state in ("terminated", "shutting-down"):
        yield f"{facts.source.id} is {facts.source.state}"
    elif facts.source.state == "running":
        yield Verdict.WARN, f"{facts.source.id} is running: the export may reboot it, and files may be half written"


def instance_raw(facts: ExportFacts) -> Iterator[str]:
    """RAW, which instance export does not make."""
    if not facts.is_image and facts.request.format == "raw":
        yield "an instance is exported as OVA, VMDK or VHD, not as RAW"


def instance_image_gone(facts: ExportFacts) -> Iterator[str]:
    """The AMI it was launched from is not there."""
    if isinstance(facts.source, Instance) and facts.source.image is None:
        yield f"{facts.source.image_id or 'the AMI'} of {facts.source.id} is gone or cannot be read"


def instance_of_others(facts: ExportFacts) -> Iterator[str]:
    """Launched from somebody else's AMI."""
    if isinstance(facts.source, Instance) and (image := facts.source.image) and image.owner != facts.account:
        yield f"{facts.source.id} was launched from {image.id}, which belongs to {image.owner}"


# --- both ------------------------------------------------------------------------------------------------


def instance_store(facts: ExportFacts) -> Iterator[str]:
    """Disks that are not EBS."""
    if facts.source.root_device_type == "instance-store":
        yield f"the root of {facts.source.id} is on an instance store"
    elif isinstance(facts.source, Image) and facts.source.ephemeral:
        yield f"{facts.source.id} maps instance-store volumes: {', '.join(facts.source.ephemeral)}"


def shared(facts: ExportFacts) -> Iterator[str]:
    """Another account's."""
    if facts.source.owner and facts.source.owner != facts.account:
        yield f"{facts.source.id} belongs to account {facts.source.owner}, not to {facts.account}"


def encrypted(facts: ExportFacts) -> Iterator[str | tuple[Verdict, str]]:
    """Encrypted volumes or snapshots."""
    for volume in facts.source.volumes:
        if volume.encrypted:
            yield f"{volume.id} ({volume.device}) is encrypted"
        elif volume.encrypted is None and not volume.missing and isinstance(facts.source, Instance):
            yield Verdict.UNKNOWN, f"whether {volume.id} ({volume.device}) is encrypted cannot be read"


def too_large(facts: ExportFacts) -> Iterator[str]:
    """Volumes over 1 TiB."""
    most = limits.EXPORT_VOLUME_BYTES.value
    for volume in facts.source.volumes:
        if (volume.size or 0) * limits.GIB > most:
            yield f"{volume.id} ({volume.device}) has {volume.size} GiB, more than {most // limits.GIB}"


def licence(facts: ExportFacts) -> Iterator[str | tuple[Verdict, str]]:
    """Software that AWS bills."""
    source, details = facts.source, facts.source.platform_details
    words = details or source.usage_operation
    billed = source.usage_operation in _WINDOWS_OR_SQL or (
        not source.usage_operation and ("SQL" in details or details.startswith("Windows"))
    )
    if billed and facts.image is not None and facts.image.imported:
        said = "it was imported, which the rules of 2016 allow and today's do not mention"
        yield Verdict.WARN, f"{source.id} runs {words} under AWS's licence; {said}"
    elif billed:
        yield f"{source.id} runs {words} under AWS's licence"
    elif source.usage_operation in _LINUX_LICENSED:
        name = _LINUX_LICENSED[source.usage_operation]
        yield Verdict.WARN, f"{source.id} runs {name} under AWS's licence, which AWS may not let out"


def marketplace(facts: ExportFacts) -> Iterator[str]:
    """Marketplace products."""
    if facts.source.product_codes:
        yield f"{facts.source.id} holds a product of the AWS Marketplace: {', '.join(facts.source.product_codes)}"


def own_licence(facts: ExportFacts) -> Iterator[str]:
    """Windows under a licence of its own."""
    if facts.source.usage_operation == _BYOL:
        yield f"{facts.source.id} runs Windows under your own licence: it must allow the place it goes to"


def fixed_vhd(facts: ExportFacts) -> Iterator[str]:
    """A VHD is always dynamic."""
    if facts.request.format == "vhd":
        yield "the VHD will be dynamic; AWS does not make fixed ones"


# --- AMIs ------------------------------------------------------------------------------------------------


def image_ova(facts: ExportFacts) -> Iterator[str]:
    """OVA, which image export does not make."""
    if facts.is_image and facts.request.format == "ova":
        yield "an AMI is exported as VMDK, VHD or RAW, one object per volume, not as OVA"


def image_state(facts: ExportFacts) -> Iterator[str]:
    """Not available."""
    if isinstance(facts.source, Image) and facts.source.state != "available":
        yield f"{facts.source.id} is {facts.source.state or 'in an unknown state'}"


def snapshot_gone(facts: ExportFacts) -> Iterator[str]:
    """Snapshots that were deleted."""
    image = facts.image
    if image is not None and image.owner == facts.account:
        for volume in image.volumes:
            if volume.missing:
                yield f"{volume.id}, the snapshot of {image.id}'s {volume.device}, is gone"


def one_at_a_time(facts: ExportFacts) -> Iterator[str]:
    """Another export of the same AMI."""
    for task in facts.active:
        yield f"{task.id} is exporting {facts.source.id} already"


# --- the bucket ------------------------------------------------------------------------------------------


def bucket_region(facts: ExportFacts) -> Iterator[str]:
    """A bucket of another Region."""
    if facts.elsewhere:
        yield facts.elsewhere


def bucket_kms(facts: ExportFacts) -> Iterator[str | tuple[Verdict, str]]:
    """A bucket that encrypts with KMS."""
    if facts.bucket is None:
        return
    if facts.bucket.encryption is None:
        yield Verdict.UNKNOWN, f"the default encryption of {facts.bucket.name} cannot be read"
    elif facts.bucket.encryption.startswith("aws:kms"):
        yield f"{facts.bucket.name} encrypts with a KMS key by default ({facts.bucket.encryption})"


def role_grant(facts: ExportFacts) -> Iterator[str | tuple[Verdict, str]]:
    """A role that may not write to the bucket."""
    if facts.is_image and facts.role_lacks:
        if facts.role_certain:
            yield facts.role_lacks
        else:
            yield (
                Verdict.UNKNOWN,
                f"{facts.role_lacks}, unless a condition holds or a policy that cannot be read allows it",
            )


def bucket_grant(facts: ExportFacts) -> Iterator[str | tuple[Verdict, str]]:
    """No grant for the service's canonical user."""
    bucket = facts.bucket
    if facts.is_image or bucket is None:
        return
    canonical = limits.export_canonical_id(facts.region)
    by_acl = bucket.grants is not None and _acl_grants(bucket.grants, canonical)
    if by_acl and bucket.ownership != "BucketOwnerEnforced":
        return
    if bucket.policy is not None and _policy_grants(facts, bucket.policy, bucket.name, canonical):
        return
    if bucket.policy is None:
        yield Verdict.UNKNOWN, f"the policy of {bucket.name} cannot be read: does it let VM Export write?"
    elif by_acl:
        yield f"{bucket.name} lets VM Export write by its ACL, but its ACLs are switched off (BucketOwnerEnforced)"
    else:
        yield f"{bucket.name} does not let VM Export of {facts.region} write (canonical user {canonical[:12]}…)"


def _acl_grants(grants: Sequence[tuple[str, str]], canonical: str) -> bool:
    held = {permission for grantee, permission in grants if grantee == canonical}
    return "FULL_CONTROL" in held or {"WRITE", "READ_ACP"} <= held


def _policy_grants(facts: ExportFacts, document: Document, bucket: str, canonical: str) -> bool:
    """Whether the bucket's policy lets the service's canonical user write.

    S3 shows a canonical user back as that account's ARN, which nobody outside AWS can tell from another: what it allows
    a foreign account is believed.
    """
    named = [one.get("Principal") for one in statements(document)]
    foreign = {arn for who in named if isinstance(who, dict) for arn in _texts(who.get("AWS"))}
    principals = [Principal("AWS", (arn,)) for arn in sorted(foreign) if facts.account not in arn and arn != "*"]
    arn = f"arn:{facts.partition}:s3:::{bucket}"
    asks = (Access("s3:GetBucketAcl", arn), Access("s3:PutObject", f"{arn}/{facts.key}"))
    return any(
        all(decide([document], ask, principal=who) is Decision.ALLOW for ask in asks)
        for who in (Principal("CanonicalUser", (canonical,)), *principals)
    )


def _texts(value: object) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [item for item in listed if isinstance(item, str)]
