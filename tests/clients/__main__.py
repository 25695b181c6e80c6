"""Run the clients, print what came of them, write the table: `python -m tests.clients [NAME…] [--page FILE]`."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import tempfile
from pathlib import Path

from tests.clients.bench import Result, served
from tests.clients.environments import NotHere
from tests.clients.page import write
from tests.clients.programs import CLIENTS


def judged(name: str) -> list[Result] | str:
    """What came of a client's operations, or why it was not run."""
    with tempfile.TemporaryDirectory(prefix="vmie-client-") as folder, served(Path(folder)) as bench:
        try:
            CLIENTS[name](bench)
        except NotHere as error:
            return str(error)
        return bench.results


def table(found: dict[str, list[Result] | str], day: dt.date) -> str:
    """The table in Markdown."""
    lines = [f"Run on {day.isoformat()}.", "", "| client | operation | result |", "|---|---|---|"]
    for name, results in found.items():
        if isinstance(results, str):
            lines.append(f"| {name} | | not run: {results} |")
            continue
        worked = [one.operation for one in results if one.worked and not one.operation.startswith("(")]
        lines.append(f"| {name} | {' · '.join(worked)} | works |")
        lines += [f"| {name} | {one.operation} | fails: {_cell(one.why)} |" for one in results if not one.worked]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")[:200]


def main() -> int:
    """Return 1 when an operation failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CLIENTS)}; all by default")
    parser.add_argument("--page", type=Path, help="write the table into this page")
    given = parser.parse_args()
    found: dict[str, list[Result] | str] = {}
    for name in given.names or CLIENTS:
        found[name] = results = judged(name)
        if isinstance(results, str):
            print(f"{name}: not run: {results}", flush=True)
            continue
        for one in results:
            print(f"{name}: {one.operation}: {'works' if one.worked else f'FAILS: {one.why}'}", flush=True)
    if given.page:
        write(given.page, "clients", table(found, dt.datetime.now(dt.UTC).date()))
    return int(any(not one.worked for results in found.values() if not isinstance(results, str) for one in results))


if __name__ == "__main__":
    sys.exit(main())
