"""Boot entries and versions, as the tests of systemd order and read them; and what it makes of root= on a kernel's
command line.

https://github.com/systemd/systemd/tree/main/src/test, …/test/test-fstab-generator
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

from tests import guests
from tests.field.corpora import Folder
from tests.field.judging import Case
from vmie.guest.linux import systemd_boot
from vmie.guest.linux.fstab import root_device
from vmie.guest.linux.systemd_boot import tries_of, version_key

NAME = "systemd"
CORPORA = ("systemd",)
TOOLS = ()
_STRING = r'"((?:[^"\\]|\\.)*)"'


def cases(folders: Mapping[str, Folder], work: Path) -> Iterator[Case]:
    """One case a comparison, a menu, a file name, or a command line."""
    top = folders["systemd"].root
    strings = (top / "src/test/test-string-util.c").read_text()
    entries = (top / "src/test/test-bootspec.c").read_text()
    yield from _versions(strings)
    yield from _menus(entries)
    for name, code, plain, left in re.findall(
        rf"test_extract_tries_one\({_STRING}, (\S+), (?:{_STRING}|NULL), (\w+),", entries
    ):
        if code == "0" and name:
            yield Case(f"tries {name}", (plain, None if left == "UINT_MAX" else int(left)), partial(tries_of, name))
    yield from _roots(top / "test/test-fstab-generator")


def _versions(text: str) -> Iterator[Case]:
    listed = text[text.index("versions[] = {") :]
    in_order = re.findall(_STRING, listed[: listed.index("NULL")])
    rows = [(a, b, -1) for a, b in pairwise(in_order)]
    rows += [(a, b, -1) for a, b in re.findall(rf"improved_newer\({_STRING}, {_STRING}\)", text)]
    words = {"==": 0, "<": -1, ">": 1}
    found = re.findall(rf"assert_se\(strverscmp_improved\({_STRING}, {_STRING}\) (==|<|>) 0\)", text)
    rows += [(a, b, words[sign]) for a, b, sign in found]
    rows += [(a, b, int(sign)) for a, b, sign in re.findall(r"RPMVERCMP\(([^,()]+), ([^,()]+), (-?\d)\)", text)]
    for one, other, expected in dict.fromkeys(rows):
        yield Case(f"version {one!r} {other!r}", expected, partial(_compared, one, other))


def _compared(one: str, other: str) -> int:
    first, second = version_key(one), version_key(other)
    return (first > second) - (first < second)


def _menus(text: str) -> Iterator[Case]:
    """Tests that write entries and then say in which order they come."""
    for name, test in re.findall(r"^TEST_RET\((\w+)\) \{(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        files = {}
        for match in re.finditer(rf"\.fname = {_STRING},\s*\.contents =\s*((?:{_STRING}\s*)+),", test):
            lines = "".join(re.findall(_STRING, match[2])).replace("\\n", "\n")
            files[match[1]] = f"{lines}linux /vmlinuz\n"
        places = re.findall(rf"config\.entries\[(\d+)\]\.id, {_STRING}", test)
        if files and len(places) == len(files):
            expected = [file.removesuffix(".conf") for _, file in sorted(places, key=lambda one: int(one[0]))]
            yield Case(f"menu {name}", expected, partial(_menu, files))


def _menu(files: Mapping[str, str]) -> object:
    tree = guests.tree(
        {"/boot/loader/loader.conf": "", **{f"/boot/loader/entries/{name}": text for name, text in files.items()}}
    )
    found = systemd_boot.read(tree)
    return [entry.id for entry in found.entries] if found else []


def _roots(folder: Path) -> Iterator[Case]:
    """Where the root is a device, the unit that mounts it names that."""
    for given in sorted(folder.glob("*.input")):
        unit = given.with_suffix(".expected") / "sysroot.mount"
        if unit.is_file() and (what := re.search(r"^What=(/dev/.*)$", unit.read_text(), re.MULTILINE)):
            yield Case(f"root {given.stem}", what[1], partial(_root, given.read_text()))


def _root(cmdline: str) -> str:
    kind, equals, value = root_device(cmdline).partition("=")
    return f"/dev/disk/by-{kind.lower()}/{value}" if equals else kind
