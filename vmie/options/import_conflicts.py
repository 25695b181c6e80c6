"""Options of an import that do not go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from vmie.errors import Drop, Set, UsageError, says
from vmie.model import Route, S3Object
from vmie.options.base import Extra

#: what CreateVolume takes and ImportVolume does not; what a snapshot takes that was written block by block
VOLUME_BY_EBS = ("encrypted", "kms_key", "volume_type")
#: what ImportSnapshot takes, and EBS does not need
UNNEEDED_BY_EBS = ("role_name", "client_token")


def judged_route(given: Mapping[str, Extra], route: Route, via: str) -> Iterator[UsageError]:
    """Options that the route's call, or the way to AWS, has no parameter for."""
    strange = [(one.routes, name) for name, one in given.items() if one.routes and route not in one.routes]
    if via != "s3" and route is Route.VOLUME:
        strange = [(routes, name) for routes, name in strange if name not in VOLUME_BY_EBS]
    for routes, several in groupby(sorted(strange, key=lambda one: one[0]), key=lambda one: one[0]):
        names = tuple(name for _, name in several)
        listed = ", ".join(f"{{{name}}}" for name in names)
        wanted = " or ".join(f"{{route={one}}}" for one in routes)
        yield UsageError(
            says(f"{listed}: only with {wanted}"),
            cause=f"{route.call} has no such parameter",
            cure=Drop(names),
            fields=names,
        )
    for other in ("s3", "ebs"):
        names = tuple(name for name, one in given.items() if one.via == other != via)
        if names and via != "auto":
            yield UsageError(
                says(f"{', '.join(f'{{{name}}}' for name in names)}: only with {{via={other}}}"),
                cause="EBS takes blocks: there is no object" if other == "s3" else "AWS writes all zeros of an object",
                cure=Drop(names),
                fields=names,
            )


def judged_direct(given: Mapping[str, Extra], sources: Sequence[str], route: Route) -> Iterator[UsageError]:
    """What does not go with writing snapshots block by block."""
    names = tuple(name for name in UNNEEDED_BY_EBS if name in given)
    if names and route is not Route.IMAGE:
        yield UsageError(
            says(f"{', '.join(f'{{{name}}}' for name in names)}: not with {{via=ebs}} and {{route={route}}}"),
            cause="no task is asked for: there is no role that it would run with, and no token",
            cure=Drop(names),
            fields=names,
        )
    if stored := [source for source in sources if source.startswith("s3://")]:
        yield UsageError(
            says("{sources}: {_source} cannot go by {via=ebs}", _source=stored[0]),
            cause="what is in S3 is read there by AWS itself",
            cure=Set("via", "s3"),
            fields=("sources", "via"),
        )


def judged_licence(license_type: str, usage_operation: str) -> Iterator[UsageError]:
    """Both say which licence the system has."""
    if license_type and usage_operation:
        yield UsageError(
            says("{license_type} and {usage_operation} cannot both be given"),
            cause="AWS refuses the two together: the usage operation says the licence already",
            cure=Drop(("license_type",)),
        )


def judged_repair(sources: Sequence[str], *, as_is: bool) -> Iterator[UsageError]:
    """What is mended, `sources`, is read here, and sent anew."""
    if sources and as_is:
        yield UsageError(
            says("{as_is} and {repair} cannot both be given"),
            cause="a file that is mended does not go as it is",
            cure=(Drop(("as_is",), "or:"), Drop(("repair",))),
        )
    if stored := [source for source in sources if source.startswith("s3://")]:
        yield UsageError(
            says("{repair}: {_source} is in S3, where nothing is mended", _source=stored[0]),
            cause="AWS reads it there itself",
            cure=Drop(("repair",), "or give the local file"),
            fields=("repair", "sources"),
        )


def judged_machine(machine: str, sources: Sequence[str]) -> Iterator[UsageError]:
    """A machine is chosen of one appliance."""
    if machine and (len(sources) > 1 or sources[0].startswith("s3://")):
        yield UsageError(
            says("{machine} needs one local appliance"),
            cause="it chooses among the machines of one file, which is opened for that",
            cure=Drop(("machine",), "or give the OVA or .ovf alone, as a local file"),
        )


def judged_name(name: str, tags: Mapping[str, str]) -> Iterator[UsageError]:
    """The name is a tag."""
    if name and tags.get("Name", name) != name:
        yield UsageError(
            says("{name} and the tag Name in {tags} differ"), cure=Drop(("name",), "the name is that very tag")
        )


def judged_sources(sources: Sequence[str], route: Route, via: str) -> Iterator[UsageError]:
    """What the route's call cannot take of the disks."""
    if len(sources) > 1 and route in (Route.SNAPSHOT, Route.VOLUME) and via == "s3":
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


def judged_metadata(name: str, route: Route) -> Iterator[UsageError]:
    """The option `name` is of an AMI's metadata, which a snapshot has only once one is registered."""
    if route is Route.SNAPSHOT:
        yield UsageError(
            says(f"{{{name}}} needs {{register}}"),
            cause="a snapshot has no metadata options",
            cure=Set("register", "NAME"),
        )


def judged_older(given: Mapping[str, str | None], route: Route) -> Iterator[UsageError]:
    """What ImportInstance and ImportVolume have no parameter for, of the options `given` by name."""
    for name, value in given.items():
        if value == "uefi":
            yield UsageError(
                says(f"{{{name}={value}}}: not with {{route={route}}}"),
                cause=f"{route.call} has no such parameter",
                cure=says("leave it out, or use {route=image}"),
            )
        elif value in ("ova", "vhdx"):
            yield UsageError(
                says(f"{{{name}={value}}}: not with {{route={route}}}"),
                cause="the older calls take VMDK, VHD and raw",
                cure="leave it out: vmie sends a stream-optimised VMDK",
            )


def judged_ami(given: Mapping[str, Extra], route: Route, *, register: str) -> Iterator[UsageError]:
    """What is done with an AMI needs one; where it is launched is of its proof alone."""
    for name in ("prove", "guard_types"):
        if name in given and route is Route.SNAPSHOT and not register:
            yield UsageError(
                says(f"{{{name}}} needs {{register}}"),
                cause="a snapshot cannot be launched",
                cure=Set("register", "NAME"),
                fields=(name,),
            )
    strange = tuple(name for name in ("subnet", "security_groups") if name in given)
    if strange and route in (Route.IMAGE, Route.SNAPSHOT) and "prove" not in given:
        yield UsageError(
            says(f"{', '.join(f'{{{name}}}' for name in strange)}: only with {{prove}} or {{route=instance}}"),
            cause="nothing is launched",
            cure=Drop(strange),
            fields=strange,
        )
