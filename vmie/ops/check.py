"""`vmie check`: AWS's verdict before the upload. Reads only, offline."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vmie import checks, events
from vmie.checks import CheckedDisk, Subject
from vmie.errors import ImageError, Run
from vmie.guest import Budget, inspect
from vmie.guest.disk_facts import Problem
from vmie.guest.facts import Firmware, GuestFacts
from vmie.guest.linux_facts import LinuxFacts
from vmie.model import Finding, Profile, Route, Verdict
from vmie.ops import check_verify, mending
from vmie.ops.check_inputs import Opened, expand, image_of, machine_of, open_machine
from vmie.ops.check_report import CheckReport, ImageReport, blocking, named, skipping
from vmie.ops.opening import Snapshots, is_snapshot
from vmie.poll import Clock

if TYPE_CHECKING:
    from vmie.disk import Disk

__all__ = [
    "CheckReport",
    "ImageReport",
    "Prospect",
    "blocking",
    "check",
    "examined",
    "named",
    "predict",
    "prospect",
    "skipping",
]


def check(
    paths: Sequence[Path],
    *,
    clock: Clock,
    profile: Profile = Profile.CURRENT,
    routes: Sequence[Route] = tuple(Route),
    strict: bool = False,
    as_is: bool = False,
    together: bool = False,
    machine: str = "",
    empty_disks: bool = False,
    verify: bool = False,
    repair: bool = False,
    snapshots: Snapshots | None = None,
    reporter: events.Reporter = events.silent,
) -> CheckReport:
    """Judge files, appliances and folders of them.

    Every file is a machine of its own, an appliance with all its disks; `together` makes one machine of
    all files, in the order given. `machine` and `empty_disks` are as `disk.open` has them. `routes` narrows the
    findings, not the verdicts. A file that cannot be read is a failed image with its `error`; only UsageError (an
    empty folder, nothing given) is raised. With `verify` all of every file is read. A snapshot's id stands for its
    disk where `snapshots` opens it; what AWS refuses is raised. With `repair` the disks are judged as `vmie repair`
    would leave them.
    """
    files = expand(paths)
    machines = [files] if together else [[path] for path in files]
    today = clock.now().date()
    images = []
    for group in machines:
        reporter(events.Note(f"looking into {', '.join(map(str, group))}", "debug"))
        with open_machine(group, machine=machine, empty_disks=empty_disks, snapshots=snapshots) as opened:
            if repair and opened.error is None:
                mending.apply_layers(opened, machine=machine, empty_disks=empty_disks)
            subject = _subject(opened, verify=verify, chosen=machine, reporter=reporter)
            subject = replace(subject, profile=profile, as_is=as_is, today=today)
            images.append(_judge(opened, subject, routes=routes))
    return CheckReport(tuple(images), profile=profile, strict=strict, as_is=as_is)


def examined(opened: Opened, *, clock: Clock) -> ImageReport:
    """One machine that is open, judged by today's rules."""
    subject = _subject(opened, verify=False, chosen="", reporter=events.silent)
    return _judge(opened, replace(subject, today=clock.now().date()), routes=tuple(Route))


def _subject(opened: Opened, *, verify: bool, chosen: str, reporter: events.Reporter) -> Subject:
    """What was seen of a machine."""
    if opened.error:
        return Subject(tuple(opened.images), GuestFacts(), opened.machine)
    guest, images = _look(opened.disks, opened.images)
    machine = opened.machine
    if verify:
        images = check_verify.disks(opened.disks, images, reporter=reporter)
        if (opened.appliance or {}).get("manifest", {}).get("present"):
            machine = check_verify.machine(machine, opened.paths[0], chosen=chosen, reporter=reporter)
    return Subject(tuple(images), guest, machine)


def _judge(opened: Opened, subject: Subject, *, routes: Sequence[Route]) -> ImageReport:
    path, guest = str(opened.paths[0]), subject.guest
    everything = _mendable(opened, checks.judge(subject, path=path), guest)
    by_route = checks.verdicts(everything)
    appliance = opened.appliance or {}
    return ImageReport(
        path=path,
        paths=tuple(map(str, opened.paths)),
        subject=subject,
        everything=tuple(checks.narrow(everything, routes)),
        verdicts=by_route,
        recommended=None if opened.error else _recommend(everything, by_route, guest),
        leaves_without=checks.left_without(everything),
        container=str(appliance.get("package", "")),
        blocks_read=opened.blocks_read,
        error=opened.error,
    )


