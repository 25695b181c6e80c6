"""The nouns of repair: what a mend wants of a file, what was changed, and what stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmie.model import Finding

if TYPE_CHECKING:
    from vmie.repair.files import GuestFiles


@dataclass(frozen=True, slots=True)
class Edit:
    """The file at `path` (in the guest, links are followed) is to hold `after`; `why` in words for people.

    `fill` is what the format ignores at its end: it makes up for what is missing where the file may not become so
    short. A newline for text, a zero byte for an initramfs, b"" where the size must be kept.
    `comment` begins a line of text that may be left out where there is no room for all; "" where none may.
    """

    path: str
    after: bytes
    why: str
    fill: bytes = b"\n"
    comment: str = "#"


@dataclass(frozen=True, slots=True)
class Left:
    """What is not mended: of which rule, why, and the command that mends it in the guest; "" where there is none."""

    rule: str
    why: str
    by_hand: str = ""


@dataclass(frozen=True, slots=True)
class Mend:
    """One way to mend: `rules` are those whose findings it is meant to take away, () for one that none asks for.

    `apply` looks at the guest's files, with what the mends before it changed, and says what it wants. It decides by
    content alone, so that a repair that is made again makes the same layer. `by_hand` is the command that does the same
    in the guest, for where nothing can be written here.
    """

    name: str
    rules: tuple[str, ...]
    apply: Callable[[GuestFiles], Iterable[Edit | Left]]
    by_hand: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a file was changed, in words, and the rules whose findings asked for it: () for a mend that none asks for."""

    why: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that was changed where it lies: `before` and `after` are its whole contents.

    `where` is the volume ("disk 0 partition 1"), `reasons` are one for each mend.
    """

    path: str
    where: str
    before: bytes
    after: bytes
    reasons: tuple[Reason, ...]

    @property
    def rules(self) -> tuple[str, ...]:
        """Those of all reasons."""
        return tuple(dict.fromkeys(rule for one in self.reasons for rule in one.rules))


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done: `mended` are rules without a finding by now, `left` what stays of those that had one.

    `findings` are those of the mended disks.
    """

    changes: tuple[FileChange, ...] = ()
    mended: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()
    findings: tuple[Finding, ...] = ()
