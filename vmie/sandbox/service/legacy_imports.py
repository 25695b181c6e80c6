"""What ImportInstance and ImportVolume do at their steps: read the manifest and its parts, make a volume of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from moto.utilities.utils import get_partition

from vmie.aws import manifest
from vmie.aws.manifest import ImportManifest
from vmie.disk.base import Disk
from vmie.errors import ImageError
from vmie.sandbox.moto_fixes import compute
from vmie.sandbox.moto_fixes.compute import GIB, SnapshotContents
from vmie.sandbox.service import legacy_instances, soundness, validation
from vmie.sandbox.service.tasks import SandboxTask, StepPending, TaskFailure
from vmie.sandbox.service.timeline import Phase
from vmie.sandbox.service.url_client import HttpError, UrlClient
from vmie.sandbox.storage import Blob

INSTANCE, VOLUME = "import-i-", "import-vol-"
INVALID_MANIFEST = "ClientError: Invalid manifest [{reason}]"
NO_BOOT = "ClientError: No bootable partition found"


class LegacyImportHandler:
    """Both calls. `web` answers for a partition."""

    def __init__(
        self,
        contents: SnapshotContents,
        *,
        web: Callable[[str], UrlClient],
        verdict: validation.GuestVerdict,
    ) -> None:
        self._contents = contents
        self._web = web
        self._verdict = verdict

    def accept(self, task: SandboxTask) -> None:
        """Make what the answer names: the instance, or the volume's id; raises moto's own refusals."""
        backend = compute.backend_of(task.account, task.region)
        task.platform = str(task.request.get("Platform") or "").capitalize()
        if task.id.startswith(VOLUME):
            task.work["zone"] = _zone(backend, task.request)
            task.work["image"] = task.request
            return
        launch: Mapping[str, Any] = task.request.get("LaunchSpecification") or {}
        instance = legacy_instances.make_instance(backend, launch, platform=task.platform)
        task.work["instance"], task.work["zone"] = instance, instance.placement.zone
        task.work["image"] = task.request["DiskImages"][0]

    def do(self, phase: Phase, task: SandboxTask) -> None:
        """See `TaskHandler`."""
        if phase is Phase.VALIDATE:
            task.work["manifest"] = self._manifest(task)
        elif phase is Phase.CONVERT:
            self._assemble(task)
        elif phase is Phase.FINISH:
            self._make(task)
            self._clean(task)

    def discard(self, task: SandboxTask) -> None:
        """See `TaskHandler`: the instance goes, and its volume with it. The parts stay: they are the user's."""
        instance = task.work.get("instance")
        if instance is not None and instance.state != "terminated":
            instance.terminate()

    def _manifest(self, task: SandboxTask) -> ImportManifest:
        image = task.work["image"]["Image"]
        found = self._fetch(task, str(image["ImportManifestUrl"]), "the manifest")
        try:
            parsed = manifest.parse(found.pread(0, manifest.MOST_BYTES + 1))
        except ImageError as error:
            raise TaskFailure(INVALID_MANIFEST.format(reason=error.cause)) from error
        asked = str(image["Format"]).upper(), int(image["Bytes"])
        for name, here, there in zip(("format", "size"), (parsed.format, parsed.size), asked, strict=True):
            if here != there:
                raise TaskFailure(INVALID_MANIFEST.format(reason=f"its {name} is {here}, the request's {there}"))
        return parsed

    def _assemble(self, task: SandboxTask) -> None:
        """Read every part and open the disk that they make."""
        parsed: ImportManifest = task.work["manifest"]
        web = self._web(get_partition(task.region))
        for index, part in enumerate(parsed.parts):
            self._ask(task, partial(web.head, part.head_url), f"part {index}")
        parts: list[Blob] = []
        for index, part in enumerate(parsed.parts):
            found = self._fetch(task, part.get_url, f"part {index}")
            if found.size != part.length:
                reason = f"part {index} has {found.size} bytes, its byte range {part.length}"
                raise TaskFailure(INVALID_MANIFEST.format(reason=reason))
            parts.append(found)
        whole = Blob.joined(parts).named(f"the image of {task.id}")
        disk = validation.open_disks(whole, parsed.format)[0]
        soundness.check_tables([disk])
        self._validate(task, disk)
        soundness.read(task, [disk])
        task.work["opener"] = lambda: validation.open_disks(whole, parsed.format)[0]

    def _validate(self, task: SandboxTask, disk: Disk) -> None:
        validation.check_sizes([disk], validation.SNAPSHOT_LIMIT)
        capacity = int(task.work["image"]["Volume"]["Size"]) * GIB
        if disk.size > capacity:
            raise TaskFailure(
                f"ClientError: Disk validation failed [The disk image size of {disk.size} bytes "
                f"exceeds the volume size of {capacity // GIB} GiB]"
            )
        if task.id.startswith(VOLUME):
            return
        if (disk.format, disk.variant) == ("vhd", "fixed"):
            raise TaskFailure(validation.UNSUPPORTED_FORMAT)
        # a type of two digits is one of an MBR, all but that of the protective one
        types = validation.partition_types(disk)
        if any(len(one) > 2 or one == "ee" for one in types):
            raise TaskFailure(NO_BOOT)
        validation.look([disk], self._verdict)

    def _make(self, task: SandboxTask) -> None:
        backend = compute.backend_of(task.account, task.region)
        volume = legacy_instances.make_volume(
            backend,
            self._contents,
            task.work["opener"],
            size_gib=int(task.work["image"]["Volume"]["Size"]),
            zone=task.work["zone"],
        )
        task.work["volume"] = volume.id
        if (instance := task.work.get("instance")) is not None:
            backend.attach_volume(volume.id, instance.id, legacy_instances.ROOT, True)

    def _clean(self, task: SandboxTask) -> None:
        """Call the delete URLs; what cannot be deleted is left."""
        parsed: ImportManifest = task.work["manifest"]
        web = self._web(get_partition(task.region))
        for url in [*(part.delete_url for part in parsed.parts), parsed.self_destruct_url]:
            if url:
                try:
                    web.delete(url)
                except HttpError:
                    continue

    def _fetch(self, task: SandboxTask, url: str, what: str) -> Blob:
        web = self._web(get_partition(task.region))
        found: Blob = self._ask(task, partial(web.get, url), what)
        return found

    def _ask(self, task: SandboxTask, call: Callable[[], Any], what: str) -> Any:
        """What `call` answers. Something that is not there yet is waited for, until the task expires."""
        try:
            answer = call()
        except HttpError as problem:
            if problem.status == 404:
                task.work["lacks"] = f"{what}: {problem}"
                raise StepPending from problem
            raise TaskFailure(validation.NO_ACCESS.format(reason=f"{problem}: {what}")) from problem
        task.work.pop("lacks", None)
        return answer


def expires(task: SandboxTask, life_seconds: float) -> dt.datetime:
    """When an unfinished task expires."""
    return task.created + dt.timedelta(seconds=life_seconds)


def _zone(backend: Any, request: Mapping[str, Any]) -> str:
    if name := request.get("AvailabilityZone"):
        legacy_instances.expect_zone(backend, name)
        return str(name)
    wanted = request["AvailabilityZoneId"]
    found = {zone.zone_id: zone.name for zone in backend.describe_availability_zones()}
    legacy_instances.expect_zone(backend, str(found.get(wanted, wanted)))
    return str(found[wanted])
