"""What ExportImage and CreateInstanceExportTask do at their steps: real disk files, written from what was imported."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any

from vmie.disk.base import Disk
from vmie.disk.stream import TARGETS
from vmie.model import ExtentKind, TaskKind, TaskState
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.moto_fixes import compute
from vmie.sandbox.moto_fixes.compute import GIB, SnapshotContents
from vmie.sandbox.service import account_state
from vmie.sandbox.service.authorization import RoleJudge
from vmie.sandbox.service.ova_writer import write_ova
from vmie.sandbox.service.tasks import SandboxTask, StepPending
from vmie.sandbox.service.timeline import Phase
from vmie.sandbox.storage import Blob, BlobFile, SparseDisk

VERIFICATION = "vmimportexport_write_verification"
#: a volume of an export may not be larger (aws-facts 3.1)
VOLUME_LIMIT_GIB = 1024
#: bytes that are digested in under a second
_DIGESTED = 512 << 20


class ExportHandler:
    """Both kinds. The conversion runs in `executor`; with `wait` a step waits for it, else it is tried again later."""

    def __init__(
        self,
        authorization: RoleJudge,
        contents: SnapshotContents,
        *,
        tasks: dict[str, SandboxTask],
        executor: Executor,
        wait: bool,
    ) -> None:
        self._authorization = authorization
        self._contents = contents
        self._tasks = tasks
        self._executor = executor
        self._wait = wait

    def accept_image(self, task: SandboxTask) -> None:
        """Check an ExportImage; raises ApiError."""
        request = task.request
        backend = compute.backend_of(task.account, task.region)
        image = compute.find_image(backend, request["ImageId"])
        _refuse_image(image, task.account)
        if any(
            other.state is TaskState.ACTIVE and other.request.get("ImageId") == image.id
            for other in self._tasks.values()
            if other.kind is TaskKind.EXPORT_IMAGE
        ):
            raise ApiError("ResourceLimitExceeded", f"The image '{image.id}' already has an export task in progress.")
        where = request["S3ExportLocation"]
        task.key = f"{where.get('S3Prefix') or ''}{task.id}.{request['DiskImageFormat'].lower()}"
        task.work["bucket"] = self._authorization.image_target(task, where["S3Bucket"], task.key)
        task.work["prefix"] = where.get("S3Prefix") or ""
        task.work["volumes"] = [
            (one["Ebs"].get("SnapshotId", ""), one["Ebs"]["VolumeSize"]) for one in image.block_device_mappings
        ]
        task.origin, task.size = image.id, GIB * sum(size for _, size in task.work["volumes"])

    def accept_instance(self, task: SandboxTask) -> None:
        """Check a CreateInstanceExportTask; raises ApiError."""
        request = task.request
        backend = compute.backend_of(task.account, task.region)
        instance = compute.find_instance(backend, request["InstanceId"])
        volumes = compute.volumes_of(backend, instance)
        _refuse_instance(backend, instance, volumes)
        where = request["ExportToS3Task"]
        suffix = (where.get("ContainerFormat") or where["DiskImageFormat"]).lower()
        task.key = f"{where.get('S3Prefix') or ''}{task.id}.{suffix}"
        task.work["bucket"] = self._authorization.instance_target(task, where["S3Bucket"], task.key)
        task.work["prefix"] = where.get("S3Prefix") or ""
        task.work["volumes"] = [(volumes[0].id, volumes[0].size)]
        task.origin, task.size = instance.id, GIB * volumes[0].size

    def do(self, phase: Phase, task: SandboxTask) -> None:
        """See `TaskHandler`."""
        if phase is Phase.VALIDATE:
            account_state.put(task.work["bucket"], task.work["prefix"] + VERIFICATION, Blob.of(b""))
            task.work["job"] = self._executor.submit(self._write, task)
        elif phase is Phase.FINISH:
            job: Future[list[tuple[str, Blob, str]]] = task.work["job"]
            if not self._wait and not job.done():
                raise StepPending
            for key, content, digest in job.result():
                account_state.put(task.work["bucket"], key, content, etag=digest)

    def discard(self, task: SandboxTask) -> None:
        """See `TaskHandler`: nothing is put before the end, so only the conversion has to stop."""
        if job := task.work.get("job"):
            job.cancel()

    def _write(self, task: SandboxTask) -> list[tuple[str, Blob, str]]:
        """Key, content and MD5 of every object; "" where the digest would take long."""
        out = []
        for number, (resource_id, size_gib) in enumerate(task.work["volumes"]):
            # a volume whose bytes the sandbox never saw is all zeros
            disk = self._contents.open(resource_id or "") or SparseDisk(size_gib * GIB)
            # One object per volume (aws-facts 1.9); AWS does not say how it names those after the first.
            stem, dot, suffix = task.key.rpartition(".")
            key = task.key if number == 0 else f"{stem}-disk{number + 1}{dot}{suffix}"
            content = write_disk(disk, suffix, name=task.id)
            out.append((key, content, content.md5() if content.size <= _DIGESTED else ""))
        return out


def write_disk(disk: Disk, suffix: str, *, name: str) -> Blob:
    """The disk as raw, vmdk (stream-optimised), vhd (dynamic) or ova."""
    if suffix == "ova":
        return write_ova(disk, name=name)
    file = BlobFile()
    if suffix == "raw":
        for extent in disk.extents():
            if extent.kind is ExtentKind.ALLOCATED:
                for at in range(extent.offset, extent.end, 8 << 20):
                    file.write_at(at, disk.read(at, min(8 << 20, extent.end - at)))
        file.extend(disk.size)
    else:
        for chunk in TARGETS[suffix].stream(disk, workers=1):
            file.append(chunk)
    return Blob.of_file(file)


def _refuse_image(image: Any, account: str) -> None:
    """What cannot be exported (aws-facts 3.8)."""
    if image.owner_id != account:
        raise ApiError("NotExportable", f"The image '{image.id}' is not owned by this account and cannot be exported.")
    if image.product_codes:
        raise ApiError("NotExportable", "This image cannot be exported.")
    if image.state != "available":
        raise ApiError("IncorrectState", f"The image '{image.id}' is not available.")
    for mapping in image.block_device_mappings:
        ebs = mapping["Ebs"]
        if ebs.get("Encrypted"):
            raise ApiError("NotExportable", "Images with encrypted snapshots cannot be exported.")
        if ebs["VolumeSize"] > VOLUME_LIMIT_GIB:
            raise ApiError("NotExportable", f"Volumes larger than {VOLUME_LIMIT_GIB} GiB cannot be exported.")


def _refuse_instance(backend: Any, instance: Any, volumes: list[Any]) -> None:
    if instance.state not in ("running", "stopped"):
        raise ApiError("IncorrectInstanceState", f"The instance '{instance.id}' is not in a state to be exported.")
    image = backend.amis.get(instance.image_id)
    windows_from_aws = image is not None and image.owner_id != instance.owner_id and image.platform == "windows"
    imported = getattr(instance, "vmie_imported", False)
    if not imported and (image is None or image.product_codes or windows_from_aws):
        raise ApiError("NotExportable", "This instance cannot be exported.")
    if len(instance.nics) > 1:
        raise ApiError("UnsupportedOperation", "This instance has multiple network interfaces attached.")
    if len(volumes) > 1:
        raise ApiError(
            "UnsupportedOperation",
            "This instance has multiple volumes attached. Please remove additional volumes.",
        )
    if not volumes:
        raise ApiError("NotExportable", "Instances without an EBS root volume cannot be exported.")
    if volumes[0].encrypted or volumes[0].size > VOLUME_LIMIT_GIB:
        raise ApiError("NotExportable", "This instance cannot be exported.")
