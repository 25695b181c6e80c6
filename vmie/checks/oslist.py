"""The operating systems AWS names, as data: today's page (aws-facts 3.6) and the 2016 one, row by row."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vmie.model import Profile

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ListedRelease:
    """A row of the Linux list: versions `first` to `last`, both included, and the kernels it names.

    A kernel is a leading part of the version string ("4.18.0"); one with a star in front may stand
    anywhere ("*el5uek"). No kernels: the page names none.
    """

    distribution: str
    first: Version
    last: Version
    kernels: tuple[str, ...] = ()

    def covers(self, version: Version) -> bool:
        """True when `version` lies in the row, as far as both are given: "7" lies in 7.0 to 7.9."""
        if not version:
            return False
        low, high = version[: len(self.first)], version[: len(self.last)]
        return self.first[: len(low)] <= low and high <= self.last[: len(high)]

    def takes(self, kernel: str) -> bool:
        """True when the row names `kernel`, or names none."""
        return not self.kernels or any(_names(pattern, kernel) for pattern in self.kernels)


def _names(pattern: str, kernel: str) -> bool:
    if pattern.startswith("*"):
        return pattern[1:] in kernel
    return kernel.startswith(pattern) and not kernel[len(pattern) : len(pattern) + 1].isdigit()


def _rows(distribution: str, *rows: str) -> tuple[ListedRelease, ...]:
    """Each row is "7.0-7.9: 3.10.0 4.1.12", a single version stands for itself and all below it."""
    made = []
    for row in rows:
        span, _, kernels = row.partition(":")
        first, _, last = span.partition("-")
        made.append(ListedRelease(distribution, parse(first), parse(last or first), tuple(kernels.split())))
    return tuple(made)


def parse(version: str) -> Version:
    """The numbers of "7.9", "11 SP4", "6.0.8"; () when it does not begin with one. Never raises."""
    match = re.match(r"\s*(\d{1,9}(?:\.\d{1,9})*)(?:[ -]?SP(\d{1,9}))?", version[:64], re.IGNORECASE)
    if not match:
        return ()
    numbers = tuple(int(part) for part in match[1].split("."))
    return (*numbers, int(match[2])) if match[2] else numbers


LINUX: dict[Profile, tuple[ListedRelease, ...]] = {
    Profile.CURRENT: (
        *_rows("amzn", "2: 4.14 4.19 5.4 5.10", "2023: 6.1"),
        *_rows("centos", "5.1-5.11: 2.6.18", "6.1-6.8: 2.6.32", "7.0-7.9: 3.10.0", "8.0-8.2: 4.18.0", "9: 5.14.0"),
        *_rows("debian", "6.0.0-6.0.8: 2.6.32", "7.0.0-7.8.0: 3.2", "10: 4.19", "11: 5.10"),
        *_rows("debian", "12.2: 6.1.0", "12.4: 6.1.0", "12.7: 6.1.0"),
        *_rows("fedora", "18: 3.2.5", "19: 3.9.5", "20: 3.11.10", "37: 6.0.7", "38: 6.2.9", "39: 6.5.6"),
        *_rows("fedora", "40: 6.8.5", "41: 6.11.4", "42: 6.14.0", "43: 6.17.1"),
        *_rows("oracle", "5.10-5.11: *el5uek", "6.1-6.10: 2.6.32 2.6.39 3.8.13 4.1.12"),
        *_rows("oracle", "7.0-7.6: 3.10.0 3.8.13 4.1.12 4.14.35 5.4.17", "8.0-8.9: 4.18.0 5.15.0"),
        *_rows("oracle", "9.0-9.5: 5.14.0 5.15.0", "9.6-9.7: 5.14.0 6.12.0", "10.0-10.1: 6.12.0"),
        *_rows("rhel", "5: 2.6.18", "6.1-6.10: 2.6.32", "7: 3.10.0", "8.0-8.9: 4.18.0", "9.0-9.7: 5.14.0"),
        *_rows("rhel", "10.0-10.1: 6.12.0"),
        *_rows("rocky", "9.0-9.7: 5.14.0", "10.0-10.1: 6.12.0"),
        *_rows("sles", "11.1: 2.6.32.12", "11.2: 3.0.13", "11.3: 3.0.76 3.0.101", "11.4: 3.0.101"),
        *_rows("sles", "12.0: 3.12.28", "12.1: 3.12.49", "12.2-12.3: 4.4", "12.4-12.5: 4.12"),
        *_rows("sles", "15.0-15.1: 4.12", "15.2-15.3: 5.3", "15.4-15.5: 5.14.21", "15.6: 6.4"),
        *_rows("ubuntu", "12.04: 3.2", "12.10: 3.5", "13.04: 3.8", "13.10: 3.11", "14.04: 3.13 3.16 3.19"),
        *_rows("ubuntu", "14.10: 3.16", "15.04: 3.19", "16.04: 4.2 4.4 4.8 4.10 4.15", "16.10: 4.8", "17.04: 4.10"),
        *_rows("ubuntu", "18.04: 4.15 5.4", "20.04: 5.4.0", "22.04: 5.15.0", "23.04: 5.15.0", "24.04: 6.8 6.11"),
        *_rows("ubuntu", "25.10: 6.17", "26.04: 7.0"),
    ),
    Profile.Y2016: (
        *_rows("rhel", "5.1-5.11", "6.1-6.6", "7.0-7.1"),
        *_rows("centos", "5.1-5.11", "6.1-6.6", "7.0-7.1"),
        *_rows("sles", "11.1: 2.6.32.12-0.7", "11.2: 3.0.13-0.27", "11.3: 3.0.76-0.11 3.0.101-0.8 3.0.101-0.15"),
        *_rows("sles", "11.4: 3.0.101-63", "12.0: 3.12.28-4", "12.1: 3.12.49-11"),
        *_rows("ubuntu", "12.04", "12.10", "13.04", "13.10", "14.04", "14.10", "15.04"),
        *_rows("debian", "6.0.0-6.0.8", "7.0.0-7.8.0", "8.0.0"),
        *_rows("oracle", "6.1-6.6", "7.0-7.1"),
        *_rows("fedora", "19", "20", "21"),
    ),
}

_ALIASES = {
    "ol": "oracle",
    "oraclelinux": "oracle",
    "redhat": "rhel",
    "sles_sap": "sles",
    "suse": "sles",
    "amazon": "amzn",
    "rockylinux": "rocky",
}

NAMES = {
    "amzn": "Amazon Linux",
    "centos": "CentOS",
    "debian": "Debian",
    "fedora": "Fedora",
    "oracle": "Oracle Linux",
    "rhel": "Red Hat Enterprise Linux",
    "rocky": "Rocky Linux",
    "sles": "SUSE Linux Enterprise Server",
    "ubuntu": "Ubuntu",
    "almalinux": "AlmaLinux",
}


def canonical(distribution: str) -> str:
    """The list's key for an os-release ID."""
    name = distribution.strip().lower()
    return _ALIASES.get(name, name)


