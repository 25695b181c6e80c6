"""What ImportImage and ImportSnapshot do at their steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from moto.utilities.utils import get_partition

from vmie.disk.base import Disk
from vmie.model import TaskKind
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.moto_fixes import compute
from vmie.sandbox.moto_fixes.compute import Device, RegisteredImage, SnapshotContents
from vmie.sandbox.service import soundness, validation
from vmie.sandbox.service.account_state import StoredObject
from vmie.sandbox.service.authorization import RoleJudge
from vmie.sandbox.service.requests import SourceLocation
from vmie.sandbox.service.tasks import SandboxTask, SourceView, TaskFailure
from vmie.sandbox.service.timeline import Phase
from vmie.sandbox.service.url_client import HttpError, UrlClient

_DEVICES = ("/dev/sda1", *(f"/dev/sd{letter}" for letter in "bcdefghijklmnopqrstuvwxyz"))


class ImportHandler:
    """Both kinds: an image is a snapshot per disk, plus a look at the guest and an AMI."""

    def __init__(
        self,
        authorization: RoleJudge,
        contents: SnapshotContents,
        *,
        verdict: validation.GuestVerdict,
        suffix: Callable[[], str],
        web: Callable[[str], UrlClient],
    ) -> None:
        self._authorization = authorization
        self._contents = contents
        self._verdict = verdict
        self._suffix = suffix
        self._web = web

    def accept(self, task: SandboxTask, containers: list[dict[str, Any]], locations: list[SourceLocation]) -> None:
        """Check the request and fill in the task's sources; raises ApiError."""
        task.work["locations"] = locations
        task.work["etags"] = [self._accept_source(task, location) for location in locations]
        task.origin = ", ".join(one.snapshot_id or f"{one.bucket}/{one.key}" for one in locations)
        task.work["kms"] = self._authorization.encryption(task)
        for container in containers:
            bucket = container.get("UserBucket") or {}
            task.sources.append(
                SourceView(
                    description=container.get("Description") or "",
                    format=str(container.get("Format") or "").upper(),
                    url=container.get("Url") or "",
                    bucket=bucket.get("S3Bucket") or "",
                    key=bucket.get("S3Key") or "",
                )
            )

    def do(self, phase: Phase, task: SandboxTask) -> None:
        """See `TaskHandler`."""
        if phase is Phase.VALIDATE:
            self._validate(task)
        elif phase is Phase.CONVERT:
            self._converted(task)
        elif phase is Phase.ASSEMBLE or task.kind is TaskKind.IMPORT_SNAPSHOT:
            self._snapshots(task)
        else:
            self._image(task)

    def discard(self, task: SandboxTask) -> None:
        """See `TaskHandler`: an import that ends leaves no snapshot behind."""
        backend = compute.backend_of(task.account, task.region)
        for snapshot_id in task.work.pop("snapshots", ()):
            backend.snapshots.pop(snapshot_id, None)
        for source in task.sources:
            source.snapshot_id = ""

    def _accept_source(self, task: SandboxTask, location: SourceLocation) -> str:
        if location.snapshot_id:
            self._authorization.assume(task)
            if location.snapshot_id not in compute.backend_of(task.account, task.region).snapshots:
                raise ApiError("InvalidSnapshot.NotFound", f"The snapshot '{location.snapshot_id}' does not exist.")
            return ""
        if location.signed and not location.bucket:
            self._authorization.assume(task)
            return ""
        found = self._authorization.source(task, location, image=task.kind is TaskKind.IMPORT_IMAGE)
        task.size += found.content.size
        return found.etag

    def _fetch(self, task: SandboxTask, location: SourceLocation) -> StoredObject:
        if location.signed:
            try:
                content = self._web(get_partition(task.region)).get(location.signed)
            except HttpError as error:
                raise TaskFailure(validation.NO_ACCESS.format(reason=str(error))) from error
            if not location.bucket:
                return StoredObject("", "", content, "")
        found, reason = self._authorization.readable(task, location, image=task.kind is TaskKind.IMPORT_IMAGE)
        if found is None:
            raise TaskFailure(validation.NO_ACCESS.format(reason=reason))
        return found

    def _validate(self, task: SandboxTask) -> None:
        """Read the sources: from here on Describe shows the disks that are in them."""
        disks: list[Disk] = []
        views: list[SourceView] = []
        openers: list[Callable[[], Disk]] = []
        image = task.kind is TaskKind.IMPORT_IMAGE
        for location, view in zip(task.work["locations"], task.sources, strict=True):
            opened, opener, size = self._open(task, location, view.format)
            for index, disk in enumerate(opened):
                views.append(
                    SourceView(
                        description=view.description,
                        # an appliance's disks show as what they are inside (aws-facts 1.12)
                        format=disk.format.upper() if view.format == "OVA" else view.format,
                        url=view.url,
                        bucket=view.bucket,
                        key=view.key,
                        size=size,
                        status="active" if image else "",
                    )
                )
                openers.append(partial(opener, index))
            disks += opened
        validation.check_sizes(disks, validation.IMAGE_LIMIT if image else validation.SNAPSHOT_LIMIT)
        soundness.check_tables(disks)
        if image:
            machine = validation.look(disks, self._verdict)
            task.platform = task.request.get("Platform") or machine.platform
            task.firmware = task.request.get("BootMode") or machine.firmware
            task.architecture = task.request.get("Architecture") or "x86_64"
        task.sources = views
        task.work["openers"], task.work["sizes"] = openers, [disk.size for disk in disks]

    def _open(
        self, task: SandboxTask, location: SourceLocation, format_: str
    ) -> tuple[list[Disk], Callable[[int], Disk], int]:
        if location.snapshot_id:
            disk = self._contents.open(location.snapshot_id)
            if disk is None:
                raise TaskFailure(validation.NO_PARTITIONS)
            return [disk], lambda _: disk, disk.size
        found = self._fetch(task, location)
        disks = validation.open_disks(found.content, format_)
        return disks, lambda index: validation.open_disks(found.content, format_)[index], found.content.size

    def _converted(self, task: SandboxTask) -> None:
        """The whole source has been read: it must have stayed what it was until now."""
        for location, etag in zip(task.work["locations"], task.work["etags"], strict=True):
            if not location.snapshot_id and self._fetch(task, location).etag != etag:
                raise TaskFailure("ClientError: Disk validation failed [The object changed while it was read]")
        soundness.read(task, [opener() for opener in task.work["openers"]])
        for index, source in enumerate(task.sources):
            source.status, source.device = "completed" if task.platform else "", _DEVICES[index]

    def _snapshots(self, task: SandboxTask) -> None:
        backend = compute.backend_of(task.account, task.region)
        made = task.work.setdefault("snapshots", [])
        for source, opener, size in zip(task.sources, task.work["openers"], task.work["sizes"], strict=True):
            source.snapshot_id = f"snap-{self._suffix()}"
            compute.make_snapshot(
                backend,
                source.snapshot_id,
                size=size,
                description=f"Created by AWS-VMImport service for {task.id}",
                encrypted=task.work["kms"] is not None,
                kms_key=task.work["kms"],
            )
            self._contents.remember(source.snapshot_id, opener)
            made.append(source.snapshot_id)

    def _image(self, task: SandboxTask) -> None:
        backend = compute.backend_of(task.account, task.region)
        task.image_id = f"ami-{self._suffix()}"
        devices = [
            Device(
                source.device,
                source.snapshot_id,
                max(1, -(-size // compute.GIB)),
                encrypted=task.work["kms"] is not None,
            )
            for source, size in zip(task.sources, task.work["sizes"], strict=True)
        ]
        image = RegisteredImage(
            backend,
            task.image_id,
            devices=devices,
            # There is no way to ask for a name: the task's id it is (aws-facts 1.1).
            name=task.id,
            description=f"AWS-VMImport service: {task.platform} - {task.request.get('Description') or task.id}",
            architecture=task.architecture,
            virtualization_type="hvm",
            hypervisor="xen",
            platform="windows" if task.platform == "Windows" else None,
            root_device_name=devices[0].name,
            firmware=task.firmware,
        )
        image.prepared = True  # with EC2's drivers, and DHCP
        image.usage_operation = task.request.get("UsageOperation") or usage_operation(task)
        backend.amis[image.id] = image


def usage_operation(task: SandboxTask) -> str:
    """What the result is billed as, when the request says nothing (aws-facts 3.9)."""
    if task.platform != "Windows":
        return "RunInstances"
    return "RunInstances:0800" if license_type(task) == "BYOL" else "RunInstances:0002"


def license_type(task: SandboxTask) -> str:
    """AWS for Windows Server, BYOL for the rest, unless asked otherwise (aws-facts 1.1)."""
    return task.request.get("LicenseType") or ("AWS" if task.platform == "Windows" else "BYOL")
