"""The kernel's options wherever a boot loader keeps them, and the same change made to all of them.

GRUB 2 (grub.cfg, grubenv, /etc/default/grub), Boot Loader Specification entries, /etc/kernel/cmdline, GRUB legacy
(with Debian's ``# kopt=``) and EXTLINUX. What is built into a binary (LILO's map, a unified kernel image) is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum

from vmie.repair.files import GuestFiles, encoded
from vmie.repair.model import Edit

_GRUB2 = ("/boot/grub2/grub.cfg", "/boot/grub/grub.cfg")
_LEGACY = ("/boot/grub/menu.lst", "/boot/grub/grub.conf", "/boot/grub2/menu.lst", "/boot/grub2/grub.conf")
_EXTLINUX = ("/boot/extlinux/extlinux.conf", "/boot/extlinux.conf", "/boot/syslinux/syslinux.cfg")
_GRUBENV = ("/boot/grub2/grubenv", "/boot/grub/grubenv")
_ENTRIES = ("/boot/loader/entries", "/boot/efi/loader/entries", "/efi/loader/entries")
_MOST_FILES = 200
#: words, quoted parts and all
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
_GRUB_LINE = re.compile(
    r"^(?P<head>[ \t]*(?:linux|linux16|linuxefi)[ \t]+\S+[ \t]+|[ \t]*(?:module2?|multiboot2?)[ \t]+\S*vmlinu\S*[ \t]+)"
    r"(?P<words>\S.*)$",
    re.MULTILINE,
)
_KERNELOPTS = re.compile(r'^(?P<head>[ \t]*set[ \t]+kernelopts=")(?P<words>[^"\n]*)(?P<tail>".*)$', re.MULTILINE)
_DEFAULTS = re.compile(
    r"""^(?P<head>[ \t]*GRUB_CMDLINE_LINUX=(?P<mark>["']))(?P<words>.*?)(?P<tail>(?P=mark).*)$""", re.MULTILINE
)
_MORE_DEFAULTS = re.compile(
    r"""^(?P<head>[ \t]*GRUB_CMDLINE_LINUX_DEFAULT=(?P<mark>["']))(?P<words>.*?)(?P<tail>(?P=mark).*)$""", re.MULTILINE
)
_OPTIONS = re.compile(r"^(?P<head>options[ \t]+)(?P<words>.*)$", re.MULTILINE)
_LEGACY_LINE = re.compile(
    r"^(?P<head>[ \t]*(?:kernel[ \t]+(?:--\S+[ \t]+)*(?!\S*xen)\S+|module[ \t]+\S*vmlinu\S*|"
    r"#[ \t]*kopt(?:_[\w.]+)?=(?=root=))[ \t]*)(?P<words>.*)$",
    re.MULTILINE,
)
_LEGACY_PART = re.compile(r"^(?P<head>#[ \t]*defoptions=)(?P<words>.*)$", re.MULTILINE)
_APPEND = re.compile(r"^(?P<head>[ \t]*append[ \t]+)(?P<words>.*)$", re.MULTILINE | re.IGNORECASE)
_LINE = re.compile(r"^(?P<head>)(?P<words>[^#\s].*)$", re.MULTILINE)
_SIZE_OF_GRUBENV = 1024


class OptionScope(Enum):
    """`WHOLE` is all that a kernel gets; `PART` is joined with others: what is missing may stand there."""

    WHOLE = "whole"
    PART = "part"


Change = Callable[[list[str], OptionScope], list[str]]


def changed(files: GuestFiles, change: Change, why: str) -> Iterator[Edit]:
    """An edit for every file in which `change`, asked for the words of every command line, wants others."""
    for path, patterns in _sources(files):
        text = files.text(path)
        if text is None:
            continue
        found = _rewritten(text, patterns, change)
        if found != text:
            comment = "" if path in _LEGACY else "#"
            yield Edit(path, encoded(found), why, comment=comment)
    for path in _grubenvs(files):
        text = files.text(path)
        if text is not None and len(text) == _SIZE_OF_GRUBENV:
            found = _in_block(text, change)
            if found != text:
                yield Edit(path, encoded(found), why, fill=b"", comment="")


def _sources(files: GuestFiles) -> Iterator[tuple[str, tuple[tuple[re.Pattern[str], OptionScope], ...]]]:
    """The files that hold command lines, each real one once, and how they are found in it."""
    whole, part = OptionScope.WHOLE, OptionScope.PART
    stubs = [f"/boot/efi/EFI/{name}/grub.cfg" for name in files.tree.listdir("/boot/efi/EFI")[:_MOST_FILES]]
    more = [f"/etc/default/grub.d/{name}" for name in files.tree.listdir("/etc/default/grub.d")[:_MOST_FILES]]
    listed = [
        *((path, ((_GRUB_LINE, whole), (_KERNELOPTS, whole))) for path in (*_GRUB2, *stubs)),
        *((path, ((_DEFAULTS, whole), (_MORE_DEFAULTS, part))) for path in ("/etc/default/grub", *more)),
        ("/etc/kernel/cmdline", ((_LINE, whole),)),
        *((path, ((_LEGACY_LINE, whole), (_LEGACY_PART, part))) for path in _LEGACY),
        *((path, ((_APPEND, whole),)) for path in _EXTLINUX),
    ]
    for folder in _ENTRIES:
        names = [name for name in files.tree.listdir(folder) if name.endswith(".conf")]
        listed += [(f"{folder}/{name}", ((_OPTIONS, whole),)) for name in names[:_MOST_FILES]]
    seen = set()
    for path, patterns in listed:
        real = files.real(path)
        if real and real not in seen:
            seen.add(real)
            yield path, patterns


def _grubenvs(files: GuestFiles) -> list[str]:
    folders = files.tree.listdir("/boot/efi/EFI")[:_MOST_FILES]
    found = {files.real(path): path for path in (*_GRUBENV, *(f"/boot/efi/EFI/{name}/grubenv" for name in folders))}
    return [path for real, path in found.items() if real]


def _rewritten(text: str, patterns: tuple[tuple[re.Pattern[str], OptionScope], ...], change: Change) -> str:
    for pattern, scope in patterns:
        text = pattern.sub(lambda match, scope=scope: _line(match, scope, change), text)  # type: ignore[misc]
    return text


def _line(match: re.Match[str], scope: OptionScope, change: Change) -> str:
    named = match.groupdict()
    words = _WORD.findall(match["words"])
    # RHEL 8 keeps the options of all its entries in one variable
    scope = OptionScope.PART if "$kernelopts" in words or "${kernelopts}" in words else scope
    wanted = change(list(words), scope)
    if wanted == words:
        return match[0]
    return f"{match['head']}{' '.join(wanted)}{named.get('tail') or ''}"


def _in_block(text: str, change: Change) -> str:
    """GRUB's environment block with other options; of 1024 bytes, filled up with #. Unchanged where they do not fit."""

    def line(match: re.Match[str]) -> str:
        words = _WORD.findall(match["words"].replace("\\", ""))
        wanted = change(list(words), OptionScope.WHOLE)
        return match[0] if wanted == words else match["head"] + " ".join(wanted)

    body = text.rstrip("#")
    found = re.sub(r"^(?P<head>kernelopts=)(?P<words>[^\n]*)$", line, body, flags=re.MULTILINE)
    if found == body or len(found.encode("utf-8", "surrogateescape")) > _SIZE_OF_GRUBENV:
        return text
    return found + "#" * (_SIZE_OF_GRUBENV - len(found.encode("utf-8", "surrogateescape")))
