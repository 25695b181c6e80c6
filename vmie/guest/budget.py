"""How much time and how many bytes an inspection may take: hostile images end in `unknown`, not in a hang."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


class OverBudget(Exception):  # noqa: N818 - not an error of the image as such
    """The inspection's time or bytes are used up; `str` says which."""


@dataclass
class Budget:
    """Handed to everything that reads a guest; `clock` counts seconds and never goes back.

    One budget serves one inspection: its deadline begins to run when it is made.
    """

    seconds: float = 20.0
    #: bytes read from the disks, after which the image is left alone
    read_bytes: int = 2 << 30
    #: names taken from one directory
    entries: int = 20_000
    #: bytes of one configuration file
    text: int = 1 << 20
    #: bytes an initramfs may unpack to
    unpacked: int = 512 << 20
    clock: Callable[[], float] = time.monotonic
    _deadline: float = field(init=False)
    _used: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._deadline = self.clock() + self.seconds

    def check(self) -> None:
        """Raises OverBudget once the time is up."""
        if self.clock() > self._deadline:
            raise OverBudget(f"not finished within {self.seconds:g} s")

    def extend(self, seconds: float) -> None:
        """Let the deadline come `seconds` later: for work that has a budget of its own."""
        self._deadline += seconds

    def spend(self, length: int) -> None:
        """Count `length` bytes read from a disk; raises OverBudget once they or the time are used up."""
        self._used += length
        if self._used > self.read_bytes:
            raise OverBudget(f"more than {self.read_bytes >> 20} MiB had to be read")
        self.check()
