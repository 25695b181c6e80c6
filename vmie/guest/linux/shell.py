"""``KEY=value`` files, as shells and systemd read them (os-release, ifcfg-*, sysconfig, grubenv), and INI files."""

from __future__ import annotations

import re

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*)")
#: a value's pieces: in single quotes, in double quotes, one character behind a backslash, plain
_PIECE = re.compile(r"""'([^']*)'?|"((?:[^"\\]|\\.)*)"?|\\(.)|([^'"\\]+)""", re.DOTALL)
_VARIABLE = re.compile(r"^([^#=\s][^=\n]*)=((?:[^\\\n]|\\(?:.|\Z))*)", re.MULTILINE | re.DOTALL)


def variables(text: str | None) -> dict[str, str]:
    """The assignments in `text`; nothing is expanded, the last one of a name counts."""
    found: dict[str, str] = {}
    for line in (text or "").splitlines():
        match = _LINE.match(line)
        if match:
            found[match[1]] = _unquote(match[2].strip())
    return found


def _unquote(value: str) -> str:
    """A value of pieces: 'a b'"c"d. Unquoted spaces belong to it, as systemd has it; behind quotes they end it."""
    found, quoted = "", False
    pieces: list[tuple[str, str, str, str]] = _PIECE.findall(value)
    for single, double, escaped, plain in pieces:
        if quoted and plain[:1].isspace():
            break
        kept, comment, _ = plain.partition(" #")
        if comment:
            return found + kept.rstrip()
        found += kept + single + re.sub(r"\\([\"$`\\])", r"\1", double) + escaped
        quoted = not plain
    return found


def block(text: str) -> dict[str, str]:
    """GRUB's environment block: nothing is quoted, a backslash keeps the character behind it (lib/envblk.c)."""
    found = _VARIABLE.findall(text[: 64 << 10])
    return {name: re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL) for name, value in found}


def sections(text: str | None) -> dict[str, dict[str, list[str]]]:
    """An INI file in which a key may come several times (networkd's Address=); names in lower case."""
    found: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for raw in (text or "").splitlines():
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            current = found.setdefault(line[1:-1].lower(), {})
        elif "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            current.setdefault(key.strip().lower(), []).append(value.strip())
    return found


def truth(value: str | None) -> bool | None:
    """yes/no as configuration files write it; None when it is neither."""
    lowered = (value or "").strip().lower()
    if lowered in ("yes", "true", "on", "1"):
        return True
    return False if lowered in ("no", "false", "off", "0") else None
