"""S3's checksums, whole and composite, against files that hold the bytes and files that do not."""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from vmie.aws.checksums import verify
from vmie.aws.listing import Head
from vmie.errors import VmieError

DATA = bytes(range(256)) * 4096 + b"tail"
PART = 1 << 18
CUTS = [DATA[start : start + PART] for start in range(0, len(DATA), PART)]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def md5(data: bytes) -> bytes:
    return hashlib.md5(data).digest()


KMS = "aws:kms"
WHOLE_MD5, PARTS_MD5 = md5(DATA).hex(), f"{md5(b''.join(map(md5, CUTS))).hex()}-{len(CUTS)}"


def known(
    *,
    etag: str = "opaque",
    checksums: dict[str, str] | None = None,
    encryption: str = "AES256",
    part: int | None = None,
) -> Head:
    return Head(len(DATA), etag, checksums or {}, "", encryption, part, parts_even=bool(part))


CASES = {
    "etag": (known(etag=WHOLE_MD5), "MD5"),
    "etag of parts": (known(etag=PARTS_MD5, part=PART), "MD5"),
    "sha256": (known(checksums={"SHA256": b64(sha(DATA))}), "SHA256"),
    "sha256 of parts": (
        known(checksums={"SHA256": f"{b64(sha(b''.join(map(sha, CUTS))))}-{len(CUTS)}"}, etag=PARTS_MD5, part=PART),
        "SHA256",
    ),
    "crc32": (known(checksums={"CRC32": b64(crc(DATA))}, encryption=KMS, etag="0" * 32), "CRC32"),
    "crc32 of parts": (
        known(checksums={"CRC32": f"{b64(crc(b''.join(map(crc, CUTS))))}-{len(CUTS)}"}, part=PART),
        "CRC32",
    ),
    "an etag under KMS is no MD5": (known(etag="0" * 32, encryption=KMS), ""),
    "parts cut unevenly prove nothing": (known(etag=PARTS_MD5, part=PART // 2), ""),
    "only checksums that cannot be computed here": (known(checksums={"CRC64NVME": "x"}), ""),
    "a checksum that is no base64": (known(checksums={"SHA256": "***"}), ""),
}


@pytest.mark.parametrize("name", CASES)
def test_the_right_bytes_are_proved_by_the_strongest_checksum(name: str, tmp_path: Path) -> None:
    head, proof = CASES[name]
    path = tmp_path / "disk"
    path.write_bytes(DATA)
    assert verify(path, head) == proof


@pytest.mark.parametrize("name", [name for name, (_, proof) in CASES.items() if proof])
def test_one_wrong_byte_is_noticed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(DATA[:-1] + b"?")
    with pytest.raises(VmieError, match="not what S3 holds"):
        verify(path, CASES[name][0])


def test_parts_that_may_be_uneven_prove_nothing_either_way(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(DATA)
    opaque = f"{'0' * 32}-{len(CUTS)}"
    assert verify(path, replace(known(etag=PARTS_MD5, part=PART), parts_even=False)) == "MD5"
    assert verify(path, replace(known(etag=opaque, part=PART), parts_even=False)) == ""
    with pytest.raises(VmieError, match="not what S3 holds"):
        verify(path, known(etag=opaque, part=PART))


def test_a_wrong_size_is_noticed_without_any_checksum(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(DATA[:-1])
    with pytest.raises(VmieError, match="not what S3 holds"):
        verify(path, known())
