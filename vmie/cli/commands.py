"""What every verb shares as a Typer command: a page of help in groups, global options, verbs loaded when used."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from vmie.cli import help_page
from vmie.cli.global_options import GLOBALS, HELP
from vmie.cli.help_page import HelpPage, Row, Section
from vmie.cli.verbs import VERBS, root_page
from vmie.options.spelling import present

#: the group of options that name none
_PLAIN = "Options"
_CHOICES = re.compile(r"[<\[]([^\s<>\[\]]+\|[^\s<>\[\]]+)[>\]]")


class Command(TyperCommand):
    """A verb."""

    def get_help(self, ctx: Any) -> str:
        """The page of this verb."""
        return page(self, ctx).text(help_page.columns())

    def get_params(self, ctx: Any) -> Any:
        """Its own parameters; for the shell's completion the global options too."""
        return [*super().get_params(ctx), *_hoisted(self, ctx)]


class Group(TyperGroup):
    """A verb that has verbs; alone it shows its help."""

    def get_help(self, ctx: Any) -> str:
        """The page of this group, with the verbs in it."""
        return page(self, ctx).text(help_page.columns())

    def get_params(self, ctx: Any) -> Any:
        """See `Command.get_params`."""
        return [*super().get_params(ctx), *_hoisted(self, ctx)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Show the help when there is nothing else to do."""
        if not args and not ctx.resilient_parsing:
            args = ["--help"]
        return super().parse_args(ctx, args)


class Verbs(Group):
    """The root: it lists its verbs without loading them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = _Loaded()

    def get_help(self, ctx: Any) -> str:
        """The page that names every verb."""
        return root_page().text(help_page.columns())

    def list_commands(self, ctx: Any) -> list[str]:
        """Every verb."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb of that name, None when there is none."""
        return self.commands[cmd_name] if cmd_name in VERBS else None


def group(words: str) -> typer.Typer:
    """A group of verbs, for a module's `build`."""
    return _Verbs(help=words, cls=Group)


class _Verbs(typer.Typer):
    def command(self, name: str | None = None, **settings: Any) -> Any:
        """See `typer.Typer.command`."""
        return super().command(name, **({"cls": Command} | settings))


class _Loaded(Mapping[str, Any]):
    """The commands by name, each loaded when it is first looked up."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _load(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)

    def __contains__(self, name: object) -> bool:
        return name in VERBS


def _load(name: str) -> Any:
    verb = VERBS[name]
    module = importlib.import_module(f"vmie.cli.{verb.module}")
    app = _Verbs(rich_markup_mode=None, add_completion=False)
    if verb.function:
        app.command(name)(getattr(module, verb.function))
        return typer.main.get_command(app)
    app.add_typer(module.build(), name=name)
    root: Any = typer.main.get_command(app)
    return root.commands[name]


def _hoisted(command: Any, ctx: Any) -> list[Any]:
    """The global options that a verb has not got itself, where words are completed: `hoist` moves them in a run."""
    root = ctx.find_root().command
    if root is command or not ctx.resilient_parsing:
        return []
    own = {name for option in command.params for name in option.opts}
    return [one for one in root.params if not own & set(one.opts)]


def page(command: Any, ctx: Any) -> HelpPage:
    """The page of help of a verb, or of a group with the verbs in it."""
    from vmie.options.base import GROUPS

    listed: tuple[Section, ...] = ()
    if verbs := getattr(command, "commands", None):
        rows = [Row(name, help_page.summary(one.help or "")) for name, one in verbs.items() if not one.hidden]
        listed = (Section("Verbs", rows),)
    panels: dict[str, list[Row]] = {name: [] for name in ("Arguments", *GROUPS, _PLAIN)}
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            panels["Arguments"].append(Row(_argument(parameter), parameter.help or ""))
        else:
            name = getattr(parameter, "rich_help_panel", None) or _PLAIN
            panels.setdefault(name, []).append(_option(parameter, ctx))
    sections = [Section(title, rows) for title, rows in panels.items()]
    pieces = [_argument(one) for one in command.params if one.param_type_name == "argument"]
    usage = " ".join((ctx.command_path, "[OPTIONS]", *(["VERB [ARGUMENTS]"] if listed else pieces)))
    return HelpPage(usage, command.help or "", (*listed, *sections, _global_section(command)))


def _argument(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper() + ("..." if parameter.nargs != 1 else ""))


def _option(parameter: Any, ctx: Any) -> Row:
    """An option with its value: the choices where there are, else the last word of its name."""
    record = parameter.get_help_record(ctx) or ("", "")
    flags = ", ".join(sorted(present(parameter.opts), key=len)) + "".join(f"/{one}" for one in parameter.secondary_opts)
    if parameter.is_flag:
        return Row(flags, record[1])
    found = _CHOICES.search(record[0])
    value = parameter.metavar or (f"<{found[1]}>" if found else parameter.opts[0].rpartition("-")[2].upper())
    return Row(f"{flags} {value}", record[1])


def _global_section(command: Any) -> Section:
    """Every global option by name; what the verb calls the same itself is left out."""
    own = {name for option in command.params if not option.hidden for name in option.opts}
    shown = [one.shown for one in GLOBALS if one.flag not in own and one.name != "version"]
    names = ", ".join(one.replace(" ", "\N{NO-BREAK SPACE}") for one in (*shown, HELP.name))
    return Section("Global options", text=f"{names}. Before or after the verb; `vmie --help` explains them.")
