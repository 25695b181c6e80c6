"""What a console shows, judged: pure, for the bytes of a serial port, a screen's lines, an instance's console.

bytes ──► lines, without colours and cursor movements ──► signs ──► how far it came, and whether it is up or has failed

A guest may write what it likes: lines and what is kept of them are bounded, and nothing that is kept drives a terminal.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from vmie.boot.model import BootEvidence, BootStage, BootVerdict
from vmie.boot.signs import Sign, SignKind, sign_of

#: characters of a line that are looked at, and that are shown
_LONGEST = 2000
_SHOWN = 200
#: lines that are kept as evidence, and of the end
_EVIDENCE = 40
_LAST = 12
#: starts over without an end: it will not come up any more
_RESTARTS = 3

#: CSI that places the cursor or erases begins a new line; all others, and OSC and two-byte sequences, are taken out
_PLACED = re.compile(r"\x1b\[[0-9;?]*[ABEFHJf]")
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,500}(?:\x07|\x1b\\|$)|[PX^_][^\x1b]{0,500}(?:\x1b\\|$)|[ -/]*[0-~])"
)
_BREAKS = re.compile(r"[\r\n\x0b\x0c\x85\u2028\u2029]+")
#: the kernel's time stamps, and the caller's name in brackets (CONFIG_PRINTK_CALLER)
_STAMPS = re.compile(r"^(?:<\d{1,3}>)?(?:\s*\[\s*\d+\.\d+\](?:\[\s*[TC]\d+\])?)*\s*")


@dataclass(frozen=True, slots=True)
class ConsoleReading:
    """What was shown so far. `certain`: nothing that may come can change the verdict, so that there is no need to wait.

    `stage` is None when no sign was seen. `rules` should have foretold the failure, the nearest first.
    """

    verdict: BootVerdict = BootVerdict.UNKNOWN
    stage: BootStage | None = None
    evidence: tuple[BootEvidence, ...] = ()
    rules: tuple[str, ...] = ()
    last_lines: tuple[str, ...] = ()
    certain: bool = False


@dataclass
class Console:
    """The consoles of a machine while it starts: `feed` the serial port, `see` the screen, then ask for a `reading`."""

    _partial: str = ""
    _stage: BootStage | None = None
    _end: Sign | None = None
    _stopped: Sign | None = None
    _troubles: list[Sign] = field(default_factory=list)
    _evidence: list[BootEvidence] = field(default_factory=list)
    _last: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST))
    _screen: frozenset[str] = frozenset()
    #: whether the screen is read now, and whether `_stopped` was seen there
    _seeing: bool = False
    _seen: bool = False
    _restarts: int = 0

    def feed(self, data: bytes | str) -> None:
        """More of the serial port, split anywhere."""
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        *whole, self._partial = _PLACED.sub("\n", self._partial + text).replace("\r\n", "\n").split("\n")
        for line in whole:
            self._lines(line)
        if len(self._partial) > _LONGEST:
            self._lines(self._partial)
            self._partial = ""

    @property
    def stands_still(self) -> bool:
        """Whether the last that it said is where some machines stop for good."""
        return self._stopped is not None and self._end is None

    def see(self, lines: Iterable[str]) -> None:
        """The screen as it is now, () while it is a picture; lines that were there before count once."""
        shown = [line.rstrip()[:_LONGEST] for line in lines]
        stopped = self._stopped if self._seen else None
        if stopped is not None and not any(stopped.pattern.search(line) for line in shown):
            self._stopped = None  # something else is on the screen by now
        before, self._screen = self._screen, frozenset(shown)
        self._seeing = True
        for line in shown:
            if line and line not in before:
                self._lines(line)
        self._seeing = False

    def reading(self, *, ended: bool = False) -> ConsoleReading:
        """What was shown so far; `ended` when nothing more will come: what stood still has failed then."""
        last = self._last.copy()
        self._lines(self._partial)  # a prompt has no end of line
        found = self._found(ended=ended)
        self._last = last
        return found

    def _found(self, *, ended: bool) -> ConsoleReading:
        end = self._end or (self._stopped if ended else None)
        if end is None and self._restarts >= _RESTARTS:
            return self._read(BootVerdict.FAILS, (), certain=True)
        if end is None:
            return self._read(BootVerdict.UNKNOWN, ())
        if end.kind is SignKind.UP:
            return self._read(BootVerdict.BOOTS, (), certain=True)
        named = [*end.rules, *(rule for trouble in reversed(self._troubles) for rule in trouble.rules)]
        return self._read(BootVerdict.FAILS, tuple(dict.fromkeys(named)), certain=True)

    def _read(self, verdict: BootVerdict, rules: tuple[str, ...], *, certain: bool = False) -> ConsoleReading:
        return ConsoleReading(verdict, self._stage, tuple(self._evidence), rules, tuple(self._last), certain)

    def _lines(self, text: str) -> None:
        """Each line of `text`: a carriage return begins one, too (the spinner of systemd)."""
        for raw in _BREAKS.split(text):
            line = _plain(raw)
            if line:
                self._line(line)

    def _line(self, line: str) -> None:
        if not self._last or self._last[-1] != line:
            self._last.append(line[:_SHOWN])
        sign = sign_of(_STAMPS.sub("", line))
        if sign is not None:
            self._take(sign)
            self._keep(line, sign)

    def _take(self, sign: Sign) -> None:
        now = self._stage.order if self._stage else -1
        if sign.kind in (SignKind.TROUBLE, SignKind.STOPS):
            if sign.stage.order < now and sign.stage.order < BootStage.KERNEL.order:
                return  # a loader's words, long after the loader
            if sign not in self._troubles:
                self._troubles.append(sign)
            if sign.kind is SignKind.STOPS:
                self._stopped, self._seen = sign, self._seeing
        elif sign.kind is SignKind.STEP:
            self._stopped = None
            if sign.stage.order <= BootStage.KERNEL.order and now > max(sign.stage.order, BootStage.LOADER.order):
                self._restarts += 1  # from the beginning
                self._stage, self._troubles = sign.stage, []
                return
        else:
            self._end = sign
        if sign.kind is SignKind.ENDS and sign.stage is BootStage.SERVICES and self._stage is BootStage.INITRAMFS:
            return  # systemd works in an initramfs, too
        if sign.stage.order > now:
            self._stage = sign.stage

    def _keep(self, line: str, sign: Sign) -> None:
        """The first two lines of a meaning, and of those the last that decides."""
        found = BootEvidence(line[:_SHOWN], sign.stage, sign.meaning, sign.source)
        alike = [one for one in self._evidence if one.meaning == sign.meaning]
        if found not in alike and len(alike) < 2 and len(self._evidence) < _EVIDENCE:
            self._evidence.append(found)


def read(text: bytes | str) -> ConsoleReading:
    """A console that is whole: nothing more will come."""
    console = Console()
    console.feed(text)
    return console.reading(ended=True)


def _plain(text: str) -> str:
    """A line as it may be shown: without escape sequences, what cannot be printed left out, blanks of the ends too."""
    cut = _ESCAPES.sub("", text[:_LONGEST])
    return "".join(char for char in cut.replace("\t", " ") if char.isprintable()).strip()
