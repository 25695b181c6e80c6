"""Manual pages (man/*.1), one a verb, from what `--help` is made of; written in man(7)'s macros."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main

from vmie._version import __version__
from vmie.cli.app import build
from vmie.cli.commands import page
from vmie.cli.global_options import ABOUT
from vmie.cli.help_page import HelpPage, Section, parted, summary
from vmie.cli.verbs import VERBS, root_page
from vmie.settings import ENVIRONMENT

_CHANGES = Path(__file__).parents[1] / "CHANGELOG.md"
_CODE = re.compile(r"`([^`]+)`")
_TITLES = {"Arguments": "ARGUMENTS", "Verbs": "VERBS", "Options": "OPTIONS", "Global options": "GLOBAL OPTIONS"}


def man_pages() -> Mapping[str, str]:
    """File name -> page: vmie.1 and vmie-VERB.1 for every verb."""
    root: Any = typer.main.get_command(build())
    ctx = root.context_class(root, info_name="vmie")
    found = {"vmie.1": _root()}
    for name in VERBS:
        command = root.commands[name]
        found[f"vmie-{name}.1"] = _verb(name, command, command.context_class(command, info_name=name, parent=ctx))
    return found


def _root() -> str:
    shown = root_page()
    prose, examples = parted(ABOUT)
    lines = [*_head("vmie", "virtual machines into Amazon EC2 and out again"), *_synopsis(shown.usage)]
    lines += [".SH DESCRIPTION", *_paragraphs(one for one in prose if not one.startswith("Exit codes"))]
    lines += _examples(examples)
    for section in shown.sections:
        lines += [f".SH {_TITLES[section.title]}", *_rows(section)]
    lines += [*_exit_status(), ".SH ENVIRONMENT", "A setting that an option does not give comes from these, then from"]
    lines += ["the settings file, then it is the default."]
    for name, variable in ENVIRONMENT.items():
        lines += [".TP", rf"\fB{variable}\fR", _text(f"the setting {name}")]
    lines += [
        ".TP",
        r"\fBVMIE_CONFIG\fR",
        "the settings file",
        ".TP",
        r"\fBVMIE_STATE\fR",
        "the folder of jobs and batches",
    ]
    lines += [".SH FILES", ".TP", r"\fI~/.config/vmie/settings.toml\fR", "the settings file", ".TP"]
    lines += [r"\fI~/.local/state/vmie\fR", "jobs and batches; both as the system places such folders", *_see("")]
    return "\n".join(lines) + "\n"


def _verb(name: str, command: Any, ctx: Any) -> str:
    shown = page(command, ctx)
    lines = [*_head(f"vmie-{name}", summary(command.help or "").removesuffix("."))]
    verbs = getattr(command, "commands", {})
    if not verbs:
        lines += [*_synopsis(shown.usage), *_body(shown, ".SH")]
    else:
        lines += [
            *_synopsis(f"vmie {name} VERB [OPTIONS] [ARGUMENTS]"),
            ".SH DESCRIPTION",
            *_paragraphs(parted(shown.description)[0]),
        ]
        for inner, one in verbs.items():
            if not one.hidden:
                inside = page(one, one.context_class(one, info_name=inner, parent=ctx))
                lines += [f".SH {inner.upper()}", rf"\fB{_verbatim(inside.usage)}\fR", *_body(inside, ".SS")]
        lines += [".SH GLOBAL OPTIONS", *(_text(one.text) for one in shown.sections if one.title == "Global options")]
    return "\n".join([*lines, *_exit_status(), *_see(name)]) + "\n"


def _body(shown: HelpPage, macro: str) -> list[str]:
    prose, examples = parted(shown.description)
    lines = [f"{macro} DESCRIPTION" if macro == ".SH" else ".PP", *_paragraphs(prose), *_examples(examples, macro)]
    for section in shown.sections:
        if section.rows or (section.text and macro == ".SH"):
            lines += [f'{macro} "{_verbatim(section.title.upper())}"', *_rows(section)]
    return lines


def _head(name: str, what: str) -> list[str]:
    what = what[:1].lower() + what[1:] if what[1:2].islower() else what
    title = f'.TH {name.upper()} 1 "{_released()}" "vmie {__version__}" "vmie manual"'
    return [title, ".ad l", ".nh", ".SH NAME", rf"{_verbatim(name)} \- {_text(what)}"]


def _released() -> str:
    """The date of this version, as the changelog has it."""
    found = re.search(rf"^## \[{re.escape(__version__)}\] - (\S+)", _CHANGES.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""


def _synopsis(usage: str) -> list[str]:
    return [".SH SYNOPSIS", rf"\fB{_verbatim(usage)}\fR"]


def _paragraphs(prose: Iterator[str] | list[str]) -> list[str]:
    lines: list[str] = []
    for one in prose:
        lines += [*([".PP"] if lines else []), _text(one)]
    return lines


def _examples(examples: list[str], macro: str = ".SH") -> list[str]:
    if not examples:
        return []
    return [f"{macro} EXAMPLES", ".nf", *(_verbatim(one) for one in examples), ".fi"]


def _rows(section: Section) -> list[str]:
    if not section.rows:
        return [_text(section.text)]
    return [
        line for row in section.rows for line in (".TP", rf"\fB{_verbatim(row.name)}\fR", _text(row.words) or r"\&")
    ]


def _exit_status() -> list[str]:
    (codes,) = [one for one in parted(ABOUT)[0] if one.startswith("Exit codes")]
    return [".SH EXIT STATUS", _text(codes.removeprefix("Exit codes: "))]


def _see(name: str) -> list[str]:
    others = [rf"\fBvmie\-{_verbatim(one)}\fR(1)" for one in VERBS if one != name]
    listed = ", ".join(others if not name else [r"\fBvmie\fR(1)", *others])
    return [".SH SEE ALSO", f"{listed}", ".PP", _text("https://vmie.github.io/vmie/")]


def _text(words: str) -> str:
    """Prose: what stands between backticks is bold."""
    parts = _CODE.split(" ".join(words.split()))
    return _line(
        "".join(rf"\fB{_verbatim(part)}\fR" if number % 2 else _plain(part) for number, part in enumerate(parts))
    )


def _verbatim(words: str) -> str:
    """What is typed: a hyphen is a minus, to be copied."""
    return _line(_plain(words).replace("-", r"\-"))


def _plain(words: str) -> str:
    text = words.replace("\\", r"\e").replace('"', r"\(dq").replace("\N{NO-BREAK SPACE}", r"\ ")
    text = text.replace("|", r"|\:")  # choices may be parted
    return "".join(char if char.isascii() else rf"\[u{ord(char):04X}]" for char in text)


def _line(text: str) -> str:
    """A line that begins as a request does is none."""
    return rf"\&{text}" if text.startswith((".", "'")) else text
