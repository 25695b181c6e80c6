"""``KEY=value`` files, as shells and systemd read them (os-release, ifcfg-*, sysconfig, grubenv), and INI files."""

from __future__ import annotations

import re

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*)")


def variables(text: str | None) -> dict[str, str]:
    """The assignments in `text`; nothing is expanded, the last one of a name counts."""
    found: dict[str, str] = {}
    for line in (text or "").splitlines():
        match = _LINE.match(line)
        if match:
            found[match[1]] = _unquote(match[2].strip())
    return found


def _unquote(value: str) -> str:
    if value[:1] in ("'", '"'):
        quote = value[0]
        end = value.find(quote, 1)
        while end > 0 and quote == '"' and value[end - 1] == "\\":
            end = value.find(quote, end + 1)
        inner = value[1:end] if end > 0 else value[1:]
        return re.sub(r"\\([\"$`\\])", r"\1", inner) if quote == '"' else inner
    return value.split(" #", 1)[0].strip()


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
