"""Where an imported instance or volume will be, looked at before anything is sent: zone, subnet, groups, address."""

from __future__ import annotations

import ipaddress
from typing import Any

from vmie import events
from vmie.aws.errors import refusals
from vmie.aws.session import Aws
from vmie.errors import AwsRefused, Drop, PreflightError, Set, UsageError, says
from vmie.limits import LEGACY_REGIONS, LINUX_INSTANCE_TYPES_2016
from vmie.model import Profile, Route
from vmie.options import ImportRequest


def expect_region(region: str, route: Route) -> None:
    """Raises PreflightError where the older calls were never offered: no Region is added any more (aws-facts 1.5)."""
    if region in LEGACY_REGIONS:
        return
    call, way = ("ImportInstance", "image") if route is Route.INSTANCE else ("ImportVolume", "snapshot")
    raise PreflightError(
        f"{call} is not offered in {region}",
        cause=f"AWS has it in {', '.join(LEGACY_REGIONS)} and adds no Region",
        cure=Set("route", way, "works in every Region"),
        code="RegionClosed",
    )


def zone_of(aws: Aws, request: ImportRequest, *, reporter: events.Reporter = events.silent) -> str:
    """The Availability Zone that the options settle, "" where AWS will choose; all that they name is looked at.

    What the caller may not look at is left to AWS. Raises UsageError for what does not fit together, AwsRefused for
    what is not there.
    """
    looked = _Look(aws, reporter)
    zones = looked.zones()
    chosen = request.availability_zone
    if request.route is Route.VOLUME and not chosen:
        raise UsageError(
            says("{availability_zone} is missing"),
            cause="a volume lies in one Availability Zone, that of the instance it is for",
            cure=f"choose from {', '.join(zones) or 'the zones of ' + aws.region}",
        )
    if chosen and zones and chosen not in zones:
        raise UsageError(
            f"{chosen} is no Availability Zone of {aws.region}", cure=f"choose from {', '.join(zones)}", code="NoZone"
        )
    subnet = looked.subnet(request.subnet) if request.subnet else None
    if subnet is not None:
        _fits(request, subnet)
        chosen = str(subnet["AvailabilityZone"])
    ids = [one for one in request.security_groups if one.startswith("sg-")]
    for group in looked.groups(ids) if ids else ():
        if subnet is not None and group.get("VpcId") != subnet.get("VpcId"):
            raise UsageError(
                f"{group['GroupId']} and {request.subnet} are in different VPCs",
                cause=f"{group.get('VpcId')} and {subnet.get('VpcId')}",
                cure="name a security group of the subnet's VPC",
            )
    return chosen


def _fits(request: ImportRequest, subnet: dict[str, Any]) -> None:
    if request.availability_zone and request.availability_zone != subnet["AvailabilityZone"]:
        raise UsageError(
            f"{request.subnet} is in {subnet['AvailabilityZone']}, not in {request.availability_zone}",
            cure=Drop(("availability_zone",), "or name another subnet"),
        )
    network = ipaddress.ip_network(str(subnet.get("CidrBlock") or "0.0.0.0/0"))
    if request.private_ip and ipaddress.ip_address(request.private_ip) not in network:
        where = {"address": request.private_ip, "network": network, "place": request.subnet}
        raise UsageError(says("{private_ip} {address} is not in {network}, the network of {place}", **where))


def expect_type(request: ImportRequest) -> str:
    """See that the instance type takes the platform; a warning where AWS may refuse it, else "".

    The page of 2016 lists the types for Linux; today's guide repeats the list in its troubleshooting chapter only.
    Raises UsageError under the 2016 profile.
    """
    if request.platform.lower() != "linux" or request.instance_type in LINUX_INSTANCE_TYPES_2016:
        return ""
    said = "Linux is not supported on the requested instance"
    if request.rules is Profile.Y2016:
        raise UsageError(
            says("{instance_type}: {_type}: {_said}", _type=request.instance_type, _said=said),
            cause="the 2016 prerequisites page does not list it for Linux",
            cure=f"choose one of {', '.join(LINUX_INSTANCE_TYPES_2016)}",
            code="InstanceType",
        )
    return f"{request.instance_type} is not on the page's list for ImportInstance: AWS may say {said!r}"


class _Look:
    """EC2's answers; None and [] for what may not be looked at."""

    def __init__(self, aws: Aws, reporter: events.Reporter) -> None:
        self._ec2: Any = aws.client("ec2")
        self._reporter = reporter

    def zones(self) -> list[str]:
        found = self._ask("DescribeAvailabilityZones", self._ec2.describe_availability_zones)
        return sorted(zone["ZoneName"] for zone in found.get("AvailabilityZones", ()))

    def subnet(self, name: str) -> dict[str, Any] | None:
        found = self._ask("DescribeSubnets", self._ec2.describe_subnets, SubnetIds=[name]).get("Subnets", ())
        return dict(found[0]) if found else None

    def groups(self, ids: list[str]) -> list[dict[str, Any]]:
        return list(
            self._ask("DescribeSecurityGroups", self._ec2.describe_security_groups, GroupIds=ids).get(
                "SecurityGroups", ()
            )
        )

    def _ask(self, operation: str, call: Any, **parameters: Any) -> dict[str, Any]:
        try:
            with refusals(operation, operand=", ".join(*parameters.values()) if parameters else ""):
                return dict(call(**parameters))
        except AwsRefused as error:
            if error.code not in ("UnauthorizedOperation", "AccessDenied"):
                raise
            self._reporter(events.Note(f"{operation} is not allowed: AWS will look at what it would show", "debug"))
            return {}