def releases(distribution: str, profile: Profile) -> tuple[ListedRelease, ...]:
    """The rows of one distribution."""
    wanted = canonical(distribution)
    return tuple(row for row in LINUX[profile] if row.distribution == wanted)


def matching(distribution: str, version: str, profile: Profile) -> tuple[ListedRelease, ...]:
    """The rows that cover a version; a SLES without service pack is SP0."""
    numbers = parse(version)
    if canonical(distribution) == "sles" and len(numbers) == 1:
        numbers = (*numbers, 0)
    return tuple(row for row in releases(distribution, profile) if row.covers(numbers))


#: releases that keep one kernel line, so that updates alone lead from one point to the next
_POINTS = frozenset({"debian"})


def is_point(distribution: str) -> bool:
    """True where a second number is an update of the same release, not a release of its own.

    AWS lists Debian 10 and 11 by their first number alone; of 12 it lists the points that it tried (aws-facts 3.6).
    """
    return canonical(distribution) in _POINTS


def neighbours(distribution: str, version: str, profile: Profile) -> tuple[ListedRelease, ...]:
    """The rows of the same major version; none for Ubuntu, whose releases are called by year and month."""
    numbers = parse(version)
    if not numbers or canonical(distribution) == "ubuntu":
        return ()
    return tuple(row for row in releases(distribution, profile) if row.first[0] == numbers[0])


