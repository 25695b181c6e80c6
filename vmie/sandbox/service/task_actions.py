"""The API's actions, attached to moto's EC2: parameters in, task shapes out.

moto parses the request and serialises the answer from botocore's model; what lies between is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2 import models as ec2_models
from moto.ec2 import utils as ec2_utils
from moto.ec2.models import tags as tag_models
from moto.ec2.responses import EC2Response

from vmie.model import TaskKind
from vmie.sandbox import api_errors
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.patching import Patcher
from vmie.sandbox.service import pagination, requests, serialize
from vmie.sandbox.service.exports import ExportHandler
from vmie.sandbox.service.imports import ImportHandler
from vmie.sandbox.service.task_service import TaskService
from vmie.sandbox.service.tasks import SandboxTask

_TASK_PREFIXES = {
    "import-image-task": "import-ami",
    "import-snapshot-task": "import-snap",
    "export-image-task": "export-ami",
    "export-instance-task": "export-i",
    # EC2 has no names for these two: its tagging takes any id.
    "conversion-instance-task": "import-i",
    "conversion-volume-task": "import-vol",
}
_IMPORTS = (TaskKind.IMPORT_IMAGE, TaskKind.IMPORT_SNAPSHOT)
_EXPORTS = (TaskKind.EXPORT_IMAGE, TaskKind.EXPORT_INSTANCE)


class Actions:
    """One public method per action; `call` is moto's response object with the parsed parameters."""

    def __init__(self, service: TaskService) -> None:
        self._service = service

    def install(self, patcher: Patcher) -> None:
        """Attach the actions to moto's EC2."""
        for name in vars(type(self)):
            if not name.startswith("_"):
                patcher.attribute(EC2Response, name, answering(getattr(self, name), self._service))

    def _create(
        self,
        call: Any,
        kind: TaskKind,
        accept: Callable[[SandboxTask], None],
        *,
        tags: dict[str, str] | None = None,
        prefix: str = "",
    ) -> SandboxTask:
        where = {"account": call.current_account, "region": call.region}
        task = self._service.create(kind, request=parameters(call), accept=accept, prefix=prefix, **where)
        if tags:
            call.ec2_backend.create_tags([task.id], tags)
        return task

    def _find(
        self, call: Any, task_id: str, kinds: tuple[TaskKind, ...], unknown: Callable[[str], ApiError]
    ) -> SandboxTask:
        task = self._service.find(task_id, account=call.current_account, region=call.region)
        if task is None or task.kind not in kinds:
            raise unknown(task_id)
        return task


class TaskActions(Actions):
    """The actions of ImportImage, ImportSnapshot and both exports."""

    def __init__(self, service: TaskService, imports: ImportHandler, exports: ExportHandler) -> None:
        super().__init__(service)
        self._imports = imports
        self._exports = exports

    def import_image(self, call: Any) -> Any:
        """ImportImage."""
        request = parameters(call)
        locations = requests.check_import_image(request)
        task = self._create(
            call,
            TaskKind.IMPORT_IMAGE,
            lambda task: self._imports.accept(task, request["DiskContainers"], locations),
            tags=requests.tags_of(request, "import-image-task"),
        )
        return serialize.import_image(task, tags(call, task))

    def import_snapshot(self, call: Any) -> Any:
        """ImportSnapshot."""
        request = parameters(call)
        location = requests.check_import_snapshot(request)
        task = self._create(
            call,
            TaskKind.IMPORT_SNAPSHOT,
            lambda task: self._imports.accept(task, [request["DiskContainer"]], [location]),
            tags=requests.tags_of(request, "import-snapshot-task"),
        )
        return serialize.import_snapshot(task, tags(call, task))

    def export_image(self, call: Any) -> Any:
        """ExportImage."""
        request = parameters(call)
        requests.check_export_image(request)
        task = self._create(
            call,
            TaskKind.EXPORT_IMAGE,
            self._exports.accept_image,
            tags=requests.tags_of(request, "export-image-task"),
        )
        return serialize.export_image(task, tags(call, task))

    def create_instance_export_task(self, call: Any) -> Any:
        """CreateInstanceExportTask."""
        request = parameters(call)
        requests.check_export_instance(request)
        task = self._create(
            call,
            TaskKind.EXPORT_INSTANCE,
            self._exports.accept_instance,
            tags=requests.tags_of(request, "export-instance-task"),
        )
        return {"ExportTask": serialize.export_instance(task, tags(call, task))}

    def describe_import_image_tasks(self, call: Any) -> Any:
        """DescribeImportImageTasks."""
        return self._describe(call, _IMPORT_IMAGES)

    def describe_import_snapshot_tasks(self, call: Any) -> Any:
        """DescribeImportSnapshotTasks."""
        return self._describe(call, _IMPORT_SNAPSHOTS)

    def describe_export_image_tasks(self, call: Any) -> Any:
        """DescribeExportImageTasks."""
        return self._describe(call, _EXPORT_IMAGES)

    def describe_export_tasks(self, call: Any) -> Any:
        """DescribeExportTasks: no pages, no DryRun."""
        return self._describe(call, _EXPORT_INSTANCES)

    def cancel_import_task(self, call: Any) -> Any:
        """CancelImportTask, of both kinds."""
        request = parameters(call)
        if not request.get("ImportTaskId"):
            raise api_errors.missing_parameter("ImportTaskId")
        task = self._find(call, request["ImportTaskId"], _IMPORTS, api_errors.unknown_import)
        if request.get("DryRun"):
            raise api_errors.dry_run()
        before = self._service.cancel(task, reason=request.get("CancelReason") or "")
        return {"ImportTaskId": task.id, "PreviousState": before.value, "State": task.state.value}

    def cancel_export_task(self, call: Any) -> Any:
        """CancelExportTask, of both kinds; answers with nothing."""
        request = parameters(call)
        if not request.get("ExportTaskId"):
            raise api_errors.missing_parameter("ExportTaskId")
        self._service.cancel(self._find(call, request["ExportTaskId"], _EXPORTS, api_errors.unknown_export))
        return {}

    def _describe(self, call: Any, listing: _Listing) -> Any:
        request = parameters(call)
        ids = request.get(listing.ids) or ()
        if request.get("DryRun"):
            raise api_errors.dry_run()
        if ids and request.get("MaxResults") is not None:
            raise ApiError(
                "InvalidParameterCombination",
                f"The parameter {listing.ids} cannot be used with the parameter MaxResults",
            )
        with self._service.lock:
            if ids:
                tasks = [self._find(call, one, (listing.kind,), listing.unknown) for one in dict.fromkeys(ids)]
            else:
                tasks = self._service.listed((listing.kind,), account=call.current_account, region=call.region)
            kept = pagination.filtered(tasks, request.get("Filters") or (), lambda task: tags(call, task))
            shown, token = pagination.page(
                sorted(kept, key=lambda task: task.serial),
                max_results=request.get("MaxResults"),
                token=request.get("NextToken"),
                most=listing.most,
            )
            answer: dict[str, Any] = {listing.name: [listing.shape(task, tags(call, task)) for task in shown]}
        return answer | ({"NextToken": token} if token else {})


