"""How the command line writes what an error names: options by their flags, ways on as commands."""

from __future__ import annotations

import shlex

from vmie.errors import PythonTerms

_FLAGS = {
    "route": "--as",
    "architecture": "--arch",
    "tags": "--tag",
    "license_configurations": "--license-configuration",
    "security_groups": "--security-group",
}


class CliTerms(PythonTerms):
    """Options as they are typed; the commands are those of `PythonTerms`."""

    def option(self, name: str, value: str = "") -> str:
        """See `vmie.errors.Terms.option`."""
        flag = _FLAGS.get(name) or f"--{name.replace('_', '-')}"
        return f"{flag} {shlex.quote(value)}" if value else flag


TERMS = CliTerms()
