"""What an error says and what can be done about it, as data: messages that name options, and cures as actions.

An option is named by its field ("volume_type"), never as it is typed: whoever shows an error - the command line, a plan
file's report, Python - has `Terms` that say how it is written there.
"""

from __future__ import annotations

import shlex
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


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