def spans(rows: Iterable[ListedRelease]) -> str:
    """The rows' versions for a message: "7.0-7.9, 9"."""
    return ", ".join(
        _dotted(row, row.first) if row.first == row.last else f"{_dotted(row, row.first)}-{_dotted(row, row.last)}"
        for row in rows
    )


def _dotted(row: ListedRelease, version: Version) -> str:
    """Ubuntu counts months with two digits."""
    form = "02d" if row.distribution == "ubuntu" else "d"
    return ".".join([str(version[0]), *(format(number, form) for number in version[1:])])


@dataclass(frozen=True, slots=True)
class WindowsRelease:
    """A row of the Windows list: `editions` in the words of `edition_name`, `bits` the architectures taken."""

    release: str
    editions: frozenset[str]
    bits: frozenset[int]
    client: bool = False
    service_pack: int = 0


_SERVER = frozenset({"standard", "datacenter", "enterprise"})
_SERVER_64 = frozenset({"standard", "datacenter"})
_ANY_BITS = frozenset({32, 64})
_64 = frozenset({64})
_OLD_CLIENT = frozenset({"professional", "enterprise"})

#: "Home" on the list; Windows 7 has two of it
_HOME = frozenset({"home", "home basic", "home premium"})

_COMMON_WINDOWS = (
    WindowsRelease("2003", _SERVER, _ANY_BITS, service_pack=1),
    WindowsRelease("2003 R2", _SERVER, _ANY_BITS),
    WindowsRelease("2008", _SERVER, _ANY_BITS),
    WindowsRelease("2012", _SERVER_64, _64),
    WindowsRelease("2012 R2", _SERVER_64, _64),
    WindowsRelease("8.1", _OLD_CLIENT, _64, client=True),
)

WINDOWS: dict[Profile, tuple[WindowsRelease, ...]] = {
    Profile.CURRENT: (
        *_COMMON_WINDOWS,
        WindowsRelease("2008 R2", _SERVER | {"web"}, _64),
        *(WindowsRelease(release, _SERVER_64, _64) for release in ("2016", "1709", "1803", "2019", "2022", "2025")),
        WindowsRelease("7", _OLD_CLIENT | _HOME | {"ultimate"}, _ANY_BITS, client=True),
        WindowsRelease("8", _OLD_CLIENT | _HOME, _ANY_BITS, client=True),
        WindowsRelease("10", _OLD_CLIENT | _HOME | {"education"}, _64, client=True),
        WindowsRelease("11", _OLD_CLIENT | _HOME | {"education"}, _64, client=True),
    ),
    Profile.Y2016: (
        *_COMMON_WINDOWS,
        WindowsRelease("2008 R2", _SERVER, _64),
        WindowsRelease("7", _OLD_CLIENT | {"ultimate"}, _ANY_BITS, client=True),
        WindowsRelease("8", _OLD_CLIENT, _ANY_BITS, client=True),
        WindowsRelease("10", _OLD_CLIENT | {"home", "education"}, _64, client=True),
    ),
}

_EDITIONS = (
    ("datacenter", "datacenter"),
    ("turbine", "datacenter"),  # Datacenter: Azure Edition
    ("solution", "essentials"),
    ("essentials", "essentials"),
    ("foundation", "foundation"),
    ("web", "web"),
    ("homepremium", "home premium"),
    ("homebasic", "home basic"),
    ("starter", "starter"),
    ("ultimate", "ultimate"),
    ("education", "education"),
    ("professional", "professional"),
    ("business", "business"),
    ("enterprise", "enterprise"),
    ("standard", "standard"),
    ("core", "home"),
    ("home", "home"),
)


def edition_name(edition: str) -> str:
    """The everyday name of an EditionID: ServerStandardEval is standard, CoreSingleLanguage is home."""
    wanted = edition.lower()
    return next((name for part, name in _EDITIONS if part in wanted), wanted)


def windows_release(release: str, profile: Profile) -> WindowsRelease | None:
    """The row of a Windows release."""
    return next((row for row in WINDOWS[profile] if row.release == release), None)