@dataclass(frozen=True, slots=True)
class _Listing:
    """A Describe call: the names of its request's ids and its answer's list, and how it shows a task."""

    kind: TaskKind
    ids: str
    name: str
    shape: Callable[[SandboxTask, dict[str, str]], dict[str, Any]]
    unknown: Callable[[str], ApiError]
    most: int = pagination.PAGE


_IMPORT_IMAGES = _Listing(
    TaskKind.IMPORT_IMAGE, "ImportTaskIds", "ImportImageTasks", serialize.import_image, api_errors.unknown_import
)
_IMPORT_SNAPSHOTS = _Listing(
    TaskKind.IMPORT_SNAPSHOT,
    "ImportTaskIds",
    "ImportSnapshotTasks",
    serialize.import_snapshot,
    api_errors.unknown_import,
)
_EXPORT_IMAGES = _Listing(
    TaskKind.EXPORT_IMAGE,
    "ExportImageTaskIds",
    "ExportImageTasks",
    serialize.export_image,
    api_errors.unknown_export,
    500,
)
_EXPORT_INSTANCES = _Listing(
    TaskKind.EXPORT_INSTANCE, "ExportTaskIds", "ExportTasks", serialize.export_instance, api_errors.unknown_export
)


def allow_tags(patcher: Patcher) -> None:
    """Let tasks be tagged as every resource of EC2 is."""
    for resource, prefix in _TASK_PREFIXES.items():
        patcher.item(ec2_utils.EC2_RESOURCE_TO_PREFIX, resource, prefix)
        patcher.item(ec2_utils.EC2_PREFIX_TO_RESOURCE, prefix, resource)
    prefix_of = ec2_utils.get_prefix

    def get_prefix(resource_id: str) -> str:
        return next((one for one in _TASK_PREFIXES.values() if resource_id.startswith(one + "-")), "") or prefix_of(
            resource_id
        )

    for module in (ec2_utils, ec2_models, tag_models):
        patcher.attribute(module, "get_prefix", get_prefix)


def answering(action: Callable[[Any], Any], service: TaskService) -> Callable[[Any], Any]:
    """A method of moto's that answers what `action` returns, or the error that it raises."""

    def method(self: Any) -> Any:
        try:
            return ActionResult(action(self))
        except ApiError as error:
            service.stats.refused(error.code)
            return error.document("ec2")

    return method


def parameters(call: Any) -> dict[str, Any]:
    """The request's parameters, as the API names them."""
    return dict(call._get_params())  # noqa: SLF001 - moto's own way to all parameters


def tags(call: Any, task: SandboxTask) -> dict[str, str]:
    """The tags of a task."""
    return dict(call.ec2_backend.tags.get(task.id) or {})
