"""The serial console of EC2: all that the kernel and the boot say, where `get-console-output` reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmie.repair import kernel_options
from vmie.repair.files import GuestFiles, encoded
from vmie.repair.kernel_options import OptionScope
from vmie.repair.model import Edit, Left, Mend

#: what keeps the kernel or the boot from saying anything, or shows a picture instead
_SILENT = re.compile(r"quiet|rhgb|splash(?:=.*)?|vt\.handoff=.*|loglevel=[0-3]|systemd\.show_status=(?:0|false|no|off)")
_OURS = re.compile(r"console=(?:ttyS0(?:,.*)?|tty[01])")
#: the last one is /dev/console
_CONSOLES = ["console=tty0", "console=ttyS0,115200"]
_WHY = "the boot is shown on the serial console, which is all that EC2 shows"
#: seconds that GRUB shows its menu to nobody, at most
_PATIENCE = 5
_TIMEOUTS = (
    ("/boot/grub2/grub.cfg", r"^(?P<head>[ \t]*set[ \t]+timeout=)(?P<value>-?\d+)(?P<tail>[ \t]*)$"),
    ("/boot/grub/grub.cfg", r"^(?P<head>[ \t]*set[ \t]+timeout=)(?P<value>-?\d+)(?P<tail>[ \t]*)$"),
    ("/etc/default/grub", r"^(?P<head>GRUB_TIMEOUT=[\"']?)(?P<value>-?\d+)(?P<tail>[\"']?[ \t]*)$"),
    ("/boot/grub/menu.lst", r"^(?P<head>timeout[ \t=]+)(?P<value>-?\d+)(?P<tail>[ \t]*)$"),
    ("/boot/grub/grub.conf", r"^(?P<head>timeout[ \t=]+)(?P<value>-?\d+)(?P<tail>[ \t]*)$"),
    ("/boot/efi/loader/loader.conf", r"^(?P<head>timeout[ \t]+)(?P<value>\d+|menu-force)(?P<tail>[ \t]*)$"),
    ("/boot/loader/loader.conf", r"^(?P<head>timeout[ \t]+)(?P<value>\d+|menu-force)(?P<tail>[ \t]*)$"),
)


def _apply(files: GuestFiles) -> Iterator[Edit | Left]:
    yield from kernel_options.changed(files, _loud, _WHY)
    yield from _impatient(files)


def _loud(words: list[str], scope: OptionScope) -> list[str]:
    """`words` without what silences, and with the serial console last; a part of a line is only made louder."""
    kept = [word for word in words if not _SILENT.fullmatch(word)]
    consoles = [word for word in kept if word.startswith("console=")]
    if scope is OptionScope.PART and not consoles:
        return kept
    if consoles and consoles[-1].startswith("console=ttyS0"):
        return kept
    return [word for word in kept if not _OURS.fullmatch(word)] + _CONSOLES


def _impatient(files: GuestFiles) -> Iterator[Edit]:
    """A menu that waits for a key, or for long, waits a few seconds."""
    for path, pattern in _TIMEOUTS:
        text = files.text(path)
        found = None if text is None else re.sub(pattern, _shorter, text, flags=re.MULTILINE)
        if found is not None and found != text:
            yield Edit(path, encoded(found), "nobody is at the keyboard of the boot loader's menu")


def _shorter(match: re.Match[str]) -> str:
    value = match["value"]
    short = value.lstrip("-").isdecimal() and 0 <= int(value) <= _PATIENCE
    return match[0] if short else f"{match['head']}{_PATIENCE}{match['tail']}"


_BY_HAND = "grubby --update-kernel=ALL --remove-args='quiet rhgb' --args='console=tty0 console=ttyS0,115200'"
#: to be asked for alone too: a boot that is watched needs nothing else
SERIAL_CONSOLE = Mend("serial-console", (), _apply, _BY_HAND)
