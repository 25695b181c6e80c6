"""What opens an encrypted volume, from headers that cryptsetup wrote, or reads as we do."""

from __future__ import annotations

import base64
import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.guests import MIB, Bytes, Disk
from tests.tools import need, run
from vmie.guest import encryption
from vmie.guest.recognise import recognise


def jwe(pin: str) -> dict[str, str]:
    header = json.dumps({"alg": "dir", "clevis": {"pin": pin, pin: {}}}).encode()
    protected = base64.urlsafe_b64encode(header).decode().rstrip("=")
    return {"ciphertext": "x", "encrypted_key": "", "iv": "x", "protected": protected, "tag": "x"}


SYSTEMD = {"type": "systemd-fido2", "keyslots": ["0"]}
CLEVIS_TPM = {"type": "clevis", "keyslots": ["0"], "jwe": jwe("tpm2")}
CLEVIS_TANG = {"type": "clevis", "keyslots": ["0"], "jwe": jwe("tang")}


@pytest.mark.parametrize(
    ("tokens", "detail"),
    [
        ([], "LUKS2"),
        ([CLEVIS_TPM], "LUKS2, opened by TPM"),
        ([CLEVIS_TANG], "LUKS2, opened by a Tang server"),
        ([CLEVIS_TANG, CLEVIS_TPM, CLEVIS_TPM], "LUKS2, opened by a Tang server or TPM"),
        ([{"type": "clevis", "keyslots": ["0"]}], "LUKS2, opened by Clevis"),
        ([{"type": "somebody-elses", "keyslots": ["0"]}], "LUKS2"),
    ],
)
def test_luks2_as_cryptsetup_writes_it(tmp_path: Path, tokens: list[dict[str, Any]], detail: str) -> None:
    need("cryptsetup")
    path = tmp_path / "luks.img"
    with path.open("wb") as file:
        file.truncate(32 * MIB)
    fast = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
    run(["cryptsetup", "luksFormat", "-q", "--type", "luks2", *fast, str(path), "-"], input="secret")
    for token in tokens:
        run(["cryptsetup", "token", "import", "--json-file", "-", str(path)], input=json.dumps(token))
    assert recognise(Disk(path)).detail == detail


@pytest.mark.parametrize(
    ("pins", "detail"),
    [
        ([], "LUKS1"),
        (["tpm2"], "LUKS1, opened by TPM"),
        (["tang", "tpm2"], "LUKS1, opened by a Tang server or TPM"),
        (["sss"], "LUKS1, opened by Clevis"),
    ],
)
def test_luks1_as_cryptsetup_and_luksmeta_write_it(tmp_path: Path, pins: list[str], detail: str) -> None:
    """luksmeta's own layout, where cryptsetup's dump ends the last key's area; LUKS1 of Red Hat 7 with Clevis."""
    need("cryptsetup")
    path = tmp_path / "luks.img"
    with path.open("wb") as file:
        file.truncate(32 * MIB)
    fast = ["--pbkdf-force-iterations", "1000", "--key-size", "512", "--align-payload", "8192"]
    run(["cryptsetup", "luksFormat", "-q", "--type", "luks1", *fast, str(path), "-"], input="secret")
    luksmeta(path, pins)
    assert recognise(Disk(path)).detail == detail


def luksmeta(path: Path, pins: list[str]) -> None:
    dump = run(["cryptsetup", "luksDump", str(path)]).stdout
    payload = int(re.search(r"Payload offset:\s+(\d+)", dump)[1]) * 512  # type: ignore[index]
    # eight areas of 64 bytes x 4000 stripes, each beginning at a whole 4096
    hole = 4096 + 8 * 258048
    assert hole < payload
    header, data = b"LUKSMETA" + struct.pack(">II", 1, 0), b""
    for number, pin in enumerate(pins):
        text = (jwe(pin)["protected"] + ".aa.bb.cc.dd").encode()
        owner = bytes.fromhex("cb6e890481ff40daa84a07ab9ab5715e")
        header += struct.pack(">16sIIII", owner, 4096 * (number + 1), len(text), 0, 0)
        data += text.ljust(4096, b"\0")
    with path.open("r+b") as file:
        file.seek(hole)
        file.write((header.ljust(4096, b"\0") + data) if pins else b"")