def _mendable(opened: Opened, findings: list[Finding], guest: GuestFacts) -> list[Finding]:
    """`findings`, those with the command that may mend them: not in what cannot be written in place."""
    systems = guest.roots
    dirty = any(root.dirty if isinstance(root, LinuxFacts) else root.dirty_volume for root in systems)
    closed = dirty or any(root.filesystem == "btrfs" for root in systems)
    if not systems or closed or any(map(is_snapshot, opened.paths)):
        return findings
    from vmie.repair.mends import mendable  # noqa: PLC0415 - for a guest that has something to mend

    rules = mendable(guest)
    command = Run(("vmie", "repair", *map(str, opened.paths)))
    return [
        replace(one, repair=command) if one.verdict is not Verdict.PASS and one.rule in rules else one
        for one in findings
    ]


def _recommend(everything: Sequence[Finding], by_route: dict[Route, Verdict], guest: GuestFacts) -> Route | None:
    """The route to take; without a system in it, a disk is data and goes as a snapshot.

    None where nothing was looked into, and where every route would leave a machine without boot, network or login.
    """
    if not guest.disks:
        return None
    barred = checks.left_without(everything)
    if not guest.roots and by_route[Route.IMAGE] is not Verdict.PASS:
        machines = {Route.IMAGE, Route.INSTANCE}
        return checks.recommend(by_route, {*barred, *machines}) or checks.recommend(by_route, barred)
    return checks.recommend(by_route, barred)


class _Watched:
    """A disk as `guest` reads it, which remembers the first damage that its container had."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.size = disk.size
        self.error: ImageError | None = None

    def read(self, offset: int, length: int) -> bytes:
        """See `guest.stream.Blocks.read`."""
        try:
            return self._disk.read(offset, length)
        except ImageError as error:
            self.error = self.error or error
            raise


def _look(disks: Sequence[Disk], images: Sequence[CheckedDisk]) -> tuple[GuestFacts, list[CheckedDisk]]:
    """The guest's facts, and `images` with what turned out to be damaged.

    A packed disk is not looked into, for every read backwards would unpack it again.
    """
    packed = [index for index, disk in enumerate(disks) if disk.facts.get("forward_only")]
    if packed:
        problems = tuple(Problem(f"disk {index}", "not looked into", "it is packed") for index in packed)
        return GuestFacts(problems=problems), list(images)
    watched = [_Watched(disk) for disk in disks]
    guest = inspect(watched, budget=Budget())
    return guest, [_damaged(image, disk.error) for image, disk in zip(images, watched, strict=True)]


def _damaged(image: CheckedDisk, error: ImageError | None) -> CheckedDisk:
    if error is None or any(fault.verdict is Verdict.FAIL for fault in image.faults):
        return image  # its tables were reported
    return check_verify.damaged(image, error)


def predict(disks: Sequence[Disk], *, route: Route = Route.IMAGE, today: dt.date | None = None) -> str | None:
    """The StatusMessage with which the service would end a task of `route` over `disks`, None when it would go well.

    The disks are judged as they are, by today's rules. For the sandbox.
    """
    subject = _as_it_is(disks, look=route in {Route.IMAGE, Route.INSTANCE}, today=today)
    found = checks.judge(subject, routes=(route,))
    finding = next((one for one in found if one.verdict is Verdict.FAIL), None)
    if finding is None:
        return None
    return finding.predicts or f"ClientError: {finding.message}"


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a start of a machine that came by a route would meet; "" and () where nothing was found."""

    findings: tuple[Finding, ...]
    systems: int
    windows: bool
    firmware: str
    distribution: str = ""
    system: str = ""
    kernel: str = ""
    root: str = ""


def prospect(disks: Sequence[Disk], *, route: Route) -> Prospect:
    """What stands in the way of a start, of a machine that came to EC2 by `route`. For the sandbox."""
    subject = _as_it_is(disks, look=True, today=None)
    found = tuple(one for one in checks.judge(subject, routes=(route,)) if one.verdict is not Verdict.PASS)
    guest, root = subject.guest, subject.linux
    firmware = "" if guest.firmware is Firmware.UNKNOWN else guest.firmware.value
    systems = len(guest.roots)
    if root is None:
        return Prospect(found, systems, windows=subject.windows is not None, firmware=firmware)
    named = (root.distribution, root.pretty_name or root.distribution, root.default_kernel, root.root_device)
    return Prospect(found, systems, False, firmware, *named)


def _as_it_is(disks: Sequence[Disk], *, look: bool, today: dt.date | None) -> Subject:
    """A machine whose files are sent as they are; `look`: its guest is looked into too."""
    images = [image_of(disk, disk.source.name) for disk in disks]
    guest = GuestFacts()
    if look:
        guest, images = _look(disks, images)
    appliance = next((disk.facts["appliance"] for disk in disks if disk.facts.get("appliance")), None)
    machine = machine_of(appliance) if appliance else None
    subject = Subject(tuple(images), guest, machine, as_is=True)
    return subject if today is None else replace(subject, today=today)
