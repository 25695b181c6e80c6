"""How the command line writes what an error names: options by their flags, ways on as commands."""

from __future__ import annotations

import shlex

from vmie.errors import PythonTerms
from vmie.options.spelling import typed


class CliTerms(PythonTerms):
    """Options as they are typed; the commands are those of `PythonTerms`."""

    def option(self, name: str, value: str = "") -> str:
        """See `vmie.errors.Terms.option`."""
        flag = typed(name)
        return f"{flag} {shlex.quote(value)}" if value else flag


TERMS = CliTerms()
