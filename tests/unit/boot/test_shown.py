"""The screen's text and picture, the address of DHCP, and what is installed."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import pytest

from vmie.boot import installed
from vmie.boot.dhcp import DhcpWatch, given
from vmie.boot.screen import TEXT_BYTES, png_of, text_of
from vmie.errors import UsageError


def memory(*rows: str) -> bytes:
    text = "".join(row.ljust(80) for row in rows).ljust(2000)
    return b"".join(bytes((char, 7)) for char in text.encode("cp437"))


def test_the_text_of_a_screen_is_its_lines_and_wrapped_ones_are_one() -> None:
    long = "ALERT!  UUID=68d82fa1-1bb5-435f-a5e3-862176586eec does not exist.  Dropping to a shell!"
    assert text_of(memory("SeaBIOS", "", long[:80], long[80:], "(initramfs)")) == ["SeaBIOS", long, "(initramfs)"]


@pytest.mark.parametrize("shown", [b"", bytes(TEXT_BYTES), random.Random(2).randbytes(TEXT_BYTES), b"\x01\x07" * 2000])
def test_a_picture_is_no_text(shown: bytes) -> None:
    assert text_of(shown) is None


def test_a_picture_becomes_png() -> None:
    pixels = random.Random(3).randbytes(3 * 5 * 4)
    png = png_of(b"P6\n5 4\n255\n" + pixels)
    assert png is not None
    assert struct.unpack(">II", png[16:24]) == (5, 4)
    rows = zlib.decompress(png[png.index(b"IDAT") + 4 : png.index(b"IEND") - 8])
    assert b"".join(rows[at + 1 : at + 16] for at in range(0, 64, 16)) == pixels


@pytest.mark.parametrize(
    "ppm", [b"", b"P5\n5 4\n255\n", b"P6\n5 4\n255\nxx", b"P6\n99999 99999\n255\n", b"P6\n0 4\n255\n"]
)
def test_what_is_no_picture_becomes_none(ppm: bytes) -> None:
    assert png_of(ppm) is None


def frame(kind: int, *, ports: tuple[int, int] = (67, 68), op: int = 2) -> bytes:
    message = bytes((op, 1, 6, 0)) + bytes(12) + bytes((10, 0, 2, 15)) + bytes(216)
    message += b"\x63\x82\x53\x63" + b"\0" + bytes((54, 4, 10, 0, 2, 2)) + bytes((53, 1, kind)) + b"\xff"
    udp = struct.pack(">HHHH", *ports, 8 + len(message), 0) + message
    return bytes(12) + b"\x08\x00" + b"\x45" + bytes(8) + b"\x11" + bytes(10) + udp


def test_the_address_is_that_of_the_servers_acknowledgement() -> None:
    assert given(frame(5)) == "10.0.2.15"
    assert [given(one) for one in (frame(2), frame(5, ports=(68, 67)), frame(5, op=1), frame(5)[:60], b"")] == [""] * 5


def test_packets_split_anywhere_and_those_too_long_are_passed_over() -> None:
    frames = [b"x" * 60, frame(2), b"y" * 200_000, frame(5)]
    stream = bytes(24) + b"".join(struct.pack("<IIII", 0, 0, len(one), len(one)) + one for one in frames)
    for size in (1000, 7):
        watch = DhcpWatch()
        for at in range(0, len(stream), size):
            watch.feed(stream[at : at + size])
        assert watch.address == "10.0.2.15"


def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dnf"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError) as raised:
        installed.qemu()
    assert (raised.value.code, raised.value.exit_code) == ("NoQemu", 2)
    assert "dnf install qemu-system-x86-core" in raised.value.cure
    with pytest.raises(UsageError) as raised:
        installed.uefi(())
    assert "dnf install edk2-ovmf" in raised.value.cure
    with pytest.raises(UsageError) as raised:
        installed.swtpm()
    assert "dnf install swtpm" in raised.value.cure
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="not installed"):
        installed.qemu()


@pytest.mark.parametrize(("flags", "usable"), [("fpu vmx sse", True), ("fpu svm", True), ("fpu sse", False)])
def test_kvm_needs_a_processor_that_runs_it(tmp_path: Path, flags: str, usable: bool) -> None:
    device, cpu = tmp_path / "kvm", tmp_path / "cpuinfo"
    cpu.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    assert not installed.kvm(device, cpu)
    device.write_bytes(b"")
    assert installed.kvm(device, cpu) is usable
