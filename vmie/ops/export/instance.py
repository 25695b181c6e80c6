"""CreateInstanceExportTask: an instance becomes objects in S3. It takes no token: a marker in the description does."""

from __future__ import annotations

from typing import Any

from vmie import events
from vmie.aws import ec2
from vmie.aws.ec2_requests import ExportInstance
from vmie.errors import AwsRefused, Run
from vmie.model import TaskKind
from vmie.ops import idempotency
from vmie.ops.export.operation import ExportOperation


class InstanceExport(ExportOperation):
    """An export of an instance."""

    def _submit(self, number: int) -> dict[str, Any]:
        request, token = self.planned.request, self._token
        marker = idempotency.marker_of(token)
        made = ExportInstance(
            request.source,
            target=request.environment,
            format=request.disk_format,
            container=request.container,
            bucket=self._bucket,
            prefix=self.planned.prefix,
            description=f"{request.description} {marker}".strip(),
            tags=self._tags,
        )
        self.context.reporter(events.Stage("submit", "CreateInstanceExportTask"))
        try:
            return idempotency.submit(
                self.context,
                TaskKind.EXPORT_INSTANCE,
                lambda: ec2.export_instance(self.context.aws, made),
                token=token,
                marker=marker,
                shared=bool(request.client_token),
                keep=self._place,
            )
        except AwsRefused as error:
            if error.code in ("NotExportable", "UnsupportedOperation"):
                error.add_cure(self._by_image())
            raise

    def _by_image(self) -> tuple[Run, ...]:
        """An instance that AWS does not export directly may be exported by way of an AMI."""
        source = self.request.source
        create = ("aws", "ec2", "create-image", "--instance-id", source, "--name", f"{source}-export")
        export = ("vmie", "export", "AMI", "--format", self.planned.request.disk_format)
        return (Run(create, "by way of an AMI; then:"), Run(export))
