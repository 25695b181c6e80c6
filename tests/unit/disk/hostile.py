"""Whole images of every registered format, ways to damage them, and the one thing asked of a reader then.

Whatever the bytes: `ImageError` or an answer, within a second of CPU and within `MEMORY`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import random
import resource
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import zstandard

from tests.oracle.qemu_formats import FORMATS
from tests.tools import need
from tests.unit.disk.handmade import GRAIN_BYTES, checksum, dynamic_vhd, fixed_vhd, sparse_vmdk, stream_vmdk
from tests.unit.disk.vma_writer import write
from vmie import disk
from vmie.disk.crc32c import crc32c
from vmie.errors import ImageError
from vmie.model import ExtentKind

SECTOR = 512
MEMORY = 200 << 20
SECONDS = 5.0
_MOST_EXTENTS = 4_000_000

NOISE = random.Random(11).randbytes(256 << 10)


class Patched:
    """A `Source` of `base` with `patches` laid over it, cut or filled with zeros to `size`."""

    def __init__(self, base: bytes, *, name: str, size: int | None = None) -> None:
        self.path: Path | None = None
        self.name = name
        self.size = len(base) if size is None else size
        self._base = base
        self._patches: list[tuple[int, bytes]] = []

    def patch(self, offset: int, data: bytes) -> None:
        self._patches.append((offset, data))

    def pread(self, offset: int, length: int) -> bytes:
        if offset >= self.size or length <= 0:
            return b""
        length = min(length, self.size - offset)
        data = bytearray(self._base[offset : offset + length].ljust(length, b"\0"))
        for at, patch in self._patches:
            low, high = max(at, offset), min(at + len(patch), offset + length)
            if low < high:
                data[low - offset : high - offset] = patch[low - at : high - at]
        return bytes(data)

    def close(self) -> None:
        """Nothing to close."""


Repair = Callable[[Patched], None]


@dataclass(frozen=True)
class Sample:
    """An image that opens; `repair` makes its checksums true again after patches."""

    name: str
    data: bytes = field(repr=False)
    module: str
    suffix: str = ""
    repair: Repair | None = None
    hot: tuple[int, ...] = field(default=(), repr=False)

    def patched(self, size: int | None = None) -> Patched:
        return Patched(self.data, name=f"disk{self.suffix}", size=size)


def exercise(source: Patched) -> bool:
    """Open, list and read; True when nothing was refused. Only ImageError may come out."""
    started = time.process_time()
    try:
        with disk.open_source(source) as opened:
            _read_through(opened)
        whole = True
    except ImageError:
        whole = False
    assert time.process_time() - started < SECONDS, "too slow"
    return whole


def _read_through(opened: disk.Disk) -> None:
    size = opened.size
    assert opened.allocated_size >= 0
    position = reads = 0
    for count, extent in enumerate(opened.extents()):
        assert extent.offset == position, "extents must follow each other"
        assert extent.length > 0
        assert count < _MOST_EXTENTS, "extents must end"
        position = extent.end
        if extent.kind is ExtentKind.ALLOCATED and reads < 40:
            reads += 1
            length = min(extent.length, 70_000)
            assert len(opened.read(extent.offset, length)) == length
    assert position == size, "extents must cover the disk"
    for offset in (0, size // 2, max(0, size - 700)):
        assert len(opened.read(offset, 700)) == max(0, min(700, size - offset))
    assert opened.read(size, 512) == b""


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Let the process take `MEMORY` more than it has: beyond, MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def samples(folder: Path) -> dict[str, Sample]:
    """A small image of every format and sub-format that is a single file, by name."""
    need("qemu-img")
    raw = folder / "content.raw"
    content = NOISE[:70_000].ljust(300 << 10, b"\0") + NOISE[100_000:130_000].ljust(1 << 19, b"\0") + NOISE[:SECTOR]
    raw.write_bytes(content)
    found = []
    for written in FORMATS:
        if "Flat" in written.name or "twoGb" in written.name or written.name in ("vhdx-fixed", "vhdx-dynamic-64M"):
            continue
        image = written.write(raw, folder)
        module = written.opened_as[0]
        suffix = written.suffix or f".{written.format}"
        found.append(Sample(written.name, image.read_bytes(), module, suffix, _REPAIRS.get(module)))
    found += _by_hand(content)
    return {sample.name: _with_hot(sample, content) for sample in found}


def _by_hand(content: bytes) -> list[Sample]:
    grain = NOISE[:GRAIN_BYTES]
    stream = stream_vmdk({0: grain, 3: bytes(GRAIN_BYTES)}, capacity=4 * 128 + 5)
    return [
        Sample("hand-stream", stream, "vmdk", ".vmdk"),
        Sample("hand-zeroed", sparse_vmdk({0: grain, 1: None, 2: grain}, capacity=600), "vmdk", ".vmdk"),
        Sample("hand-dynamic", dynamic_vhd({0: grain, 2: b"x"}, size=200_000), "vhd", ".vhd", _sign_vhd),
        Sample("hand-fixed", fixed_vhd(content), "vhd", ".vhd", _sign_vhd),
        Sample("ova", _ova(stream), "ova", ".ova"),
        Sample("gzip", gzip.compress(content), "wrapper", ".gz"),
        Sample("xz", lzma.compress(content), "wrapper", ".xz"),
        Sample("zstd", zstandard.ZstdCompressor().compress(content), "wrapper", ".zst"),
        Sample("zip", _zip(stream), "zip", ".zip"),
        Sample("vma", write({"drive-scsi0": content}, "boot: order=scsi0\n"), "vma", ".vma", _sign_vma),
        Sample("ovf", _OVF.encode(), "ovf", ".ovf"),
    ]


_OVF = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
  <References><File ovf:id="f1" ovf:href="disk.vmdk"/></References>
  <DiskSection><Info>d</Info><Disk ovf:diskId="d1" ovf:fileRef="f1" ovf:capacity="264704"
    ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
  <VirtualSystem ovf:id="vm"><Info>v</Info>
    <VirtualHardwareSection><Info>h</Info></VirtualHardwareSection></VirtualSystem>
</Envelope>
"""


