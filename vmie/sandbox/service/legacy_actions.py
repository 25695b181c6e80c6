"""ImportInstance, ImportVolume, DescribeConversionTasks and CancelConversionTask, attached to moto's EC2."""

from __future__ import annotations

from typing import Any

from vmie.model import TaskKind, TaskState
from vmie.sandbox import api_errors
from vmie.sandbox.service import legacy_requests
from vmie.sandbox.service.legacy_imports import INSTANCE, VOLUME, LegacyImportHandler, expires
from vmie.sandbox.service.task_actions import Actions, parameters, tags
from vmie.sandbox.service.task_service import TaskService
from vmie.sandbox.service.tasks import SandboxTask

_KINDS = (TaskKind.CONVERSION,)


class LegacyActions(Actions):
    """The actions of ImportInstance and ImportVolume."""

    def __init__(self, service: TaskService, work: LegacyImportHandler) -> None:
        super().__init__(service)
        self._work = work

    def import_instance(self, call: Any) -> Any:
        """ImportInstance."""
        legacy_requests.check_import_instance(parameters(call), region=call.region)
        task = self._create(call, TaskKind.CONVERSION, self._work.accept, prefix=INSTANCE)
        return {"ConversionTask": self._shape(call, task)}

    def import_volume(self, call: Any) -> Any:
        """ImportVolume."""
        legacy_requests.check_import_volume(parameters(call), region=call.region)
        task = self._create(call, TaskKind.CONVERSION, self._work.accept, prefix=VOLUME)
        return {"ConversionTask": self._shape(call, task)}

    def describe_conversion_tasks(self, call: Any) -> Any:
        """DescribeConversionTasks: no filters, no pages."""
        request = parameters(call)
        if request.get("DryRun"):
            raise api_errors.dry_run()
        with self._service.lock:
            ids = request.get("ConversionTaskIds") or ()
            if ids:
                found = [self._find(call, one, _KINDS, api_errors.unknown_import) for one in dict.fromkeys(ids)]
            else:
                found = self._service.listed(_KINDS, account=call.current_account, region=call.region)
            return {"ConversionTasks": [self._shape(call, task) for task in found]}

    def cancel_conversion_task(self, call: Any) -> Any:
        """CancelConversionTask; answers with nothing."""
        request = parameters(call)
        if not request.get("ConversionTaskId"):
            raise api_errors.missing_parameter("ConversionTaskId")
        task = self._find(call, request["ConversionTaskId"], _KINDS, api_errors.unknown_import)
        if request.get("DryRun"):
            raise api_errors.dry_run()
        self._service.cancel(task, reason=request.get("ReasonMessage") or "")
        return {}

    def _shape(self, call: Any, task: SandboxTask) -> dict[str, Any]:
        moment = expires(task, self._service.limits.life_seconds)
        out: dict[str, Any] = {
            "ConversionTaskId": task.id,
            "ExpirationTime": f"{moment:%Y-%m-%dT%H:%M:%S}.000Z",
            "State": task.state.value,
            "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags(call, task).items())],
        }
        if task.message:
            out["StatusMessage"] = task.message
        disk = _disk(task)
        if task.id.startswith(VOLUME):
            out["ImportVolume"] = {**disk, "Description": task.request.get("Description") or ""}
            return out
        status = {"Status": "active" if task.active else task.state.value, "StatusMessage": task.message}
        out["ImportInstance"] = {
            "Description": task.request.get("Description") or "",
            "InstanceId": task.work["instance"].id,
            "Platform": task.platform,
            "Volumes": [{**disk, **status, "Description": task.work["image"].get("Description") or ""}],
        }
        return out


def _disk(task: SandboxTask) -> dict[str, Any]:
    image, volume = task.work["image"]["Image"], task.work["image"]["Volume"]
    size = int(image["Bytes"])
    percent = 100 if task.state is TaskState.COMPLETED else int(task.progress or 0)
    made = {"Id": task.work["volume"]} if task.work.get("volume") else {}
    return {
        "AvailabilityZone": task.work["zone"],
        "BytesConverted": size * percent // 100,
        "Image": {"Format": image["Format"], "ImportManifestUrl": image["ImportManifestUrl"], "Size": size},
        "Volume": {**made, "Size": int(volume["Size"])},
    }
