"""moto's own tests on moto as the sandbox patches it: `python -m tests.clients.moto_suites [SUITE…] [--unpatched]`.

A test that fails there must be in moto_differences.toml with the reason why AWS answers otherwise than moto expects.
Ends with 1 for a failure that is not listed, and for a listed test that passes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.clients import environments
from tests.clients.page import write
from tests.field import corpora
from tests.tools import ROOT

SUITES = ("ebs", "ec2", "iam", "kms", "s3")
_HERE = Path(__file__).parent
_LIST = _HERE / "moto_differences.toml"
#: both need what no test run has
_LEFT_OUT = "not network and not requires_docker"


@dataclass(frozen=True)
class Outcome:
    """What a suite did: tests by name, as ``test_s3.py::test_x[1]``, without the folder of the suite."""

    suite: str
    passed: frozenset[str]
    failed: frozenset[str]


def run(suite: str, *, patched: bool = True, whole: bool = True, arguments: Sequence[str] = ()) -> Outcome:
    """Run one suite, with CloudFormation when it is the `whole`; `arguments` go to pytest.

    Raises MissingError where there is none, OSError where none ran.
    """
    moto, freezegun = corpora.folder("moto"), corpora.folder("freezegun")
    if importlib.metadata.version("moto") != moto.version:
        raise corpora.MissingError(f"moto {moto.version} is listed, {importlib.metadata.version('moto')} is installed")
    with tempfile.TemporaryDirectory(prefix="vmie-moto-") as scratch:
        report = Path(scratch) / "report.xml"
        argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "-m", _LEFT_OUT]
        argv += ["--junit-xml", str(report), "-W", "ignore", f"--rootdir={moto.root}", f"tests/test_{suite}"]
        if patched:
            argv += ["-p", "moto_patched"]
        # theirs is a package `tests` too: it is found first, in the folder that the run begins in
        path = os.pathsep.join(map(str, (_HERE, freezegun.root, ROOT, *([_cloudformation()] if whole else []))))
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_", "VMIE_"))}
        env |= {"PYTHONPATH": path, "AWS_DEFAULT_REGION": "us-east-1", "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
        env |= {"AWS_ACCESS_KEY_ID": "made", "AWS_SECRET_ACCESS_KEY": "up", "HOME": scratch}
        done = subprocess.run(
            [*argv, *arguments], cwd=moto.root, env=env, capture_output=True, text=True, timeout=3600, check=False
        )
        if done.returncode not in (0, 1) or not report.exists():
            raise OSError(f"moto's tests of {suite} did not run:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return _read(suite, report)


def _cloudformation() -> Path:
    """The packages that moto imports for CloudFormation, found last: the sandbox does without, moto's tests do not."""
    (packages,) = environments.python("moto-suites").glob("lib/python*/site-packages")
    return packages


def _read(suite: str, report: Path) -> Outcome:
    passed, failed = set(), set()
    for case in ET.parse(report).iter("testcase"):
        module, *inner = case.get("classname", "").removeprefix(f"tests.test_{suite}.").split(".")
        name = "::".join((f"{module}.py", *inner, case.get("name", "")))
        states = {child.tag for child in case}
        if states & {"failure", "error"}:
            failed.add(name)
        elif "skipped" not in states:
            passed.add(name)
    return Outcome(suite, frozenset(passed), frozenset(failed))


def listed(suite: str) -> dict[str, str]:
    """The tests that fail on purpose, or without the patches too, and why."""
    rows = tomllib.loads(_LIST.read_text())["difference"]
    return {name: row["reason"] for row in rows if row["suite"] == suite for name in row["tests"]}


def surprises(outcome: Outcome) -> list[str]:
    """What is not as listed, one line each."""
    expected = listed(outcome.suite)
    news = [f"{outcome.suite}: {name} fails" for name in sorted(outcome.failed - set(expected))]
    return news + [
        f"{outcome.suite}: {name} passes: take it from {_LIST.name}" for name in sorted(outcome.passed & set(expected))
    ]


def report(outcomes: Iterable[Outcome]) -> str:
    """A table in Markdown."""
    lines = ["| suite of moto | passed | fail, as listed | why |", "|---|---|---|---|"]
    for one in outcomes:
        reasons = listed(one.suite)
        known = one.failed & set(reasons)
        why = "; ".join(
            f"{reason} ({count})" for reason, count in Counter(reasons[name] for name in known).most_common()
        )
        lines.append(f"| {one.suite} | {len(one.passed)} | {len(known)} | {why} |")
    return "\n".join(lines)


def main() -> int:
    """Run, print, compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients.moto_suites")
    parser.add_argument("suite", nargs="*", choices=[*SUITES, []], help="none is all")
    parser.add_argument("--unpatched", action="store_true", help="on moto as it is: print what fails there")
    parser.add_argument("--page", type=Path, help="write the table into this page")
    parser.add_argument("-n", default="0", help="processes, as pytest-xdist has it")
    given = parser.parse_args()
    outcomes, wrong = [], []
    for suite in given.suite or SUITES:
        outcome = run(suite, patched=not given.unpatched, arguments=("-n", given.n))
        outcomes.append(outcome)
        wrong += sorted(outcome.failed) if given.unpatched else surprises(outcome)
    print(report(outcomes))
    if given.page:
        write(given.page, "moto", f"moto {importlib.metadata.version('moto')}:\n\n{report(outcomes)}")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
