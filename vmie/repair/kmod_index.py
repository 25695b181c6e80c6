"""kmod's lists of modules: text, and the binary indexes (modules.dep.bin, …) that modprobe and udev read.

A file is a trie over ASCII, written from its leaves to its root; numbers are big-endian
(https://git.kernel.org/pub/scm/utils/kernel/kmod/kmod.git/tree/libkmod/libkmod-index.c).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping

#: what kmod sorts several answers to one question by, and the answer
Values = list[tuple[int, str]]
Index = dict[str, Values]

_MAGIC = struct.pack(">III", 0xB007F457, 0x00020001, 0)
_PREFIX, _VALUES, _CHILDREN = 0x80000000, 0x40000000, 0x20000000
_OFFSET = 0x0FFFFFFF
_MAX_NODES = 500_000
_MAX_TEXT = 4096
_MAX_VALUES = 4096
#: longer keys are nobody's, and each letter may be a node within another
_MAX_KEY = 700
_BRACKETS = re.compile(r"(\[[^\]]*\])")


class IndexFormatError(ValueError):
    """The file is no index of kmod, or a damaged one."""


def module_name(path: str) -> str:
    """kmod's name of the module at `path`: "kernel/drivers/nvme/host/nvme-core.ko.xz" is nvme_core."""
    return re.split(r"\.ko\b", path.rpartition("/")[2], maxsplit=1)[0].replace("-", "_")


def read(data: bytes) -> Index:
    """Keys and values of an index. Raises IndexFormatError."""
    if data[:8] != _MAGIC[:8] or len(data) < 12:
        raise IndexFormatError("it does not begin as an index of kmod does")
    found: Index = {}
    todo = [(struct.unpack_from(">I", data, 8)[0], "")]
    for _ in range(_MAX_NODES):
        if not todo:
            return found
        where, key = todo.pop()
        try:
            key, values, children = _node(data, where, key)
        except (struct.error, ValueError) as error:
            raise IndexFormatError("its tree is damaged") from error
        if values:
            found[key] = values
        todo += children
    raise IndexFormatError(f"it has more than {_MAX_NODES} nodes")


def _node(data: bytes, where: int, key: str) -> tuple[str, Values, list[tuple[int, str]]]:
    at = where & _OFFSET
    if at < 12 or len(key) > _MAX_TEXT:
        raise ValueError("no node")
    children: list[tuple[int, str]] = []
    values: Values = []
    if where & _PREFIX:
        prefix, at = _text(data, at)
        key += prefix
    if where & _CHILDREN:
        first, last = struct.unpack_from(">BB", data, at)
        at += 2
        for letter in range(first, last + 1):
            (child,) = struct.unpack_from(">I", data, at)
            at += 4
            if child:
                children.append((child, key + chr(letter)))
    if where & _VALUES:
        (count,) = struct.unpack_from(">I", data, at)
        at += 4
        if count > _MAX_VALUES:
            raise ValueError("too many values")
        for _ in range(count):
            (priority,) = struct.unpack_from(">I", data, at)
            text, at = _text(data, at + 4)
            values.append((priority, text))
    return key, values, children


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode("ascii"), end + 1


def write(index: Mapping[str, Values]) -> bytes:
    """The index as a file; what is not ASCII has no place in it."""
    keys = sorted(key for key in index if key.isascii() and "\0" not in key and len(key) <= _MAX_KEY)
    out = bytearray(_MAGIC)
    root = _Writer(out, index, keys).node(0, len(keys), 0)
    struct.pack_into(">I", out, 8, root)
    return bytes(out)


class _Writer:
    """Writes the nodes for a range of sorted keys that share their first letters; nesting ends with the longest key."""

    def __init__(self, out: bytearray, index: Mapping[str, Values], keys: list[str]) -> None:
        self._out = out
        self._index = index
        self._keys = keys

    def node(self, first: int, end: int, depth: int) -> int:
        keys = self._keys
        shared = depth
        if first < end:
            shared = depth + _common(keys[first][depth:], keys[end - 1][depth:])
        own = first < end and len(keys[first]) == shared
        children: dict[int, int] = {}
        at = first + (1 if own else 0)
        while at < end:
            letter = keys[at][shared]
            stop = at + 1
            while stop < end and keys[stop][shared] == letter:
                stop += 1
            children[ord(letter)] = self.node(at, stop, shared + 1)
            at = stop
        where = len(self._out)
        if shared > depth:
            where |= _PREFIX
            self._out += keys[first][depth:shared].encode() + b"\0"
        if children:
            where |= _CHILDREN
            low, high = min(children), max(children)
            slots = [children.get(letter, 0) for letter in range(low, high + 1)]
            self._out += struct.pack(f">BB{len(slots)}I", low, high, *slots)
        if own:
            where |= _VALUES
            values = sorted(self._index[keys[first]])
            self._out += struct.pack(">I", len(values))
            for priority, text in values:
                self._out += struct.pack(">I", priority) + text.encode("ascii", "replace") + b"\0"
        return where


def _common(one: str, other: str) -> int:
    length = min(len(one), len(other))
    return next((at for at in range(length) if one[at] != other[at]), length)


def dependencies(text: str) -> Index:
    """modules.dep as its index: a module's name, and its line."""
    found: Index = {}
    for number, line in enumerate(text.splitlines()):
        if (path := line.partition(":")[0]) and line.isascii() and ":" in line:
            found[module_name(path)] = [(number, line)]
    return found


def aliases(text: str) -> Index:
    """modules.alias as its index: a pattern, and the modules that answer to it."""
    found: Index = {}
    for number, line in enumerate(text.splitlines()):
        words = line.split()
        if len(words) == 3 and words[0] == "alias" and line.isascii():
            found.setdefault(_normal(words[1]), []).append((number, words[2].replace("-", "_")))
    return found


def _normal(alias: str) -> str:
    """As depmod files a pattern: underscores for dashes, but not within brackets."""
    return "".join(part if part.startswith("[") else part.replace("-", "_") for part in _BRACKETS.split(alias))


def as_dependencies(index: Mapping[str, Values]) -> str:
    """The text of modules.dep."""
    return "".join(f"{line}\n" for values in index.values() for _, line in sorted(values))


def as_aliases(index: Mapping[str, Values]) -> str:
    """The text of modules.alias."""
    lines = [(priority, f"alias {key} {name}\n") for key, values in index.items() for priority, name in values]
    return "# Aliases extracted from modules themselves.\n" + "".join(line for _, line in sorted(lines))


def merged(*indexes: Mapping[str, Values], only: Iterable[str] | None = None) -> Index:
    """All entries; for a key in several the last wins; `only` the keys among `only`, where given."""
    found: Index = {}
    for index in indexes:
        found |= index
    return found if only is None else {key: found[key] for key in only if key in found}
