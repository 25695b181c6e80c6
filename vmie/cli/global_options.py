"""The global options, each once: the root's parameters, its help, and what every verb's help says of them."""

from __future__ import annotations

from typing import NamedTuple

from vmie.cli.help_page import Row


class Global(NamedTuple):
    """An option that stands before or after the verb. Without `value` and `choices` it is a switch."""

    name: str
    words: str
    value: str = ""
    choices: tuple[str, ...] = ()
    short: str = ""

    @property
    def flag(self) -> str:
        """As it is typed."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def switch(self) -> bool:
        """Whether it takes no value."""
        return not (self.value or self.choices)

    @property
    def shown(self) -> str:
        """As the help names it, with its value."""
        value = f"<{'|'.join(self.choices)}>" if self.choices else self.value
        return f"{f'{self.short}, ' if self.short else ''}{self.flag} {value}".rstrip()


GLOBALS = (
    Global("profile", "AWS profile.", value="NAME"),
    Global("region", "AWS Region.", value="REGION"),
    Global("endpoint_url", "Another endpoint, such as `vmie sandbox serve`.", value="URL"),
    Global("sandbox", "Use AWS offline, emulated in this process."),
    Global("output", "text for people, json for scripts. [default: text]", choices=("text", "json")),
    Global("quiet", "Print only results and errors.", short="-q"),
    Global("verbose", "Print more, with every AWS call.", short="-v"),
    Global("no_progress", "No bars."),
    Global(
        "log_format",
        "json: every event, with every AWS call, as a line of JSON on stderr. [default: text]",
        choices=("text", "json"),
    ),
    Global("dry_run", "Show what would be done, do nothing."),
    Global("version", "Print the version."),
)
COMPLETION = (
    Row("--install-completion", "Install completion for the current shell (bash, zsh, fish)."),
    Row("--show-completion", "Show completion for the current shell, to copy it."),
)
HELP = Row("-h, --help", "Show this page; `vmie help VERB` is the same.")

ABOUT = """Virtual machines into Amazon EC2 and out again.

vmie check server.ova
vmie --sandbox import server.ova
vmie import server.ova --bucket my-images --name web-1

Global options may stand before or after the verb.

Exit codes: 0 done, 1 failed, 2 usage or unreadable input, 3 partial, 4 preflight found a blocking problem,
5 AWS refused, 130 interrupted (can be resumed).
"""
