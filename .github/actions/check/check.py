"""Check the images of a pull request, and show what was found: annotations, a table in the run's summary, outputs.

$IMAGES, $ROUTE, $RULES and $STRICT are the action's inputs. Names and messages come from images: none may become a
command to the runner, nor markup in the summary, so nothing of what vmie prints is passed on as it is.
"""

from __future__ import annotations

import glob
import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

_IMAGE = re.compile(r"\.(ova|ovf|vmdk|vhdx?|qcow2?|vdi|raw|img|vma)(\.(gz|xz|zst))?$", re.IGNORECASE)
_WORST_FIRST = ("fail", "unknown", "warn", "pass")
_KINDS = {"fail": "error", "warn": "warning", "unknown": "warning"}
_MOST = 50


def main() -> int:
    """The exit code of `vmie check`; 0 when there is nothing to check."""
    patterns = [line.strip() for line in os.environ["IMAGES"].splitlines() if line.strip()]
    images = _named(patterns) if patterns else _changed()
    if images is None:
        print(
            "::error::the commit before the pull request is not here: check out with fetch-depth 2, or name the images"
        )
        return 2
    if not images:
        print("no image was added or changed")
        _append("GITHUB_OUTPUT", "verdict=none")
        return 0
    route = os.environ["ROUTE"]
    argv = [sys.executable, "-m", "vmie", "--output", "json", "--quiet", "check", "--rules", os.environ["RULES"]]
    argv += ["--route", route, *(["--strict"] if os.environ["STRICT"] == "true" else []), "--", *images]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=False)
    report = Path(os.environ["RUNNER_TEMP"], "vmie-check.json")
    report.write_bytes(done.stdout)
    show(json.loads(done.stdout), route)
    _append("GITHUB_OUTPUT", f"report={report}")
    return done.returncode


def _named(patterns: list[str]) -> list[str]:
    """What the globs stand for; one without a match stays, for vmie to say that it is not there."""
    return [one for pattern in patterns for one in sorted(glob.glob(pattern, recursive=True)) or [pattern]]


def _changed() -> list[str] | None:
    """The images that the merge commit of a pull request adds or changes; None without its parent."""
    argv = ["git", "diff", "--name-only", "--no-renames", "--diff-filter=ACM", "-z", "HEAD^1", "HEAD", "--"]
    done = subprocess.run(argv, capture_output=True, check=False)
    if done.returncode:
        return None
    names = [os.fsdecode(name) for name in done.stdout.split(b"\0")]
    # a link could lead anywhere on the runner
    return [name for name in names if _IMAGE.search(name) and Path(name).is_file() and not Path(name).is_symlink()]


def show(data: dict[str, Any], route: str) -> None:
    """Write the annotations to stdout, the table and the verdict to the files that the runner names."""
    images, findings = data["result"].get("images", []), data["findings"]
    for line in annotations(findings, route) or annotations_of_error(data["error"]):
        print(line)
    summary = ["### vmie check", "", f"| image | format | {_cell(route)} | first finding |", "|---|---|---|---|"]
    summary += [_row(image, findings, route) for image in images]
    if not images and data["error"]:
        summary = [*summary[:2], _cell(data["error"]["message"])]
    verdicts = {image["verdict"].get(route, "unknown") for image in images} or {"fail"}
    _append("GITHUB_STEP_SUMMARY", "\n".join(summary))
    _append("GITHUB_OUTPUT", f"verdict={next(one for one in _WORST_FIRST if one in verdicts)}")


def annotations(findings: list[dict[str, Any]], route: str) -> list[str]:
    """One line for each finding that touches `route`, at most fifty."""
    shown = [one for one in findings if one["verdict"] in _KINDS and route in one["routes"]]
    return [_annotation(one) for one in shown[:_MOST]]


def annotations_of_error(error: dict[str, Any] | None) -> list[str]:
    """What ended the check where no finding says so."""
    return [f"::error::{_data(error['message'])}"] if error else []


def _annotation(finding: dict[str, Any]) -> str:
    text = "\n".join(part for part in (finding["message"], finding["cure"] and f"cure: {finding['cure']}") if part)
    return f"::{_KINDS[finding['verdict']]} file={_property(finding['path'])},title={finding['rule']}::{_data(text)}"


def _row(image: dict[str, Any], findings: list[dict[str, Any]], route: str) -> str:
    own = [one for one in findings if one["path"] == image["path"] and route in one["routes"]]
    own.sort(key=lambda one: _WORST_FIRST.index(one["verdict"]))
    first = f"{own[0]['rule']}: {own[0]['message']}" if own and own[0]["verdict"] in _KINDS else ""
    cells = (image["path"], image["format"], image["verdict"].get(route, "unknown"), first)
    return f"| {' | '.join(_cell(str(cell)) for cell in cells)} |"


def _cell(text: str) -> str:
    """Plain text in a table of Markdown: HTML's entities are the one escape that holds everywhere."""
    plain = html.escape(" ".join(text.split()))
    return "".join(char if char.isalnum() or char in " &#;.,/=-" else f"&#{ord(char)};" for char in plain)


def _data(text: str) -> str:
    """As the runner reads the message of a command back."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _append(variable: str, text: str) -> None:
    with Path(os.environ[variable]).open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
