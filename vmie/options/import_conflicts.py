"""Options of an import that do not go together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vmie.errors import Set, UsageError, says
from vmie.model import Route, S3Object


def judged_sources(sources: Sequence[str], route: Route) -> Iterator[UsageError]:
    """What the route's call cannot take of the disks."""
    if len(sources) > 1 and route in (Route.SNAPSHOT, Route.VOLUME):
        whole = Route.IMAGE if route is Route.SNAPSHOT else Route.INSTANCE
        yield UsageError(
            says(f"{{route={route}}} takes one disk"),
            cause=f"{route.call} has one disk",
            cure=says(f"import the disks one by one, or all of them with {{route={whole}}}"),
        )
    for source in sources:
        if source.startswith("s3://"):
            try:
                S3Object.parse(source)
            except ValueError:
                yield UsageError(f"{source!r} names no object in S3", cure="give s3://BUCKET/KEY", fields=("sources",))


def judged_launch(*, instance_type: str, tenancy: str, private_ip: str, subnet: str) -> Iterator[UsageError]:
    """What ImportInstance cannot make an instance of."""
    if not instance_type:
        yield UsageError(
            says("{instance_type} is missing"),
            cause="ImportInstance makes an instance, and an instance has a type",
            cure=Set("instance_type", "m3.medium", "or another type"),
        )
    if tenancy == "dedicated" and instance_type.startswith("t2."):
        yield UsageError(
            says("{tenancy=dedicated}: not with a t2 instance"),
            cause="t2 instances do not run on dedicated hardware (2016 prerequisites page)",
            cure=says("choose another {instance_type}"),
        )
    if private_ip and not subnet:
        yield UsageError(says("{private_ip} needs {subnet}"), cure="name the subnet that the address is in")
