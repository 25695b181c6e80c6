"""ImportInstance, ImportVolume, DescribeConversionTasks and CancelConversionTask, attached to moto's EC2."""

from __future__ import annotations

from typing import Any

from moto.ec2.responses import EC2Response

from vmie.model import TaskKind, TaskState
from vmie.sandbox import api_errors
from vmie.sandbox.patching import Patcher
from vmie.sandbox.service import legacy_requests
from vmie.sandbox.service.legacy_imports import INSTANCE, VOLUME, LegacyImportHandler, expires
from vmie.sandbox.service.task_actions import answering, parameters, tags
from vmie.sandbox.service.task_service import Service
from vmie.sandbox.service.tasks import SandboxTask

ACTIONS = ("import_instance", "import_volume", "describe_conversion_tasks", "cancel_conversion_task")


class LegacyActions:
    """One method per action, as in `task_actions.TaskActions`."""

    def __init__(self, service: Service, work: LegacyImportHandler) -> None:
        self._service = service
        self._work = work

    def import_instance(self, call: Any) -> Any:
        """ImportInstance."""
        request = parameters(call)
        legacy_requests.check_import_instance(request, region=call.region)
        return {"ConversionTask": self._create(call, request, INSTANCE)}

    def import_volume(self, call: Any) -> Any:
        """ImportVolume."""
        request = parameters(call)
        legacy_requests.check_import_volume(request, region=call.region)
        return {"ConversionTask": self._create(call, request, VOLUME)}

    def describe_conversion_tasks(self, call: Any) -> Any:
        """DescribeConversionTasks: no filters, no pages."""
        request = parameters(call)
        if request.get("DryRun"):
            raise api_errors.dry_run()
        with self._service.lock:
            ids = request.get("ConversionTaskIds") or ()
            if ids:
                found = [self._find(call, one) for one in dict.fromkeys(ids)]
            else:
                found = self._service.listed((TaskKind.CONVERSION,), account=call.current_account, region=call.region)
            return {"ConversionTasks": [self._shape(call, task) for task in found]}

    def cancel_conversion_task(self, call: Any) -> Any:
        """CancelConversionTask; answers with nothing."""
        request = parameters(call)
        if not request.get("ConversionTaskId"):
            raise api_errors.missing_parameter("ConversionTaskId")
        task = self._find(call, request["ConversionTaskId"])
        if request.get("DryRun"):
            raise api_errors.dry_run()
        self._service.cancel(task, reason=request.get("ReasonMessage") or "")
        return {}

    def _create(self, call: Any, request: dict[str, Any], prefix: str) -> dict[str, Any]:
        task = self._service.create(
            TaskKind.CONVERSION,
            account=call.current_account,
            region=call.region,
            request=request,
            accept=self._work.accept,
            prefix=prefix,
        )
        return self._shape(call, task)

    def _find(self, call: Any, task_id: str) -> SandboxTask:
        task = self._service.find(task_id, account=call.current_account, region=call.region)
        if task is None or task.kind is not TaskKind.CONVERSION:
            raise api_errors.unknown_import(task_id)
        return task

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


def install(patcher: Patcher, actions: LegacyActions, service: Service) -> None:
    """Attach the actions."""
    for name in ACTIONS:
        patcher.attribute(EC2Response, name, answering(getattr(actions, name), service))
