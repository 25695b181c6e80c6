"""Pages of the site that no file holds: one for each message of AWS, made from the catalogue while the site is built.

MkDocs calls `on_files` (https://www.mkdocs.org/user-guide/configuration/#hooks).
"""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import errors_page

from vmie import catalogue
from vmie.catalogue import CatalogueEntry
from vmie.cli.terms import TERMS
from vmie.ops.doctor.diagnosis import CHECKS

_GUIDE = "https://docs.aws.amazon.com/vm-import/latest/userguide/vmimport-troubleshooting.html"
#: where the threads are that the catalogue names in short
_REPOSITORIES = {
    "aws-cli": "aws/aws-cli",
    "aws-sdk": "aws/aws-sdk",
    "aws-sdk-ruby": "aws/aws-sdk-ruby",
    "boto3": "boto/boto3",
    "coldsnap": "awslabs/coldsnap",
    "containers/automation_images": "containers/automation_images",
    "coreos/bugs": "coreos/bugs",
    "fedora-coreos-tracker": "coreos/fedora-coreos-tracker",
    "nixpkgs": "NixOS/nixpkgs",
    "osbuild-composer": "osbuild/osbuild-composer",
    "packer": "hashicorp/packer",
    "packer-plugin-amazon": "hashicorp/packer-plugin-amazon",
    "remnux-cli": "REMnux/remnux-cli",
    "teamdfir/sift": "teamdfir/sift",
    "wazuh-packages": "wazuh/wazuh-packages",
}
_THREADS = re.compile(r"([\w./-]+) ((?:#\d+(?:, )?)+)")
_ADDRESS = re.compile(r"https://[^\s;]+")
#: what Markdown, and HTML in it, would take for its own
_MARKUP = re.compile(r"[\\`*_{}\[\]<>()#+.!|~&-]")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages to those that lie in docs/."""
    from mkdocs.structure.files import File  # noqa: PLC0415 - tests read the pages without MkDocs

    for name, text in pages().items():
        files.append(File.generated(config, f"errors/{name}", content=text))
    return files


def pages() -> Mapping[str, str]:
    """File name -> Markdown: index.md, and a page an entry, named by its id, which does not change."""
    return {"index.md": _index(), **{f"{entry.id}.md": _page(entry) for entry in catalogue.entries().values()}}


def _index() -> str:
    lines = [
        *_front("Error messages of AWS VM Import/Export", "Every message, its causes and cures."),
        "# What AWS says",
        "",
    ]
    lines += [
        f"{len(catalogue.entries())} messages of VM Import/Export and its neighbours, each with causes and a cure.",
        '`vmie explain "MESSAGE"` says the same, offline. Search this site for any part of a message.',
        "",
    ]
    for kind, title in errors_page.SECTIONS.items():
        lines += [f"## {title}", ""]
        lines += [
            f"- [{_plain(catalogue.words(one.id))}]({one.id}.md)"
            for one in catalogue.entries().values()
            if one.kind == kind
        ]
        lines.append("")
    return "\n".join(lines)


def _page(entry: CatalogueEntry) -> str:
    words = catalogue.words(entry.id)
    lines = [
        *_front(words, f"Why AWS says it, and what to do. Most likely: {entry.causes[0]}"),
        f"# {_plain(words)}",
        "",
    ]
    if entry.codes:
        lines += [f"Error code: {errors_page.codes(entry)}.", ""]
    lines += [
        "## Why",
        "",
        *(["Most likely first:", ""] if len(entry.causes) > 1 else []),
        *errors_page.causes(entry),
        "",
    ]
    lines += ["## What to do", "", *errors_page.cures(entry, TERMS), ""]
    if entry.id in CHECKS:
        lines += [f"{errors_page.DIAGNOSED}.", ""]
    lines += ["## Does it help to try again?", "", f"{errors_page.again(entry).capitalize()}.", ""]
    if rules := errors_page.rule_links(entry, "../reference/rules.md"):
        lines += ["## Known before the upload", "", f"`vmie check` foresees it, without AWS: {rules}.", ""]
    lines += [
        "## Source",
        "",
        f"{_linked(entry.source)}.",
        "",
        "In a terminal:",
        "",
        f"    vmie explain {entry.id}",
        "",
    ]
    return "\n".join(lines)


def _front(title: str, description: str) -> list[str]:
    """YAML takes JSON's strings."""
    return ["---", f"title: {json.dumps(title)}", f"description: {json.dumps(description)}", "---", ""]


def _plain(words: str) -> str:
    """Words of AWS that are no markup."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", words)


def _linked(source: str) -> str:
    """Threads and pages as links."""
    text = html.escape(source, quote=False)
    text = _ADDRESS.sub(lambda found: f"<{found[0]}>", text)
    text = _THREADS.sub(_thread, text)
    return text.replace("troubleshooting page", f"[troubleshooting page]({_GUIDE})")


def _thread(found: re.Match[str]) -> str:
    repository = _REPOSITORIES.get(found[1])
    if repository is None:
        return found[0]
    return re.sub(r"#(\d+)", rf"[{found[1]} #\1](https://github.com/{repository}/issues/\1)", found[2])
