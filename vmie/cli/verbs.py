"""The verbs of the command line: the help names them all, and a verb's module is loaded when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import typer
import typer.main
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: a function of its module, or with `function` "" the group that its `build` makes."""

    module: str
    function: str
    summary: str

    def load(self, name: str) -> Any:
        """The command itself."""
        module = importlib.import_module(f"vmie.cli.{self.module}")
        app = typer.Typer(rich_markup_mode=None, add_completion=False)
        if self.function:
            app.command(name)(getattr(module, self.function))
            return typer.main.get_command(app)
        app.add_typer(module.build(), name=name)
        root: Any = typer.main.get_command(app)
        return root.commands[name]


#: in the order of the help; a summary is the first sentence of the verb's own help
VERBS: Mapping[str, Verb] = {
    "setup-role": Verb(
        "setup_role", "setup_role", "Make the service role that VM Import/Export works as, or bring it up to date."
    ),
    "check": Verb("check", "check", "Show whether AWS will accept an image, and why not, without AWS."),
    "import": Verb("import_", "import_", "Bring a virtual machine into EC2."),
    "export": Verb("export", "export", "Take a virtual machine out of EC2: an instance, or an AMI."),
    "tasks": Verb("tasks", "", "The import and export tasks of a Region, whoever started them."),
    "explain": Verb(
        "explain", "explain", "Explain a message of AWS, why a task failed, or what a rule of `vmie check` rests on."
    ),
    "doctor": Verb("doctor", "doctor", "Find what would stop an import or export, before it starts."),
    "limits": Verb("limits", "limits", "Show every limit of AWS: in 2016, today, vmie's own, and what is in use now."),
    "policy": Verb("policy", "", "Print least-privilege policies; nothing is asked of AWS."),
    "convert": Verb("convert", "convert", "Write a disk as stream-optimised VMDK, dynamic VHD or raw."),
    "upload": Verb("upload", "upload", "Send a disk to S3 in the form that EC2 takes; no EC2 call is made."),
    "resume": Verb(
        "jobs", "resume", "Resume a job or batch that was interrupted or failed; nothing is sent or created twice."
    ),
    "cancel": Verb("jobs", "cancel", "Cancel a job or batch: stop its tasks, abort its uploads, remove its objects."),
    "jobs": Verb("jobs", "jobs", "List the jobs and batches of this machine, newest first."),
    "batch": Verb("batch", "", "Many VMs from one plan file: resumable, under AWS's quotas."),
    "worker": Verb(
        "worker", "worker", "Work on the batches of a shared state, until Ctrl-C; start as many as there are machines."
    ),
    "sandbox": Verb("sandbox", "", "AWS offline, with VM Import/Export in it."),
}


class _Loaded(Mapping[str, Any]):
    """The commands by name, each loaded when it is first looked up."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = VERBS[name].load(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)

    def __contains__(self, name: object) -> bool:
        return name in VERBS


class Verbs(TyperGroup):
    """The root: it lists its verbs without loading them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = _Loaded()

    def list_commands(self, ctx: Any) -> list[str]:
        """Every verb."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb of that name, None when there is none."""
        return self.commands[cmd_name] if cmd_name in VERBS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The verbs with their summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items()])