@pytest.mark.parametrize(
    "token", [{"type": "systemd-tpm2", "keyslots": ["0"], "tpm2-pcrs": [7]}, {"type": "systemd-tpm2"}]
)
def test_a_token_of_systemd(token: dict[str, Any]) -> None:
    assert encryption.luks2(Bytes(luks2({"tokens": {"0": token}})), luks2({})[:4096]) == (encryption.TPM,)


def luks2(document: object) -> bytes:
    text = json.dumps(document).encode()
    return (b"LUKS\xba\xbe\0\2" + (16384).to_bytes(8, "big")).ljust(4096, b"\0") + text.ljust(12288, b"\0")


def bitlocker(*protections: int) -> bytes:
    """As libbde describes it: a volume header that names three copies of the metadata, each with the volume's keys."""
    places = [MIB, 2 * MIB, 3 * MIB]
    head = bytearray(512)
    head[:11] = b"\xeb\x58\x90-FVE-FS-"
    struct.pack_into("<HB", head, 11, 512, 8)
    head[160:176] = bytes.fromhex("3bd66749292ed84a8399f6a339e3d001")
    struct.pack_into("<3Q", head, 176, *places)
    head[510:512] = b"\x55\xaa"
    entries = b"".join(
        struct.pack("<HHHH", 36 + 8, 2, 8, 1) + bytes([number]) * 16 + bytes(8) + struct.pack("<HH", 0, kind) + bytes(8)
        for number, kind in enumerate(protections, 1)
    )
    # the volume's own key, wrapped: 12 bytes of nonce and 16 of code before it
    entries += struct.pack("<HHHH", 80, 3, 5, 1) + bytes(72)
    block = struct.pack("<8sHHHHQ", b"-FVE-FS-", 64, 2, 4, 4, 4 * MIB) + struct.pack("<IIQ3Q", 0, 0, 0, *places)
    header = (
        struct.pack("<IIII", 48 + len(entries), 1, 48, 48 + len(entries)) + bytes(20) + struct.pack("<HH", 0x8004, 0)
    )
    metadata = block.ljust(64, b"\0") + header.ljust(48, b"\0") + entries
    volume = bytearray(4 * MIB)
    volume[:512] = head
    for place in places:
        volume[place : place + len(metadata)] = metadata
    return bytes(volume)


@pytest.mark.parametrize(
    ("protections", "detail"),
    [
        ([0x0100, 0x0800], "BitLocker, opened by TPM or a recovery password"),
        ([0x0500], "BitLocker, opened by TPM and a PIN"),
        ([0x2000], "BitLocker, opened by a password"),
        ([0x0000, 0x0100], "BitLocker, opened by a clear key or TPM"),
        ([0x1234], "BitLocker, opened by protector 0x1234"),
        ([], ""),
    ],
)
def test_bitlocker(protections: list[int], detail: str) -> None:
    assert recognise(Bytes(bitlocker(*protections))).detail == detail


def test_cryptsetup_reads_the_same_protectors(tmp_path: Path) -> None:
    need("cryptsetup")
    path = tmp_path / "bitlocker.img"
    path.write_bytes(bitlocker(0x0100, 0x0800, 0x0000))
    shown = run(["cryptsetup", "bitlkDump", str(path)]).stdout
    named = re.findall(r"VMK protected with (.*)", shown)
    assert named == ["TPM", "recovery passphrase", "clear key"]
    assert recognise(Disk(path)).detail == "BitLocker, opened by TPM or a recovery password or a clear key"


@given(st.binary(max_size=600), st.binary(max_size=2000))
def test_nothing_in_a_header_upsets_it(head: bytes, body: bytes) -> None:
    for blocks in (Bytes(head + body), Bytes(luks2({"tokens": [1]})[:4096] + body), Bytes(bitlocker(1)[:512] + body)):
        encryption.luks2(blocks, head)
        encryption.luks1(blocks, head)
        encryption.bitlocker(blocks, head)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{}", '{"tokens": 3}', '{"tokens": {"0": 3}}', '{"tokens": {"0": {"jwe": 1}}}']
)
def test_json_that_is_no_header_of_luks(text: str) -> None:
    raw = luks2({})[:4096] + text.encode()
    head = b"LUKS\xba\xbe\0\2" + (4 << 20).to_bytes(8, "big")
    assert encryption.luks2(Bytes(raw), head) == ()
