"""``via: auto``: the way that suits the disks, by what the check found in them, and why.

    in S3 already, or an option that only one way has ──► that way
    starts in EC2 as it is, no licence of AWS's ──► EBS direct and RegisterImage: an AMI in minutes, as it is
    else ──► whichever is sooner: EBS direct sends 512 KiB for every block in use, S3 takes them compressed

The choice is journalled: a job goes on by the way that it began.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

from vmie import events
from vmie.aws.ebs import prices
from vmie.aws.ebs.client import BLOCK
from vmie.limits import DISK_BYTES
from vmie.model import Route, Task, Verdict
from vmie.ops import check, ingest, pace
from vmie.ops.context import Context
from vmie.ops.import_ import direct_blocks, direct_plan, registering
from vmie.ops.import_.direct_plan import DirectPlan
from vmie.ops.import_.operation import ImportOperation
from vmie.ops.import_.planning import ImportPlan
from vmie.ops.import_.result import ImportResult, Made
from vmie.ops.journal import Journal
from vmie.options import ImportRequest
from vmie.options.base import extra

#: the journal's step
STEP = "way"
#: options that say what is sent; others, as the bucket, only say how if it is that way
_DECISIVE = {"s3": ("as_is", "format", "copy"), "ebs": ("zeros", "parent")}
#: what deflate leaves of a disk's data, about; a guess, since it is not read for this
_COMPRESSED = 0.5
#: bytes per second that EBS takes for one snapshot: 1,000 blocks
#: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-resource-quotas.html
_MOST_RATE = 1000 * BLOCK


@dataclass(frozen=True, slots=True)
class Way:
    """How an import goes: `route` and `register` may be others than were asked for, `why` says so."""

    via: str
    route: Route
    register: str
    why: str

    def of(self, request: ImportRequest) -> ImportRequest:
        """The request, with nothing left open."""
        return request.model_copy(update={"via": self.via, "route": self.route, "register": self.register})

    def as_json(self) -> dict[str, Any]:
        """For the journal."""
        return {"via": self.via, "route": self.route.value, "ami_name": self.register, "why": self.why}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Way:
        """Read back what `as_json` wrote."""
        return cls(data["via"], Route(data["route"]), data["ami_name"], data["why"])


def chosen(context: Context, request: ImportRequest) -> Way:
    """The way for a request that leaves it open. Reads the disks' file systems, no data, and asks nobody.

    Raises what the check of the disks raises.
    """
    as_asked = Way("s3", request.route, request.register, "")
    if any(source.startswith("s3://") for source in request.sources):
        return replace(as_asked, why="it is in S3 already")
    for way, fields in _DECISIVE.items():
        if names := sorted(request.model_fields_set.intersection(fields)):
            return replace(as_asked, via=way, why=f"{', '.join(names)} belongs to it")
    if request.route is Route.VOLUME:
        return replace(as_asked, via="ebs", why="ImportVolume is the older call, and not offered in every Region")
    paths = [Path(source) for source in request.sources]
    quiet = replace(context, reporter=events.silent)
    report = direct_plan.checked(quiet, request, paths)
    sizes = _sizes(paths, request)
    ready = _starts_as_it_is(request, report)
    told = replace(_Forecast.of(request, sizes), ready=bool(ready))
    if request.route is Route.SNAPSHOT and sizes.count > 1:
        return replace(as_asked, via="ebs", why=f"ImportSnapshot takes one disk; {told}")
    if ready:
        name = f"{_plain(request.name or paths[0].stem)[:90]}-{context.journal.job}"
        return Way("ebs", Route.SNAPSHOT, name, f"{ready}, so that RegisterImage makes the AMI; {told}")
    via = "ebs" if told.ebs <= told.s3 or sizes.largest >= DISK_BYTES.value else "s3"
    return replace(as_asked, via=via, why=f"it is the sooner one; {told}")


def _starts_as_it_is(request: ImportRequest, report: check.CheckReport | None) -> str:
    """Why the guest needs neither ImportImage's changes nor its licence, "" where it may."""
    fields = type(request).model_fields
    asks = [name for name in request.model_fields_set if extra(fields[name]).routes == ("image",)]
    if request.route is not Route.IMAGE or asks or report is None or len(report.images) != 1:
        return ""
    one = report.images[0]
    guest = one.guest
    drivers = guest.get("drivers") or {}
    sound = one.verdicts.get(Route.SNAPSHOT) in (Verdict.PASS, Verdict.WARN) and not one.leaves_without.get(
        Route.SNAPSHOT
    )
    known = one.architecture in ("x86_64", "i386") and one.firmware in ("bios", "uefi")
    if guest.get("family") != "linux" or not sound or not known or registering.losses(report):
        return ""
    if not (drivers.get("nvme") and drivers.get("ena")):
        return ""
    system = " ".join(filter(None, (str(guest.get("distribution") or ""), str(guest.get("version") or ""))))
    return f"{system or 'the system'} starts in EC2 as it is (NVMe and ENA drivers, no licence of AWS's)"


