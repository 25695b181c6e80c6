"""ExportImage: an AMI becomes objects in S3. The token makes a repeated call harmless."""

from __future__ import annotations

from typing import Any

from vmie import events
from vmie.aws import ec2
from vmie.aws.ec2_requests import ExportImage
from vmie.model import TaskKind
from vmie.ops import idempotency
from vmie.ops.export.operation import ExportOperation


class ImageExport(ExportOperation):
    """An export of an AMI."""

    def _submit(self, number: int) -> dict[str, Any]:
        request, token = self.planned.request, self._token
        made = ExportImage(
            request.source,
            format=request.disk_format,
            bucket=self._bucket,
            prefix=self.planned.prefix,
            token=token,
            description=request.description,
            role_name=self.planned.role_name,
            # The user's own token stands for one task, whoever asks: then nothing in the call may be of this job alone.
            tags=dict(request.tags) if request.client_token else self._tags,
        )
        self.context.reporter(events.Stage("submit", "ExportImage"))
        return idempotency.submit(
            self.context,
            TaskKind.EXPORT_IMAGE,
            lambda: ec2.export_image(self.context.aws, made),
            token=token,
            keep=self._place,
        )
