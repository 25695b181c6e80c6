"""One exception tree: what happened, why, the cures as actions, and the exit code.

    VmieError                 1
    ├── UsageError            2   options that cannot be given, or not together
    ├── ImageError            2   input that cannot be read as a disk
    ├── PartialFailure        3   a batch where some items failed
    ├── PreflightError        4   the image would be refused: nothing was sent
    ├── AwsRefused            5   credentials, permission, quota
    ├── TaskFailed            1   AWS took the task and gave it up
    ├── DeadlineExceeded      1   the task outlived its deadline
    └── Interrupted         130   Ctrl-C: can be resumed

Raised once, mapped to an exit code once (in `vmie.cli`). An option is named in a `Message` and in an action by its
field ("volume_type"), never as it is typed: whoever shows the error - the command line, a plan file's report, Python -
has `Terms` that say how it is written there.
"""

from __future__ import annotations

import shlex
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol


class Terms(Protocol):
    """How one place writes what an error names."""

    def option(self, name: str, value: str = "") -> str:
        """An option by its field's name, with the value to give it where there is one."""

    def resume(self, job: str) -> str:
        """What goes on with a job; "" where that cannot be done."""

    def cancel(self, job: str) -> str:
        """What gives a job up; "" where that cannot be done."""


class PythonTerms:
    """As the library's own calls write it: the field's name."""

    def option(self, name: str, value: str = "") -> str:
        """See `Terms.option`."""
        return f"{name}={value!r}" if value else name

    def resume(self, job: str) -> str:
        """See `Terms.resume`."""
        return shlex.join(("vmie", "resume", job))

    def cancel(self, job: str) -> str:
        """See `Terms.cancel`."""
        return shlex.join(("vmie", "cancel", job))


