"""GRUB's configurations: which entry boots by default, and which kernel it loads. GRUB2 and GRUB legacy.

Only what grub-mkconfig, grubby and the distributions write is understood: assignments, menu entries and
submenus; conditions are not evaluated, except the one on ``next_entry``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from vmie.guest.linux.grub_lookup import Lookup, explicit, legacy, lookup
from vmie.guest.linux.grub_lookup import words as _words
from vmie.guest.linux.kernels import Images
from vmie.guest.linux.shell import block
from vmie.guest.tree import Tree

_MAX_LINES = 50_000
_MAX_ENTRIES = 2000
_MAX_LOOKUPS = 50
_MAX_OPTIONS = 8192
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_LINUX = frozenset(("linux", "linux16", "linuxefi", "module2", "multiboot2"))
_INITRD = frozenset(("initrd", "initrd16", "initrdefi"))


@dataclass(slots=True)
class MenuEntry:
    """One thing that can be booted: `images` as its configuration spells them, `lookups` where they lie."""

    title: str = ""
    id: str = ""
    images: Images = field(default_factory=Images)
    cmdline: str = ""
    lookups: list[Lookup] = field(default_factory=list)
    children: list[MenuEntry] | None = None


@dataclass(slots=True)
class Config:
    """A parsed grub.cfg: the values given to ``default`` in order, the entries, whether it reads BLS entries."""

    defaults: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    entries: list[MenuEntry] = field(default_factory=list)
    lookups: list[Lookup] = field(default_factory=list)
    bls: bool = False

    def flat(self) -> list[MenuEntry]:
        """All entries that boot something, those of submenus too."""
        found, todo = [], list(reversed(self.entries))
        while todo:
            entry = todo.pop()
            if entry.children is None:
                found.append(entry)
            else:
                todo += reversed(entry.children)
        return found


def parse(text: str) -> Config:
    """A grub.cfg."""
    config = Config()
    stack: list[MenuEntry | None] = []  # what each open brace belongs to: an entry, or None (a function)
    count = 0
    for raw in text.splitlines()[:_MAX_LINES]:
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        first = line.split(None, 1)[0]
        current = next((entry for entry in reversed(stack) if entry is not None), None)
        if first in ("menuentry", "submenu") and line.endswith("{"):
            count += 1
            entry = _titled(line, submenu=first == "submenu")
            siblings = config.entries if current is None or current.children is None else current.children
            if count <= _MAX_ENTRIES:
                siblings.append(entry)
            stack.append(entry)
        elif line.endswith("{"):
            stack.append(None)
        elif first == "}":
            del stack[-1:]
        elif current is None or current.children is not None:
            if None not in stack:
                _setting(config, first, line)
        else:
            _loading(current, first, line)
    return config


def _titled(line: str, *, submenu: bool) -> MenuEntry:
    words = _words(line)
    entry = MenuEntry(title=words[1] if len(words) > 1 else "", children=[] if submenu else None)
    for index, word in enumerate(words):
        if word in ("--id", "$menuentry_id_option") and index + 1 < len(words):
            entry.id = words[index + 1]
        elif word.startswith("--id="):
            entry.id = word[5:]
    return entry


def _setting(config: Config, first: str, line: str) -> None:
    if first == "blscfg":
        config.bls = True
    if len(config.lookups) < _MAX_LOOKUPS and (found := lookup(first, line)):
        config.lookups.append(found)
    if first == "set" and "=" in line:
        name, _, value = line[3:].strip().partition("=")
        value = (_words(value) or [""])[0]
        config.settings[name] = value
        if name == "default":
            config.defaults.append(value)


def _loading(entry: MenuEntry, first: str, line: str) -> None:
    words = _words(line)
    if len(entry.lookups) < _MAX_LOOKUPS and (found := lookup(first, line)):
        entry.lookups.append(found)
    if first in _LINUX and len(words) > 1 and not words[1].endswith("xen.gz") and not entry.images.kernel:
        entry.images = Images(words[1], entry.images.initramfs)
        entry.cmdline = " ".join(words[2:])
        if found := explicit(words[1]):
            entry.lookups.append(found)
    elif first in _INITRD and len(words) > 1:
        # several may be given: microcode first, the real one last
        entry.images = Images(entry.images.kernel, words[-1])


@dataclass(frozen=True, slots=True)
class BootChoice:
    """The default entry of a configuration; `images` as it spells them, `source` what decided."""

    images: Images
    cmdline: str
    source: str
    entry: MenuEntry | None = None


def choose(config: Config, environment: dict[str, str]) -> BootChoice | None:
    """The entry that boots by default, as GRUB finds it: by index, id or title, ``a>b`` through submenus."""
    wanted, source = default_of(config, environment)
    entry = select(config.entries, wanted)
    if entry is None:
        entry, source = select(config.entries, "0"), "first entry"
    if entry is None:
        return None
    return BootChoice(entry.images, entry.cmdline, source, entry)


def default_of(config: Config, environment: dict[str, str]) -> tuple[str, str]:
    """What the default entry is called, by index, id or title, and what said so."""
    wanted, source = "0", "first entry"
    for value in config.defaults:
        if "next_entry" in value:
            if environment.get("next_entry"):
                return environment["next_entry"], "grubenv next_entry"
        elif "saved_entry" in value:
            if environment.get("saved_entry"):
                wanted, source = environment["saved_entry"], "grubenv saved_entry"
        elif value and not value.startswith("$"):
            wanted, source = value, "set default"
    return wanted, source


def select(entries: list[MenuEntry], wanted: str) -> MenuEntry | None:
    """The entry that `wanted` names, through submenus; None when there is none."""
    head, _, rest = wanted.partition(">")
    found = None
    if head.isdecimal() and len(head) < 6:
        found = entries[int(head)] if int(head) < len(entries) else None
    found = found or next((entry for entry in entries if head in (entry.id, entry.title)), None)
    if found is None and ">" in wanted:
        found = next((entry for entry in entries if wanted in (entry.id, entry.title)), None)
        rest = ""
    depth = 0
    while found is not None and found.children is not None and depth < 8:
        if not found.children:
            return None
        head, _, rest = (rest or "0").partition(">")
        depth += 1
        children = found.children
        found = next((entry for entry in children if head in (entry.id, entry.title)), None)
        if found is None and head.isdecimal() and len(head) < 6 and int(head) < len(children):
            found = children[int(head)]
    return found if found is not None and found.children is None else None


def environment(tree: Tree) -> tuple[dict[str, str], bool]:
    """grubenv's variables, and whether there is one: a block of 1024 bytes that begins with a fixed line."""
    for path in (
        "/boot/grub2/grubenv",
        "/boot/grub/grubenv",
        *(f"/boot/efi/EFI/{name}/grubenv" for name in tree.listdir("/boot/efi/EFI")),
    ):
        text = tree.text(path, limit=64 << 10)
        if text is not None:
            return block(text), True
    return {}, False


