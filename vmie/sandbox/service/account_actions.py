"""Actions on the account that moto lacks: EBS and AMI settings, quotas."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response
from moto.servicequotas.responses import ServiceQuotasResponse

from vmie.sandbox.patching import Patcher

_ACCOUNT = "123456789012"


def install(patcher: Patcher) -> None:
    """Attach the actions."""
    patcher.attribute(EC2Response, "get_ebs_default_kms_key_id", _get_ebs_default_kms_key_id)
    patcher.attribute(EC2Response, "modify_ebs_default_kms_key_id", _modify_ebs_default_kms_key_id)
    patcher.attribute(EC2Response, "get_image_block_public_access_state", _get_image_block_public_access_state)
    patcher.attribute(ServiceQuotasResponse, "list_service_quotas", _list_service_quotas)


def _get_ebs_default_kms_key_id(self: Any) -> Any:
    return ActionResult({"KmsKeyId": vars(self.ec2_backend).get("vmie_ebs_key") or "alias/aws/ebs"})


def _modify_ebs_default_kms_key_id(self: Any) -> Any:
    vars(self.ec2_backend)["vmie_ebs_key"] = self._get_param("KmsKeyId")
    return _get_ebs_default_kms_key_id(self)


def _get_image_block_public_access_state(self: Any) -> Any:
    return ActionResult({"ImageBlockPublicAccessState": "block-new-sharing"})


def _list_service_quotas(self: Any) -> str:
    return '{"Quotas": []}'
