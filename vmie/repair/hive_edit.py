"""Values of a registry hive, changed where they lie: no cell is taken or given back, no key or list is touched.

Format: https://github.com/msuhanov/regf/blob/master/Windows%20registry%20file%20format%20specification.md.
Cells carry no checksum; the base block has one, and stays as it is. A hive with changes in its logs is left alone:
Windows would write them over ours.
"""

from __future__ import annotations

import io
import struct

from vmie.guest.registry import Hive, HiveError

_BINS = 4096
_INLINE = 0x80000000
_NUMBER, _TEXTS = 4, (1, 2)
_MAX_CELL = 16344
_LOG_ENTRIES = 512
_MAX_LOG_ENTRIES = 100_000


class HiveEdit:
    """A clean hive and what is changed in it. Raises HiveError: damaged, or with changes that are not in it yet."""

    def __init__(self, data: bytes, *, name: str, logs: tuple[bytes, ...] = ()) -> None:
        self.hive = Hive(io.BytesIO(data), name=name, size=len(data))
        if self.hive.dirty or any(_newer(log, data) for log in logs):
            raise HiveError(f"the {name} hive has changes in its logs: start Windows and shut it down once more")
        self._data = bytearray(data)

    def bytes(self) -> bytes:
        """The hive by now."""
        return bytes(self._data)

    def set_number(self, path: str, name: str, number: int) -> bool:
        """Give the REG_DWORD `name` of the key `path` another number; False where it is missing or no REG_DWORD."""
        record = self._record(path, name)
        if record is None or record[1:] != (4 | _INLINE, _NUMBER):
            return False
        struct.pack_into("<I", self._data, record[0] + 8, number)
        return True

    def set_text(self, path: str, name: str, text: str) -> bool:
        """Give the REG_SZ `name` another text; False where it is missing, no REG_SZ, or `text` does not fit."""
        record = self._record(path, name)
        new = (text + "\0").encode("utf-16-le")
        if record is None or record[2] not in _TEXTS:
            return False
        size = record[1] & ~_INLINE
        # what is short lies in its record, and has to
        place = self._data_at(record)
        if place is None or len(new) > size or (size > 4 >= len(new)):
            return False
        self._data[place : place + size] = new.ljust(size, b"\0")
        struct.pack_into("<I", self._data, record[0] + 4, len(new) | record[1] & _INLINE)
        return True

    def set_byte(self, path: str, name: str, byte: int) -> bool:
        """Give the REG_BINARY `name` of one byte another; False where it is missing or longer."""
        record = self._record(path, name)
        if record is None or record[1] != 1 | _INLINE:
            return False
        self._data[record[0] + 8] = byte
        return True

    def empty(self, path: str, name: str) -> bool:
        """Make the text or list `name` empty; False where it is missing. Its size stays: zeros are no text."""
        record = self._record(path, name)
        place = None if record is None else self._data_at(record)
        if record is None or place is None:
            return False
        size = record[1] & ~_INLINE
        self._data[place : place + size] = bytes(size)
        return True

    def _record(self, path: str, name: str) -> tuple[int, int, int] | None:
        """(offset, size as written, type) of the value's record."""
        at = self.hive.record(path, name)
        if at is None:
            return None
        if not _BINS <= at <= len(self._data) - 20 or self._data[at : at + 2] != b"vk":
            raise HiveError(f"{self.hive.name}\\{path}\\{name} is damaged")
        size, _, kind = struct.unpack_from("<III", self._data, at + 4)
        return at, size, kind

    def _data_at(self, record: tuple[int, int, int]) -> int | None:
        """Where the data of the value lies, None where that is not in one cell."""
        at, size, _ = record
        if size & _INLINE:
            return at + 8 if size & ~_INLINE <= 4 else None
        (offset,) = struct.unpack_from("<I", self._data, at + 8)
        cell = _BINS + offset
        if cell + 4 > len(self._data):
            return None
        (length,) = struct.unpack_from("<i", self._data, cell)
        # a cell in use has a negative size; long values are in several (signature "db")
        whole = length < 0 and -length - 4 >= size and cell - length <= len(self._data)
        return cell + 4 if whole and size <= _MAX_CELL else None


def _newer(log: bytes, hive: bytes) -> bool:
    """Whether `log` has an entry that is not in `hive`: entries are numbered as the base block is after them."""
    written = struct.unpack_from("<I", hive, 4)[0]
    at = _LOG_ENTRIES
    for _ in range(_MAX_LOG_ENTRIES):
        if log[at : at + 4] != b"HvLE" or at + 16 > len(log):
            return False
        size, _flags, number = struct.unpack_from("<III", log, at + 4)
        # numbers go round after 2**32: newer is what lies ahead by less than half of that
        if 0 < (number - written) & 0xFFFFFFFF < 1 << 31:
            return True
        if size < 512:
            return False
        at += size
    return False