def _zip(stream: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vm.ovf", _OVF)
        archive.writestr("disk.vmdk", stream)
    return held.getvalue()


def _ova(stream: bytes) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in (("vm.ovf", _OVF.encode()), ("disk.vmdk", stream)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return held.getvalue()


def _with_hot(sample: Sample, content: bytes) -> Sample:
    """Find the bytes that are structure: in sectors that are neither zero nor the content's."""
    plain = {content[at : at + SECTOR] for at in range(0, len(content), SECTOR)} | {bytes(SECTOR)}
    sectors = (at for at in range(0, len(sample.data), SECTOR) if sample.data[at : at + SECTOR] not in plain)
    hot: list[int] = []
    for start in sectors:
        piece = sample.data[start : start + SECTOR]
        hot += [start + at for at, byte in enumerate(piece) if byte][:512]
        if len(hot) > 20_000:
            break
    return replace(sample, hot=tuple(hot or range(4096)))


def _sign_vhd(source: Patched) -> None:
    end = source.size - SECTOR
    for at in (0, end):
        footer = source.pread(at, SECTOR)
        if footer.startswith(b"conectix"):
            source.patch(at + 64, checksum(footer, 64))
            (header_at,) = struct.unpack_from(">Q", footer, 16)
            header = source.pread(header_at, 1024)
            if header.startswith(b"cxsparse"):
                source.patch(header_at + 36, checksum(header, 36))


def _sign_vhdx(source: Patched) -> None:
    for at, length in ((64 << 10, 4096), (128 << 10, 4096), (192 << 10, 64 << 10), (256 << 10, 64 << 10)):
        data = source.pread(at, length)
        if len(data) == length:
            source.patch(at + 4, struct.pack("<I", crc32c(data[:4] + bytes(4) + data[8:])))


def _sign_vma(source: Patched) -> None:
    (length,) = struct.unpack(">I", source.pread(56, 4))
    header = source.pread(0, min(length, 1 << 20))
    source.patch(32, hashlib.md5(header[:32] + bytes(16) + header[48:]).digest())
    at = source.pread(0, source.size).find(b"VMAE")
    if at >= 0:
        extent = source.pread(at, 512)
        source.patch(at + 24, hashlib.md5(extent[:24] + bytes(16) + extent[40:]).digest())


_REPAIRS: dict[str, Repair] = {"vhd": _sign_vhd, "vhdx": _sign_vhdx}