PYTHON = PythonTerms()


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence that names options: ``{volume_type}`` in `template` is the option, or the value of that name.

    ``{route=image}`` is the option with that value. Values are put in as they are; they are never searched for options.
    """

    template: str
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def fields(self) -> tuple[str, ...]:
        """The options that it names, in order."""
        return tuple(dict.fromkeys(name.partition("=")[0] for name in self._named))

    @property
    def _named(self) -> list[str]:
        named = (name for _, name, _, _ in string.Formatter().parse(self.template) if name)
        return [name for name in named if name not in self.values]

    def text(self, terms: Terms = PYTHON) -> str:
        """The sentence as one place writes it."""
        options = {name: terms.option(*name.split("=", 1)) for name in self._named}
        return self.template.format_map({**options, **self.values})

    def __str__(self) -> str:
        return self.text()


def says(template: str, **values: object) -> Message:
    """A message whose ``{names}`` are options, but for those given in `values`."""
    return Message(template, values)


Words = str | Message


def text_of(words: Words, terms: Terms = PYTHON) -> str:
    """`words` as one place writes them."""
    return words if isinstance(words, str) else words.text(terms)


# --- cures ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Do:
    """Something to do by hand."""

    words: Words

    def text(self, terms: Terms = PYTHON) -> str:
        """One line, or several."""
        return text_of(self.words, terms)


@dataclass(frozen=True, slots=True)
class Run:
    """A command to type: `argv` unquoted, word by word; `note` says what it does or when it fits."""

    argv: tuple[str, ...]
    note: Words = ""

    def text(self, terms: Terms = PYTHON) -> str:
        """The command, quoted for a shell, and the note."""
        # A placeholder such as FILE or "MESSAGE" is for the reader; what a shell would break is quoted.
        return _noted(shlex.join(self.argv), self.note, terms)


@dataclass(frozen=True, slots=True)
class Set:
    """An option to set: `value` "" leaves the value to the user."""

    option: str
    value: str = ""
    note: Words = ""

    def text(self, terms: Terms = PYTHON) -> str:
        """``add --bucket NAME`` on the command line."""
        return _noted(f"add {terms.option(self.option, self.value)}", self.note, terms)


@dataclass(frozen=True, slots=True)
class Drop:
    """Options to leave out."""

    options: tuple[str, ...]
    note: Words = ""

    def text(self, terms: Terms = PYTHON) -> str:
        """``leave --as-is out`` on the command line."""
        return _noted(f"leave {' and '.join(map(terms.option, self.options))} out", self.note, terms)


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with a job."""

    job: str
    note: Words = ""

    def text(self, terms: Terms = PYTHON) -> str:
        """The command that does so, "" where none can."""
        return _noted(terms.resume(self.job), self.note, terms)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give a job up, and have what it uploaded removed."""

    job: str
    note: Words = ""

    def text(self, terms: Terms = PYTHON) -> str:
        """The command that does so, "" where none can."""
        return _noted(terms.cancel(self.job), self.note, terms)


Action = Do | Run | Set | Drop | Resume | Cancel
#: a sentence stands for something to do by hand
Cure = str | Message | Action | Iterable[str | Message | Action]


def _noted(what: str, note: Words, terms: Terms) -> str:
    return f"{what}  ({text_of(note, terms)})" if what and note else what


def actions(cure: Cure) -> tuple[Action, ...]:
    """A cure as actions; empty sentences are none."""
    many: Iterable[str | Message | Action]
    many = (cure,) if isinstance(cure, str | Message | Do | Run | Set | Drop | Resume | Cancel) else cure
    return tuple(Do(one) if isinstance(one, str | Message) else one for one in many if one)


def lines_of(cure: Iterable[Action], terms: Terms = PYTHON) -> str:
    """Actions as one place writes them, one line each."""
    return "\n".join(filter(None, (action.text(terms) for action in cure)))


# --- the tree ---------------------------------------------------------------------------------------------


class VmieError(Exception):
    """A failure that a user can act on.

    `message` says what, `cause` why (may be ""), `cure` what to do, as actions. `code` is the service's own error code
    or ours; `request_id` is AWS's, "" where the failure did not come from AWS. `passing` says that the same call may
    succeed when it is made again: a throttle, a fault of AWS, a connection that broke. `fields` are the options that
    the mistake is about, by their names in `vmie.options`.
    """

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "Failed"

    def __init__(
        self,
        message: Words,
        *,
        cause: Words = "",
        cure: Cure = (),
        code: str = "",
        request_id: str = "",
        passing: bool = False,
        fields: Sequence[str] = (),
        result: dict[str, Any] | None = None,
        findings: Sequence[Any] = (),
    ) -> None:
        super().__init__(text_of(message))
        self.what: Words = message
        self.why: tuple[Words, ...] = (cause,) if cause else ()
        self.actions = actions(cure)
        self.code = code or self.default_code
        self.request_id = request_id
        self.passing = passing
        self.fields = tuple(fields) or (message.fields if isinstance(message, Message) else ())
        #: what had been reached when it failed (task id, object …): goes into the JSON's ``result``
        self.result = result or {}
        #: `model.Finding`s that led to it: go into the JSON's ``findings``
        self.findings = tuple(findings)

    @property
    def message(self) -> str:
        """What happened, in the library's own terms."""
        return text_of(self.what)

    @property
    def cause(self) -> str:
        """Why, in the library's own terms: one line each."""
        return self.cause_text(PYTHON)

    @property
    def cure(self) -> str:
        """What to do, in the library's own terms: one line each."""
        return self.cure_text(PYTHON)

    def cause_text(self, terms: Terms) -> str:
        """The causes as one place writes them, one line each."""
        return "\n".join(text_of(one, terms) for one in self.why)

    def cure_text(self, terms: Terms) -> str:
        """The actions as one place writes them, one line each."""
        return lines_of(self.actions, terms)

    def add_cause(self, *causes: Words) -> None:
        """Say more of why."""
        self.why = (*self.why, *(one for one in causes if one))

    def add_cure(self, cure: Cure) -> None:
        """Say more of what can be done."""
        self.actions = (*self.actions, *actions(cure))

    def as_json(self, terms: Terms = PYTHON) -> dict[str, Any]:
        """The contracted shape of ``error``."""
        return {
            "code": self.code,
            "message": text_of(self.what, terms),
            "cause": self.cause_text(terms),
            "cure": self.cure_text(terms),
            "request_id": self.request_id,
        }


class UsageError(VmieError):
    """Options or arguments that cannot be given, or not together."""

    exit_code = 2
    default_code = "Usage"


class ImageError(VmieError):
    """Input that cannot be read as what it claims to be."""

    exit_code = 2
    default_code = "UnreadableImage"


class PartialFailure(VmieError):  # noqa: N818 - not an error of the batch as a whole
    """Some items of a batch failed."""

    exit_code = 3
    default_code = "Partial"


class PreflightError(VmieError):
    """The service would refuse this; nothing was sent."""

    exit_code = 4
    default_code = "Preflight"


class AwsRefused(VmieError):  # noqa: N818
    """AWS said no: credentials, permission, quota, or a request it will not take."""

    exit_code = 5
    default_code = "AwsRefused"


class TaskFailed(VmieError):  # noqa: N818
    """The task was accepted and then failed."""

    default_code = "TaskFailed"


class DeadlineExceeded(VmieError):  # noqa: N818
    """The task was still active when its time was up."""

    default_code = "DeadlineExceeded"


class Interrupted(VmieError):  # noqa: N818
    """The user stopped it; the cure is the command that goes on."""

    exit_code = 130
    default_code = "Interrupted"
