"""Instances and volumes as ImportInstance and ImportVolume make them, in moto's EC2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Instance
from moto.moto_api._internal import mock_random

from vmie.disk.base import Disk
from vmie.sandbox.moto_fixes.compute import SnapshotContents
from vmie.sandbox.patching import Patcher

ROOT = "/dev/sda1"


def make_instance(backend: Any, launch: Mapping[str, Any], *, platform: str) -> Any:
    """A stopped instance without a volume yet; raises moto's own refusals (subnet, security group, zone)."""
    placement: Mapping[str, Any] = launch.get("Placement") or {}
    kind = launch.get("InstanceType") or "m1.small"
    if (zone := placement.get("AvailabilityZone")) is not None:
        expect_zone(backend, zone)
    reservation = backend.run_instances(
        # An AMI of Amazon's own, which nobody else can see.
        f"ami-{mock_random.get_random_hex(17)}",
        1,
        (launch.get("UserData") or {}).get("Data"),
        list(launch.get("GroupNames") or ()),
        security_group_ids=list(launch.get("GroupIds") or ()),
        region_name=backend.region_name,
        instance_type=kind,
        is_instance_type_default=True,
        subnet_id=launch.get("SubnetId"),
        private_ip=launch.get("PrivateIpAddress"),
        placement=zone,
        monitoring_state="enabled" if launch.get("Monitoring") else "disabled",
        instance_initiated_shutdown_behavior=launch.get("InstanceInitiatedShutdownBehavior") or "stop",
        block_device_mappings=[],
    )
    instance: Any = reservation.instances[0]
    instance.virtualization_type = "hvm"
    instance.architecture = launch.get("Architecture") or "x86_64"
    instance.platform = "windows" if platform.lower() == "windows" else None
    instance.root_device_name = ROOT
    instance.vmie_imported = True
    instance.placement.tenancy = placement.get("Tenancy") or "default"
    instance.stop()
    return instance


def make_volume(
    backend: Any, contents: SnapshotContents, opener: Callable[[], Disk], *, size_gib: int, zone: str
) -> Any:
    """A volume that holds what `opener` opens."""
    volume = backend.create_volume(size=size_gib, zone_name=zone)
    contents.remember(volume.id, opener)
    return volume


def expect_zone(backend: Any, name: str) -> None:
    """Raises moto's api_errors of an Availability Zone that the Region has not."""
    if name not in {zone.name for zone in backend.describe_availability_zones()}:
        raise EC2ClientError("InvalidParameterValue", f"Invalid availability zone: [{name}]")


def install(patcher: Patcher) -> None:
    """Let an instance start only when its root volume is there."""
    original = Instance.start

    def start(instance: Any) -> Any:
        if getattr(instance, "vmie_imported", False) and ROOT not in instance.block_device_mapping:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Invalid value '{instance.id}' for instanceId. "
                f"Instance does not have a volume attached at root ({ROOT})",
            )
        return original(instance)

    patcher.attribute(Instance, "start", start)
