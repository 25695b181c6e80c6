"""How the command line writes what an error names: options by their flags, ways on as commands."""

from __future__ import annotations

import shlex
from functools import cache

from vmie.errors import PythonTerms


class CliTerms(PythonTerms):
    """Options as they are typed; the commands are those of `PythonTerms`."""

    def option(self, name: str, value: str = "") -> str:
        """See `vmie.errors.Terms.option`."""
        flag = _flags().get(name) or f"--{name.replace('_', '-')}"
        return f"{flag} {shlex.quote(value)}" if value else flag


TERMS = CliTerms()


@cache
def _flags() -> dict[str, str]:
    """The flags of the options that are not called as their fields, and what stands for arguments."""
    from vmie.options import REQUESTS
    from vmie.options.base import extra, fields_of

    found: dict[str, str] = {}
    for model in REQUESTS:
        for name, info in fields_of(model).items():
            said = extra(info)
            default = said.metavar or name if said.argument else f"--{name.replace('_', '-')}"
            found.setdefault(name, said.flags[0] if said.flags else default)
    return found