@dataclass(frozen=True, slots=True)
class _Sizes:
    """How many disks, their bytes, the blocks that a snapshot needs, and about the bytes that S3 would take."""

    count: int
    disks: int
    largest: int
    blocks: int
    compressed: int


def _sizes(paths: Sequence[Path], request: ImportRequest) -> _Sizes:
    count = disks = largest = blocks = compressed = 0
    for path in paths:
        look = ingest.look(path, request, whole=False)
        packed = (look.format, look.variant) == ("vmdk", "streamOptimized") or bool(look.packed)
        for index in range(look.disks) if look.container else (None,):
            with ingest.opened(path, request, index=index) as one:
                found = direct_blocks.plan_of(one, zeros=request.zeros)
                count += 1
                disks += one.size
                largest = max(largest, one.size)
                blocks += found.certain + found.possible
                compressed += 0 if packed else int(min(one.allocated_size, one.size) * _COMPRESSED)
        compressed += path.stat().st_size if packed else 0
    return _Sizes(count, disks, largest, blocks, compressed)


@dataclass(frozen=True, slots=True)
class _Forecast:
    """Minutes by either way, and USD of the blocks."""

    s3: float
    ebs: float
    usd: float
    adapting: float
    ready: bool = False

    @classmethod
    def of(cls, request: ImportRequest, sizes: _Sizes) -> _Forecast:
        line = min(request.max_rate or _MOST_RATE, _MOST_RATE)
        rate = line if request.max_rate else None
        # ImportImage converts the guest, however it came.
        adapting = pace.task_minutes("image", sizes.disks) if request.route is Route.IMAGE else 0.0
        task = adapting or pace.task_minutes("snapshot", sizes.disks)
        return cls(
            s3=pace.sending_minutes(sizes.compressed, rate=rate) + task,
            ebs=pace.sending_minutes(sizes.blocks * BLOCK, rate=rate)
            + pace.task_minutes("ebs", sizes.disks)
            + adapting,
            usd=prices.writing(sizes.blocks),
            adapting=adapting,
        )

    def __str__(self) -> str:
        ebs = self.ebs - (self.adapting if self.ready else 0.0)
        return f"about {ebs:.0f} min and {self.usd:.2f} USD for its blocks, by S3 about {self.s3:.0f} min"


def _plain(name: str) -> str:
    """A part of an AMI's name: of its characters, those that RegisterImage takes."""
    return re.sub(r"[^A-Za-z0-9()./\-'@_ \[\]]", "-", name)


class AutoImport(ImportOperation[ImportPlan | DirectPlan]):
    """An import whose way is not chosen yet: `plan` chooses, and `settled` is the operation to go on with."""

    plan_type = ImportPlan

    def __init__(self, context: Context, request: ImportRequest) -> None:
        super().__init__(context, request)
        self._chosen: ImportOperation[Any] | None = None

    def on(self, journal: Journal) -> Self:
        """See `Operation.on`: the operation of the way that was chosen, where one was."""
        from vmie.ops.import_ import operation  # noqa: PLC0415 - it knows this class

        return cast("Self", operation(replace(self.context, journal=journal), self.request))

    def settled(self) -> Self:
        """See `Operation.settled`."""
        return cast("Self", self._chosen or self)

    def _planned(self) -> ImportPlan | DirectPlan:
        from vmie.ops.import_ import operation  # noqa: PLC0415 - it knows this class

        way = chosen(self.context, self.request)
        said = {"ebs": "EBS direct", "s3": "S3"}[way.via]
        note = f"{said} was chosen: {way.why}"
        self.context.reporter(events.Note(note))
        self._chosen = operation(self.context, way.of(self.request))
        found: ImportPlan | DirectPlan = self._chosen.plan()
        # Not before: a job that is refused is forgotten.
        self.journal.put(STEP, way.as_json())
        return replace(found, notes=(note, *found.notes))

    def dump(self) -> dict[str, Any]:
        """See `Operation.dump`."""
        return self.settled().dump() if self._chosen else super().dump()

    def begun(self, *, began: dt.datetime) -> ImportResult:
        """See `Operation.begun`: nothing is, before a way is chosen."""
        raise RuntimeError("no way is chosen yet")

    def _send(self, number: int) -> None:
        raise RuntimeError("no way is chosen yet")

    def _made(self, done: Sequence[Task]) -> Made:
        raise RuntimeError("no way is chosen yet")

    def _tidy(self) -> None:
        raise RuntimeError("no way is chosen yet")