def fill(entries: list[MenuEntry], config: Config, environment: dict[str, str]) -> None:
    """Put the values of variables into the options of `entries`: one alone may be empty, others stay as they are."""
    settings = {**config.settings, **environment}
    for entry in entries:
        words = (_filled(word, settings) for word in entry.cmdline.split())
        entry.cmdline = " ".join(word for word in words if word)[:_MAX_OPTIONS]


def _filled(word: str, settings: dict[str, str]) -> str:
    if alone := _VARIABLE.fullmatch(word):
        return settings.get(alone[1], "")
    return _VARIABLE.sub(lambda match: settings.get(match[1], match[0]), word)


def choose_legacy(text: str) -> tuple[BootChoice | None, list[MenuEntry]]:
    """The default of a menu.lst or grub.conf (``default N`` counts the ``title`` stanzas from 0), and all of them."""
    wanted = 0
    stanzas: list[MenuEntry] = []
    for raw in text.splitlines()[:_MAX_LINES]:
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        first, *more = re.sub(r"^(\w+)\s*=\s*", r"\1 ", line).split(None, 1)
        rest = more[0] if more else ""
        words = rest.split()
        if first == "default" and not stanzas:
            wanted = int(rest) if rest.strip().isdecimal() and len(rest) < 6 else 0
        elif first == "title" and len(stanzas) < _MAX_ENTRIES:
            stanzas.append(MenuEntry(title=rest.strip()))
        elif stanzas and words:
            if len(stanzas[-1].lookups) < _MAX_LOOKUPS and (found := legacy(first, rest)):
                stanzas[-1].lookups.append(found)
            words = [word for word in words if not word.startswith("--")]
            words[:1] = [re.sub(r"^\([^)]*\)", "", words[0])] if words else []
            _stanza(stanzas[-1], first, words)
    if not stanzas:
        return None, []
    chosen = stanzas[wanted] if wanted < len(stanzas) else stanzas[0]
    source = "default" if wanted < len(stanzas) else "first entry"
    return BootChoice(chosen.images, chosen.cmdline, source, chosen), stanzas


def _stanza(entry: MenuEntry, first: str, words: list[str]) -> None:
    if not words:
        return
    if first == "kernel" or (first == "module" and entry.images.kernel.rpartition("/")[2].startswith("xen")):
        entry.images = Images(words[0], entry.images.initramfs)
        entry.cmdline = " ".join(words[1:])
    elif first in ("initrd", "module"):
        entry.images = Images(entry.images.kernel, words[0])
