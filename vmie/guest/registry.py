"""Registry hives, bounded: every question has an answer or a `HiveError` that says why not.

Format: https://github.com/msuhanov/regf/blob/master/Windows%20registry%20file%20format%20specification.md
libregf does the parsing; this file asks it, keeps the sizes small and turns whatever it raises into one error.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

import pyregf

MAX_HIVE = 512 << 20
_MAX_DATA = 256 << 10
_MAX_SUBKEYS = 4096

#: what libyal raises over damaged structures
_DAMAGE = (OSError, MemoryError, ValueError, OverflowError, RuntimeError, SystemError)

_STRINGS = (1, 2)  # REG_SZ, REG_EXPAND_SZ
_MULTI = 7  # REG_MULTI_SZ
#: REG_DWORD, REG_DWORD_BIG_ENDIAN, REG_QWORD: bytes and their order
_NUMBERS: dict[int, tuple[int, Literal["little", "big"]]] = {4: (4, "little"), 5: (4, "big"), 11: (8, "little")}

#: one value: text, number, list of texts or raw bytes
Value = str | int | list[str] | bytes


class HiveError(Exception):
    """A hive, or a part of it, that cannot be read; the text says why."""


class Hive:
    """One open hive. Raises HiveError when `file` is no hive or longer than `MAX_HIVE` bytes."""

    def __init__(self, file: BinaryIO, *, name: str, size: int) -> None:
        self.name = name
        if size > MAX_HIVE:
            raise HiveError(f"the {name} hive is {size} bytes long, more than {MAX_HIVE} are not read")
        header = _header(file, name)
        #: True when changes sit in transaction logs only: what is read may be out of date
        self.dirty = header[0] != header[1]
        self._stream = file
        self._file = pyregf.file()
        try:
            self._file.open_file_object(file)
            self._root = self._file.get_root_key()
        except _DAMAGE as error:
            raise HiveError(f"the {name} hive is damaged: {_short(error)}") from error
        if self._root is None:
            raise HiveError(f"the {name} hive has no root key")

    def close(self) -> None:
        """Let the file go; it is not closed."""
        with suppress(OSError):  # nothing was written, nothing is lost
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def has_key(self, path: str) -> bool:
        """Whether the key is there. Raises HiveError when that cannot be determined."""
        return self._key(path) is not None

    def subkeys(self, path: str) -> list[str]:
        """Names of the keys right below `path`, at most 4096; [] when there is no such key."""
        key = self._key(path)
        if key is None:
            return []
        try:
            count = min(int(key.get_number_of_sub_keys()), _MAX_SUBKEYS)
            return [str(key.get_sub_key(index).get_name() or "") for index in range(count)]
        except (*_DAMAGE, AttributeError) as error:
            raise HiveError(f"{self.name}\\{path} is damaged: {_short(error)}") from error

    def value(self, path: str, name: str) -> Value | None:
        """The value `name` of the key `path`; None when either is missing."""
        key = self._key(path)
        if key is None:
            return None
        try:
            value = key.get_value_by_name(name)
            return None if value is None else _decode(value, self._short_data(value))
        except (*_DAMAGE, struct.error) as error:
            raise HiveError(f"{self.name}\\{path}\\{name} is damaged: {_short(error)}") from error

    def record(self, path: str, name: str) -> int | None:
        """The offset of the record of the value `name` in the file: its signature "vk"; None when it is missing."""
        key = self._key(path)
        try:
            value = None if key is None else key.get_value_by_name(name)
            return None if value is None else int(value.get_offset())
        except _DAMAGE as error:
            raise HiveError(f"{self.name}\\{path}\\{name} is damaged: {_short(error)}") from error

    def values(self, path: str) -> list[str]:
        """Names of the values of the key `path`, at most 4096; [] when there is no such key."""
        key = self._key(path)
        try:
            count = 0 if key is None else min(int(key.get_number_of_values()), _MAX_SUBKEYS)
            return [str(key.get_value(index).get_name() or "") for index in range(count)]
        except (*_DAMAGE, AttributeError) as error:
            raise HiveError(f"{self.name}\\{path} is damaged: {_short(error)}") from error

    def _short_data(self, value: Any) -> bytes | None:
        """The data of a value of 1 to 3 bytes, which lies in its record: libregf reads its wrong end."""
        size = int(value.get_data_size() or 0)
        if not 0 < size < 4:
            return None
        self._stream.seek(int(value.get_offset()))
        record = self._stream.read(12)
        inline = record[:2] == b"vk" and len(record) == 12 and record[7] & 0x80
        return record[8 : 8 + size] if inline else None

    def text(self, path: str, name: str) -> str:
        """The value when it is a text, else ""."""
        found = self.value(path, name)
        return found if isinstance(found, str) else ""

    def number(self, path: str, name: str) -> int | None:
        """The value when it is a number, else None."""
        found = self.value(path, name)
        return found if isinstance(found, int) else None

    def texts(self, path: str, name: str) -> list[str]:
        """The value as a list of texts: a REG_MULTI_SZ, or a REG_SZ alone."""
        found = self.value(path, name)
        if isinstance(found, str):
            return [found] if found else []
        return [item for item in found if item] if isinstance(found, list) else []

    def _key(self, path: str) -> Any:
        key = self._root
        try:
            for part in path.split("\\") if path else ():
                key = key.get_sub_key_by_name(part)
                if key is None:
                    return None
        except _DAMAGE as error:
            raise HiveError(f"{self.name}\\{path} is damaged: {_short(error)}") from error
        return key


def _header(file: BinaryIO, name: str) -> tuple[int, int]:
    """The two sequence numbers of the base block: unequal after an unclean shutdown."""
    try:
        file.seek(0)
        block = file.read(512)
        file.seek(0)
    except OSError as error:
        raise HiveError(f"the {name} hive cannot be read: {_short(error)}") from error
    if len(block) < 512 or block[:4] != b"regf":
        raise HiveError(f"the {name} hive does not begin with the signature regf")
    first, second = struct.unpack_from("<II", block, 4)
    return first, second


def _decode(value: Any, short: bytes | None) -> Value | None:
    if int(value.get_data_size() or 0) > _MAX_DATA:
        return None
    kind = int(value.get_type())
    data: bytes = short if short is not None else value.get_data() or b""
    if kind in _STRINGS:
        return _utf16(data).split("\0", 1)[0]
    if kind == _MULTI:
        return [part for part in _utf16(data).split("\0") if part]
    width, order = _NUMBERS.get(kind, (0, "little"))
    return int.from_bytes(data[:width], order) if width and len(data) >= width else data


def _utf16(data: bytes) -> str:
    return data[: len(data) & ~1].decode("utf-16-le", "replace")


def _short(error: BaseException) -> str:
    """libyal repeats its whole call stack: the first clause says enough."""
    return str(error).split(". ", 1)[0].split("\n", 1)[0][:160] or type(error).__name__
