"""Every message that AWS is known to give is explained, and what is unknown is said to be."""

from __future__ import annotations

from typing import Any

import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st

from vmie import catalogue
from vmie.cli.app import build
from vmie.errors import Drop, Run, Set

#: messages of aws-facts 5.1 as users quote them: (code, message, entry)
API = [
    (
        "InvalidParameter",
        "The service role vmimport provided does not exist or does not have sufficient permissions",
        "role-not-usable",
    ),
    (
        "InvalidParameter",
        (
            "The service role <vmimport> provided does not exist or does not have sufficient permissions "
            "for the service to continue"
        ),
        "role-not-usable",
    ),
    ("InvalidParameter", "Parameter disk-image-size=0 has an invalid format", "disk-image-size-zero"),
    ("InvalidParameter", "Invalid S3 source location", "s3-location-invalid"),
    ("InvalidParameter", "The given S3 bucket is not local to the Region", "bucket-not-local"),
    ("InvalidParameter", "The given S3 object is not local to the region.", "object-not-local"),
    ("MalformedPolicyDocument", "Syntax errors in policy.", "policy-malformed"),
    ("Client.Unsupported", "No bootable partition found", "no-bootable-partition"),
    ("Unsupported", "No bootable partition found.", "no-bootable-partition"),
    ("ResourceCountLimitExceeded", "", "import-quota"),
    (
        "ResourceLimitExceeded",
        "Task failed to initialize - conversion task limit (5) exceeded.",
        "conversion-quota",
    ),
    ("NotExportable", "This instance cannot be exported.", "not-exportable"),
    ("NotExportable", "Only imported instances can be exported", "not-exportable"),
    (
        "NotExportable",
        (
            "The snapshot ID (snap-0123) of the instance neither is owned by current user nor had been previously "
            "imported through VMIE."
        ),
        "not-exportable",
    ),
    (
        "UnsupportedOperation",
        "This instance has multiple volumes attached. Please remove additional volumes.",
        "several-volumes",
    ),
    ("InternalError", "An internal error has occurred", "server-error"),
    (
        "InvalidParameterValue",
        "Invalid value 'i-0abc' for instanceId. Instance does not have a volume attached at root (/dev/sda1).",
        "no-root-volume",
    ),
    ("InvalidParameter", "Linux is not supported on the requested instance", "instance-type-linux"),
    ("InvalidConversionTaskId", "", "task-unknown"),
    ("InvalidConversionTaskId.Malformed", "", "task-unknown"),
    ("InvalidExportTaskID.NotFound", "", "task-unknown"),
    ("InvalidExportTaskID.Malformed", "", "task-unknown"),
    ("DeleteConversionTaskError", "", "cancel-too-late"),
    ("InvalidManifest", "", "manifest-invalid"),
    ("DiskImageSizeTooLarge", "", "manifest-disk-too-large"),
    ("InvalidFormat", "", "manifest-format"),
    ("InaccessibleStorageLocation", "", "storage-inaccessible"),
    ("IdempotentParameterMismatch", "", "token-reused"),
    ("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", "dry-run-ok"),
    ("UnauthorizedOperation", "You are not authorized to perform this operation.", "access-denied"),
    ("AccessDenied", "Access Denied", "access-denied"),
    ("OptInRequired", "", "opt-in"),
    ("AuthFailure", "AWS was not able to validate the provided access credentials", "credentials-wrong"),
    ("InvalidClientTokenId", "The security token included in the request is invalid.", "credentials-wrong"),
    ("RequestLimitExceeded", "Request limit exceeded.", "throttled"),
    ("RequestExpired", "Request has expired.", "clock-skew"),
    ("CustomerKeyHasBeenRevoked", "", "kms-key-not-usable"),
    ("PendingSnapshotLimitExceeded", "", "ebs-quota"),
    ("SnapshotLimitExceeded", "", "ebs-quota"),
    ("ConcurrentSnapshotLimitExceeded", "", "ebs-quota"),
    ("VolumeLimitExceeded", "", "ebs-quota"),
    ("ConcurrentTagAccess", "", "tag-race"),
    ("InvalidAMIName.Duplicate", "AMI name x is already in use by AMI ami-0123", "ami-name-taken"),
    ("InvalidMaxResults", "", "paging-misuse"),
    ("InvalidNextToken", "", "paging-misuse"),
    ("FilterLimitExceeded", "", "paging-misuse"),
    ("InsufficientInstanceCapacity", "", "no-capacity"),
    ("InsufficientCapacity", "", "no-capacity"),
    ("ServiceUnavailable", "", "server-error"),
    ("Unavailable", "", "server-error"),
    ("InternalFailure", "", "server-error"),
    ("MissingParameter", "The request must contain the parameter diskContainers", "parameter"),
    # EBS direct (aws-facts 7.2)
    ("AccessDeniedException", "", "access-denied"),
    ("ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "ebs-snapshot-absent"),
    ("ResourceNotFoundException", "GRANT_NOT_FOUND", "ebs-key"),
    ("ResourceNotFoundException", "DEPENDENCY_RESOURCE_NOT_FOUND", "ebs-validation"),
    ("ResourceNotFoundException", "IMAGE_NOT_FOUND", "ebs-validation"),
    ("RequestThrottledException", "ACCOUNT_THROTTLED", "throttled"),
    ("RequestThrottledException", "DEPENDENCY_REQUEST_THROTTLED", "throttled"),
    ("RequestThrottledException", "RESOURCE_LEVEL_THROTTLE", "throttled"),
    ("ServiceQuotaExceededException", "DEPENDENCY_SERVICE_QUOTA_EXCEEDED", "ebs-quota"),
    ("ConcurrentLimitExceededException", "", "ebs-direct-quota"),
    ("ConflictException", "", "ebs-token-reused"),
    ("InternalServerException", "", "server-error"),
    ("ValidationException", "UNRELATED_SNAPSHOTS", "ebs-conflict"),
    ("ValidationException", "CONFLICTING_BLOCK_UPDATE", "ebs-conflict"),
    ("ValidationException", "WRITE_REQUEST_TIMEOUT", "ebs-timeout"),
    ("ValidationException", "The snapshot was cancelled: no block was written to it", "ebs-timeout"),
    ("ValidationException", "INVALID_CUSTOMER_KEY", "ebs-key"),
    *(
        ("ValidationException", f"INVALID_{what}", "ebs-key" if what == "GRANT_TOKEN" else "ebs-validation")
        for what in [
            "PAGE_TOKEN",
            "BLOCK_TOKEN",
            "GRANT_TOKEN",
            "SNAPSHOT_ID",
            "BLOCK",
            "CONTENT_ENCODING",
            "TAG",
            "DEPENDENCY_REQUEST",
            "PARAMETER_VALUE",
            "VOLUME_SIZE",
            "IMAGE_ID",
        ]
    ),
]

#: StatusMessages of aws-facts 5.2 and peers 3
TASK = [
    ("ClientError: Disk validation failed [Unsupported VMDK File Format]", "vmdk-not-stream-optimised"),
    ("ClientError: Disk validation failed [Unsupported specified file format]", "format-unsupported"),
    ("ClientError: Disk validation failed [Unsupported OVA format]", "ova-unsupported"),
    (
        "ClientError: Disk validation failed [OVF file parsing error: OVA with chunked disk files is not supported]",
        "ova-chunked",
    ),
    (
        "ClientError: Disk validation failed [We do not have access to the given resource. Reason 403 Forbidden]",
        "object-forbidden",
    ),
    ("ClientError: Disk validation failed", "disk-validation"),
    ("ClientError: Unknown OS / Missing OS files.", "unknown-os"),
    ("ClientError: No valid partitions. Not a valid volume.", "no-valid-partitions"),
    ("ClientError: Unsupported kernel version 4.18.0-15-generic", "kernel-unsupported"),
    ("ClientError: Unable to determine kernel version.", "kernel-unknown"),
    ("ClientError: EFI partition detected. UEFI booting is not supported in EC2.", "uefi-unsupported"),
    ("ClientError: Multiple different grub/menu.lst files found.", "grub-several"),
    ("ClientError: BLSC-style GRUB found, but unable to detect default kernel", "grub-bls-default"),
    (
        (
            "ClientError: We were unable to read your import's initramfs/initrd to determine what drivers your import "
            "requires to run in EC2"
        ),
        "initramfs-unreadable",
    ),
    ("ClientError: Invalid configuration - Could not read fstab", "fstab-unreadable"),
    ("ClientError: Unable to find an etc directory with fstab.", "fstab-missing"),
    ("ClientError: Unsupported configuration - Multiple directories found", "several-systems"),
    ("ClientError: Unsupported configuration - Logical volume group activation failed", "lvm-activation"),
    ("ClientError: Footers not identical", "vhd-footers"),
    ("ClientError: Uncompressed data has invalid length.", "vmdk-invalid-length"),
    ("ClientError: Uncompressed data has an invalid length", "vmdk-invalid-length"),
    (
        (
            "ClientError: Booter Networking failure/instance not reachable. Please retry after installation of .Net "
            "framework 3.5 SP1 or greater."
        ),
        "dotnet-missing",
    ),
    (
        (
            "FirstBootFailure: This import request failed because the Windows instance failed to boot and establish "
            "network connectivity."
        ),
        "first-boot",
    ),
    ("FirstBootFailure: something new", "first-boot"),
    ("ERROR: Bucket b is not in the us-east-1 Region, it's in us-west-2", "bucket-elsewhere-cli"),
    ("ERROR: File uses unsupported compression algorithm 0", "vmdk-compression"),
    ("Task expired and automatically canceled", "task-expired"),
    ("ServerError: something broke", "server-error"),
]


@pytest.mark.parametrize(("code", "message", "entry"), API)
def test_an_answer_is_explained(code: str, message: str, entry: str) -> None:
    assert catalogue.explain(message, code).id == entry
    if message:
        in_full = f"An error occurred ({code}) when calling the ImportImage operation: {message}"
        assert catalogue.explain(in_full).id == entry
        assert catalogue.explain(f"AWS refused ImportImage of s3://b/k: {code}: {message}", code).id == entry


#: codes that stand for many things
MANY = {"Unavailable", "Unsupported", "Client.Unsupported"}
GENERAL = {"InvalidParameter", "InvalidParameterValue", "MissingParameter", "UnsupportedOperation"}


@pytest.mark.parametrize("code", sorted({code for code, _, _ in API} - MANY))
def test_a_code_alone_is_enough(code: str) -> None:
    wanted = catalogue.explain("", code)
    assert wanted.known
    assert not wanted.by_code
    assert catalogue.explain(code).id == wanted.id
    found = catalogue.explain(f"it said {code}: no")
    assert (found.id, found.by_code) == (("unknown", False) if code in GENERAL else (wanted.id, True))


NEW = "The flux capacitor of this resource is not aligned."


@pytest.mark.parametrize(
    ("code", "operation"),
    [
        ("Unsupported", "ExportImage"),
        ("Unsupported", "RunInstances"),
        ("Client.Unsupported", "ImportInstance"),
        ("UnsupportedOperation", "CreateInstanceExportTask"),
        ("InvalidParameterCombination", "RunInstances"),
        ("InvalidParameter", "ImportImage"),
        ("NeverHeardOfThis", "ImportImage"),
        ("ValidationException", "GetServiceQuota"),
        ("ConflictException", "CreateLicenseConfiguration"),
        ("ResourceNotFoundException", "GetLicenseConfiguration"),
        ("NotFoundException", "GetRole"),
        ("LimitExceeded", "RunInstances"),
    ],
)
def test_new_words_are_unknown_and_nobody_elses_cure_is_given(code: str, operation: str) -> None:
    for found in (
        catalogue.explain(NEW, code, operation),
        catalogue.explain(f"An error occurred ({code}) when calling the {operation} operation: {NEW}"),
        catalogue.explain(f"AWS refused {operation} of i-1: {code}: {NEW}", code),
    ):
        assert (found.id, found.known, found.retry) == ("unknown", False, "permanent")
        assert NEW in found.message
        assert "does not know this message" in found.causes[0]
        ways = [action.argv[:2] for action in found.cure if isinstance(action, Run)]
        assert ways == ([("vmie", "check")] if operation.startswith("Import") else [])


@pytest.mark.parametrize(
    ("code", "operation", "entry"),
    [
        ("ValidationException", "PutSnapshotBlock", "ebs-validation"),
        ("ConflictException", "StartSnapshot", "ebs-token-reused"),
        ("LimitExceeded", "PutRolePolicy", "iam-limit"),
        ("NotFound", "HeadObject", "object-absent"),
        ("NotExportable", "CreateInstanceExportTask", "not-exportable"),
        ("VcpuLimitExceeded", "RunInstances", "launch-quota"),
        ("TagLimitExceeded", "CreateTags", "tag-limit"),
    ],
)
def test_the_code_of_a_call_tells_what_words_do_not(code: str, operation: str, entry: str) -> None:
    found = catalogue.explain(NEW, code, operation)
    assert (found.id, found.by_code) == (entry, True)


#: what people met after the import, or with other tools: (operation, code, message, entry)
MET = [
    (
        "RunInstances",
        "InvalidParameterCombination",
        (
            "Enhanced networking with the Elastic Network Adapter (ENA) is required for the 't3.small' instance type. "
            "Ensure that you are using an AMI that is enabled for ENA."
        ),
        "launch-ena",
    ),
    (
        "StartInstances",
        "InvalidParameterCombination",
        (
            "Enhanced networking with the Elastic Network Adapter (ENA) is required for the 't3a.xlarge' instance type."
            " Ensure that your instance 'i-0123' is enabled for ENA."
        ),
        "launch-ena",
    ),
    (
        "RunInstances",
        "Unsupported",
        (
            "The requested configuration is currently not supported. Please check the documentation for supported "
            "configurations."
        ),
        "launch-configuration",
    ),
    (
        "RunInstances",
        "Unsupported",
        (
            "Your requested instance type (c5.large) is not supported in your requested Availability Zone (us-east-1e)."
            " Please retry your request by not specifying an Availability Zone or choosing us-east-1a, us-east-1b."
        ),
        "launch-zone",
    ),
    (
        "RunInstances",
        "InvalidParameterValue",
        (
            "The architecture 'arm64' of the specified instance type does not match the architecture 'x86_64' of the "
            "specified AMI. Specify an instance type and an AMI that have matching architectures, and try again."
        ),
        "launch-architecture",
    ),
    (
        "RunInstances",
        "InvalidBlockDeviceMapping",
        "Volume of size 20GB is smaller than snapshot 'snap-0a2a6b21a0c4cda56', expect size >= 30GB",
        "launch-volume-small",
    ),
    (
        "RunInstances",
        "VcpuLimitExceeded",
        (
            "You have requested more vCPU capacity than your current vCPU limit of 0 allows for the instance bucket"
            " that the specified instance type belongs to."
        ),
        "launch-quota",
    ),
    ("RunInstances", "VPCIdNotSpecified", "No default VPC for this user", "no-default-vpc"),
    ("RunInstances", "InvalidSubnetID.NotFound", "The subnet ID 'subnet-0123' does not exist", "network-absent"),
    ("", "", "Client.InternalError: Client error on launch", "launch-client-error"),
    ("CreateTags", "TagLimitExceeded", "The maximum number of Tags for a resource has been reached.", "tag-limit"),
    (
        "ImportImage",
        "TagPolicyViolation",
        "The tag policy does not allow the specified value for the following tag key: 'env'.",
        "tag-policy",
    ),
    ("", "", "ClientError:Provided image file was corrupted.", "image-corrupted"),
    ("", "", "ClientError: Provided image file was corrupted", "image-corrupted"),
    ("", "", "CLIENT_ERROR : ClientError: Unable to find an etc directory with fstab.", "fstab-missing"),
    ("", "", "ServerError: Failed to upload base disk(s) to S3. Please try again.", "server-error"),
    ("", "", "No bootable partition found", "no-bootable-partition"),
    (
        "DeleteSnapshot",
        "InvalidSnapshot.InUse",
        "The snapshot snap-0123 is currently in use by ami-0123",
        "snapshot-in-use",
    ),
    (
        "AttachVolume",
        "InvalidVolume.ZoneMismatch",
        "The volume 'vol-0123' is not in the same availability zone as instance 'i-0123'",
        "volume-elsewhere",
    ),
    ("AttachVolume", "VolumeInUse", "vol-0123 is already attached to an instance", "volume-attached"),
    (
        "ModifyImageAttribute",
        "OperationNotPermitted",
        "You can't publicly share this image because block public access for AMIs is enabled for this account.",
        "public-sharing-blocked",
    ),
    (
        "CopyObject",
        "InvalidObjectState",
        "The operation is not valid for the object's storage class",
        "object-archived",
    ),
    (
        "",
        "",
        "Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state",
        "kms-key-not-usable",
    ),
    ("ImportInstance", "Unsupported", "No bootable partition found.", "no-bootable-partition"),
]


@pytest.mark.parametrize(("operation", "code", "message", "entry"), MET, ids=[entry for *_, entry in MET])
def test_what_people_met_is_known(operation: str, code: str, message: str, entry: str) -> None:
    found = catalogue.explain(message, code, operation)
    assert (found.id, found.known, found.by_code) == (entry, True, False)
    assert catalogue.explain(message).id == entry
    assert found.cure


@pytest.mark.parametrize(
    "shape", ["{}", "CLIENT_ERROR : {}", "client_error: {}", "  {}\n", "task import-ami-1: {} (old)"]
)
@pytest.mark.parametrize(("message", "entry"), TASK)
def test_a_failed_task_is_explained_with_and_without_its_prefix(message: str, entry: str, shape: str) -> None:
    found = catalogue.explain(shape.format(message))
    assert found.id == entry
    assert found.message == shape.format(message)


@pytest.mark.parametrize(
    ("message", "entry"),
    [
        (
            "the service role my-import-role PROVIDED does not exist or does not have sufficient permissions",
            "role-not-usable",
        ),
        ("The given S3 bucket is not local to the region eu-north-1", "bucket-not-local"),
        ("ClientError: unsupported kernel version 2.6.32-71.el6.x86_64", "kernel-unsupported"),
        ("ClientError: Disk validation failed [Unsupported VMDK file format]", "vmdk-not-stream-optimised"),
        ("conversion task limit (20) exceeded", "conversion-quota"),
        (
            "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: kms:CreateGrant on resource: k",
            "kms-denied",
        ),
        ("User: arn:aws:iam::1:user/x is not authorized to perform: ec2:ImportImage on resource: *", "access-denied"),
        ("An error occurred (Client.RequestLimitExceeded)", "throttled"),
        ("The service role arn:aws:iam::1:role/x/vmimport does not have sufficient permissions", "role-not-usable"),
        ("Service role vmimport provided does not exist", "role-not-usable"),
        ("The given S3 bucket is not local to the ap-southeast-7 Region", "bucket-not-local"),
        ("THE GIVEN S3 OBJECT IS NOT LOCAL TO THE REGION", "object-not-local"),
        ("InvalidParameter - invalid s3 source location: s3://b/k", "s3-location-invalid"),
        (
            "CLIENT_ERROR : ClientError: Disk validation failed [Unsupported VMDK File Format] (import-ami-1)",
            "vmdk-not-stream-optimised",
        ),
        ("SERVER_ERROR : ServerError: internal", "server-error"),
        ("ClientError: Unsupported configuration - Logical Volume Group activation failed for vg0", "lvm-activation"),
        ("StatusMessage: ClientError: No valid partitions", "no-valid-partitions"),
        ("ClientError: Multiple different grub.cfg files found", "grub-several"),
        (
            "FirstBootFailure: This import request failed because the Windows Server 2019 instance failed to boot",
            "first-boot",
        ),
        ("Task expired and automatically cancelled", "task-expired"),
        ("the conversion task ID 'import-ami-0a' does not exist", "task-unknown"),
        ("Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z", "clock-skew"),
        ("Bucket my-b is not in the eu-west-2 Region, it's in eu-west-1", "bucket-elsewhere-cli"),
        ("arn:aws-cn:kms:cn-north-1:1:key/2 is disabled.", "kms-key-not-usable"),
        ("User: arn:aws:iam::1:user/x is not authorized to perform: iam:PassRole on resource: r", "access-denied"),
    ],
)
def test_near_misses_land_on_the_same_entry(message: str, entry: str) -> None:
    assert catalogue.explain(message).id == entry


def test_a_silent_missing_bucket_grant_is_guessed_first() -> None:
    found = catalogue.explain(
        "An error occurred (InternalError) when calling the CreateInstanceExportTask operation: "
        "An internal error has occurred"
    )
    assert found.id == "export-bucket-grant"
    assert "setup-role --export-bucket" in " ".join(action.text() for action in found.cure)


@pytest.mark.parametrize(
    ("message", "code", "retry"),
    [
        (
            "The service role vmimport provided does not exist or does not have sufficient permissions",
            "InvalidParameter",
            "propagation",
        ),
        ("", "ResourceCountLimitExceeded", "wait-for-quota"),
        ("", "ResourceLimitExceeded", "wait-for-quota"),
        ("", "RequestLimitExceeded", "retry"),
        ("", "ServiceUnavailable", "retry"),
        ("", "InvalidConversionTaskId", "propagation"),
        ("", "UnauthorizedOperation", "permanent"),
        ("ClientError: something never heard of", "", "permanent"),
        ("ServerError: something never heard of", "", "retry"),
        ("Invalid S3 source location", "InvalidParameter", "permanent"),
        ("something never heard of", "InvalidParameter", "permanent"),
    ],
)
def test_retry_classes(message: str, code: str, retry: str) -> None:
    assert catalogue.explain(message, code).retry == retry


@pytest.mark.parametrize(
    "message", ["", "   ", "the cat sat on the mat", "ClientError: brand-new", "Unsupported", "\x00\ud800"]
)
def test_what_is_unknown_is_said_to_be_unknown(message: str) -> None:
    found = catalogue.explain(message, "NeverHeardOfThis")
    if message != "Unsupported":
        assert not found.known
        assert found.id == "unknown"
        assert "does not know" in found.causes[0]
        assert found.cure
        assert found.retry == "permanent"


@pytest.mark.parametrize(
    ("fragment", "entries"),
    [
        ("unsupported kernel", ["kernel-unsupported"]),
        ("Unable to find an etc directory", ["fstab-missing"]),
        ("grub/menu.lst files", ["grub-several"]),
        ("  UNSUPPORTED   Kernel version ", ["kernel-unsupported"]),
        ("disk validation failed", None),
        ("kernel", []),
        ("supported kern", []),
        ("the cat sat", []),
        ("", []),
    ],
)
def test_a_part_of_a_message_finds_it(fragment: str, entries: list[str] | None) -> None:
    found = [entry.id for entry in catalogue.containing(fragment)]
    if entries is None:
        assert len(found) > 3
    else:
        assert found == entries
    assert fragment not in {"unsupported kernel"} or not catalogue.explain(fragment).known, "programs do not guess"


@given(st.text(max_size=300), st.text(max_size=30))
def test_nothing_makes_it_raise(message: str, code: str) -> None:
    assert catalogue.explain(message, code).retry in catalogue.RETRY_CLASSES


def test_a_whole_log_does_not_take_long() -> None:
    catalogue.explain("The service role Key RoleName kms:Decrypt UserBucket " * 50_000)


def test_every_entry_is_whole_and_finds_itself_by_its_own_words() -> None:
    for entry in catalogue.entries().values():
        assert entry.kind in ("api", "task"), entry.id
        assert entry.retry in catalogue.RETRY_CLASSES, entry.id
        assert entry.causes, entry.id
        assert entry.cure, entry.id
        assert entry.source, entry.id
        said = catalogue.words(entry.id)
        assert "{" not in said, entry.id
        assert catalogue.explain(said).id == entry.id
        assert catalogue.explain(f"CLIENT_ERROR : {said}").id == entry.id


def test_no_code_belongs_to_two_entries() -> None:
    codes = [code for entry in catalogue.entries().values() for code in entry.codes]
    assert len(codes) == len(set(codes))
    for entry in catalogue.entries().values():
        for code in entry.codes:
            assert catalogue.explain("", code).id == entry.id


def test_words_are_filled_with_what_is_given() -> None:
    assert catalogue.words("role-not-usable", role="other").startswith("The service role other provided does not exist")
    assert catalogue.words("kernel-unsupported", kernel="6.1.0") == "ClientError: Unsupported kernel version 6.1.0"
    with pytest.raises(KeyError):
        catalogue.words("no such entry")


def test_every_command_in_a_cure_can_be_typed() -> None:
    commands = _commands(typer.main.get_command(build()), "vmie")
    for entry in catalogue.entries().values():
        for run in (action for action in entry.cure if isinstance(action, Run) and action.argv[0] == "vmie"):
            name = next((name for name in (" ".join(run.argv[:3]), " ".join(run.argv[:2])) if name in commands), "")
            assert name, (entry.id, run)
            flags = {word for word in run.argv if word.startswith("--")}
            assert flags <= commands[name] | commands["vmie"], (entry.id, run)


def test_every_option_in_a_cure_is_one_of_ours() -> None:
    known = set().union(*_commands(typer.main.get_command(build()), "vmie").values())
    for entry in catalogue.entries().values():
        for action in entry.cure:
            options = (
                (action.option,) if isinstance(action, Set) else action.options if isinstance(action, Drop) else ()
            )
            assert {f"--{option.replace('_', '-')}" for option in options} <= known, (entry.id, action)
            if not isinstance(action, Run):
                assert "--" not in action.text() or "update-initramfs" in action.text(), (entry.id, action)


def _commands(command: Any, name: str) -> dict[str, set[str]]:
    found = {name: {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)}}
    for verb, inner in getattr(command, "commands", {}).items():
        found |= _commands(inner, f"{name} {verb}")
    return found


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pw@proxy:3128", "http://me:[redacted]@proxy:3128"),
        ("postgresql+psycopg://me:p@ss:1@db/vmie", "postgresql+psycopg://me:[redacted]@db/vmie"),
        ('Failed to parse: "socks5://me:a/b#c@proxy"', 'Failed to parse: "socks5://me:[redacted]@proxy"'),
        ("https://:pw@host", "https://:[redacted]@host"),
        (
            "postgresql://me@db/vmie?sslmode=require&password=pw",
            "postgresql://me@db/vmie?sslmode=require&password=[redacted]",
        ),
        ("http://127.0.0.1:4566/a@b", "http://127.0.0.1:4566/a@b"),
        ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
        ("https://host/ by me@example.com: no", "https://host/ by me@example.com: no"),
    ],
)
def test_passwords_in_urls_are_redacted(text: str, shown: str) -> None:
    assert catalogue.redact(f"see {text}") == f"see {shown}"
    assert catalogue.redacted({"a": [text, 1, None]}) == {"a": [shown, 1, None]}


def test_redacting_is_quick_whatever_the_text() -> None:
    assert len(catalogue.redact("://a:b" * 200_000)) == 1_200_000
