"""ImportImage: disks become an AMI that AWS has prepared for EC2."""

from __future__ import annotations

from vmie.aws import ec2
from vmie.aws.ec2_requests import ImportImage
from vmie.model import Task, TaskKind
from vmie.ops.import_.by_object import ByObject


class ImageImport(ByObject):
    """An import by ImportImage."""

    call = "ImportImage"
    kind = TaskKind.IMPORT_IMAGE

    def _call(self, token: str) -> Task:
        return ec2.import_image(
            self.context.aws,
            ImportImage(
                disks=self._disks,
                token=token,
                description=self._description,
                **self.planned.request.group("The guest"),
                encryption=self._encryption,
                role_name=self.planned.role_name,
                tags=self._task_tags,
            ),
        )
