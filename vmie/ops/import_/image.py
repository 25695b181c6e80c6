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
        request = self.planned.request
        return ec2.import_image(
            self.context.aws,
            ImportImage(
                disks=self._disks,
                token=token,
                description=self._description,
                architecture=request.architecture,
                platform=request.platform,
                boot_mode=request.boot_mode,
                license_type=request.license_type,
                usage_operation=request.usage_operation,
                license_configurations=request.license_configurations,
                encryption=self._encryption,
                role_name=self.planned.role_name,
                tags=self._task_tags,
            ),
        )
