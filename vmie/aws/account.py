"""Settings of an account in a Region that an import meets: quotas, AMI sharing, VPC endpoints. Reads only."""

from __future__ import annotations

import json
from typing import Any

from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.policy.evaluate import Access, Decision, Principal, decide

#: the Service Quotas code of VM Import/Export (aws-facts 3.3)
SERVICE_CODE = "vmimportexport"


def image_public_access(aws: Aws) -> str:
    """``block-new-sharing`` or ``unblocked``. Raises AwsRefused."""
    with refusals("GetImageBlockPublicAccessState"):
        return str(aws.client("ec2").get_image_block_public_access_state()["ImageBlockPublicAccessState"])


def service_quotas(aws: Aws) -> list[tuple[str, float]]:
    """(name, value) of every quota that Service Quotas prints for VM Import/Export; asked once, without patience.

    Raises AwsRefused, VmieError: the service does not exist in every Region.
    """
    with refusals("ListServiceQuotas", operand=SERVICE_CODE):
        answer: Any = aws.once("service-quotas").list_service_quotas(ServiceCode=SERVICE_CODE)
    return [(str(quota["QuotaName"]), float(quota["Value"])) for quota in answer.get("Quotas", [])]


def narrow_endpoints(aws: Aws) -> list[str]:
    """The VPC endpoints of S3, EC2 and EBS whose own policy does not allow everything. Raises AwsRefused."""
    names = [f"com.amazonaws.{aws.region}.{service}" for service in ("s3", "ec2", "ebs")]
    with refusals("DescribeVpcEndpoints"):
        pages = (
            aws.client("ec2")
            .get_paginator("describe_vpc_endpoints")
            .paginate(Filters=[{"Name": "service-name", "Values": names}])
        )
        found = [endpoint for page in pages for endpoint in page["VpcEndpoints"]]
    return [str(one["VpcEndpointId"]) for one in found if not _open(one.get("PolicyDocument") or "")]


def _open(document: str) -> bool:
    """Whether an endpoint's policy lets anybody do anything; none means the default, which does."""
    try:
        readable = bool(json.loads(document)) if document else False
    except (ValueError, RecursionError):
        return False
    anyone = Principal("AWS", ("*",))
    return not readable or decide([document], Access("any:thing", "arn:any"), principal=anyone) is Decision.ALLOW
