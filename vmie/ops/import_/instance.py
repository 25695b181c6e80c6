"""ImportInstance: the boot disk becomes a stopped instance."""

from __future__ import annotations

from typing import Any

from vmie import events
from vmie.aws import conversions
from vmie.aws.conversions import ImportInstance
from vmie.model import Task
from vmie.ops.import_ import idempotency, parts
from vmie.ops.import_.context import Work
from vmie.ops.import_.conversion_plan import ConversionDisk, user_data


def submit(work: Work, planned: ConversionDisk, *, zone: str) -> dict[str, Any]:
    """Start the boot disk's task, once; what the journal keeps of it. `zone` is "" where AWS may choose."""
    request = work.plan.request
    secret = user_data(request)
    work.reporter(events.Stage("submit", "ImportInstance"))

    def call(description: str) -> Task:
        return conversions.import_instance(
            work.aws,
            ImportInstance(
                # Signed when there is room for the task: the URLs' time begins now, not when the queue did.
                disk=parts.image(work, 0, planned),
                platform=request.platform,
                description=description,
                architecture=request.architecture,
                instance_type=request.instance_type,
                subnet_id=request.subnet,
                security_groups=request.security_groups,
                private_ip=request.private_ip,
                availability_zone="" if request.subnet else zone,
                tenancy=request.tenancy,
                user_data=secret,
                shutdown_behavior=request.shutdown_behavior,
                monitoring=request.monitoring,
            ),
        )

    return idempotency.submit(work, 0, call)
