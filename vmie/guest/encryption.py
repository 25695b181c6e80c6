"""By what an encrypted volume is opened, as its own header says: no key is looked for, and none is read."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

from vmie.guest.stream import Blocks

#: what opens a volume, in words that messages and rules share
TPM = "TPM"
TANG = "a Tang server"
CLEAR = "a clear key"
#: LUKS2's area of JSON ends at most here, with the binary header before it
_LUKS_LARGEST = 4 << 20
_LUKS_JSON = 4096
_MOST_TOKENS = 32
_LUKSMETA_SLOTS = 8
#: the owner of Clevis's words
_CLEVIS = bytes.fromhex("cb6e890481ff40daa84a07ab9ab5715e")
_BITLOCKER = b"-FVE-FS-"
_MOST_ENTRIES = 64
_VMK = 2
#: kinds of protectors: https://github.com/libyal/libbde/blob/main/documentation/
#: BitLocker%20Drive%20Encryption%20(BDE)%20format.asciidoc
_PROTECTORS = {
    0x0000: CLEAR,
    0x0100: TPM,
    0x0200: "a startup key",
    0x0500: f"{TPM} and a PIN",
    0x0800: "a recovery password",
    0x2000: "a password",
}


def luks2(blocks: Blocks, head: bytes) -> tuple[str, ...]:
    """What the tokens of a LUKS2 header open it by; () without any: a passphrase.

    The format is https://gitlab.com/cryptsetup/LUKS2-docs.
    """
    size = int.from_bytes(head[8:16], "big")
    if not _LUKS_JSON < size <= _LUKS_LARGEST:
        return ()
    text = blocks.read(_LUKS_JSON, size - _LUKS_JSON).split(b"\0", 1)[0]
    try:
        tokens = json.loads(text).get("tokens", {})
    except (ValueError, AttributeError, RecursionError):
        return ()
    listed = list(tokens.values())[:_MOST_TOKENS] if isinstance(tokens, dict) else []
    found = (_token(token) for token in listed if isinstance(token, dict))
    return tuple(dict.fromkeys(way for way in found if way))


def luks1(blocks: Blocks, head: bytes) -> tuple[str, ...]:
    """What Clevis opens a LUKS1 volume by; () without any: a passphrase.

    It keeps its words behind the last key's area, as luksmeta lays them out:
    https://github.com/latchset/luksmeta/blob/master/libluksmeta.c.
    """
    if len(head) < 592:
        return ()
    payload, size = struct.unpack_from(">II", head, 104)
    ends = [0]
    for slot in range(_LUKSMETA_SLOTS):
        first, stripes = struct.unpack_from(">II", head, 208 + 48 * slot + 40)
        ends.append((first << 9) + -(-size * stripes // 512) * 512)
    hole, room = -(-max(ends) // 4096) * 4096, payload << 9
    if hole >= min(room, _LUKS_LARGEST):
        return ()
    header = blocks.read(hole, 16 + 32 * _LUKSMETA_SLOTS)
    if len(header) < 16 + 32 * _LUKSMETA_SLOTS or header[:12] != b"LUKSMETA\0\0\0\1":
        return ()
    found = []
    for slot in range(_LUKSMETA_SLOTS):
        owner, at, length = struct.unpack_from(">16sII", header, 16 + 32 * slot)
        if owner == _CLEVIS:
            text = blocks.read(hole + at, min(length, _LUKS_LARGEST, max(0, room - hole - at)))
            found.append(_clevis(text.partition(b".")[0].decode("latin-1")))
    return tuple(dict.fromkeys(found))


def _token(token: dict[str, Any]) -> str:
    kind = str(token.get("type", ""))
    if kind == "clevis":
        jwe = token.get("jwe")
        return _clevis(jwe.get("protected") if isinstance(jwe, dict) else None)
    return {"systemd-tpm2": TPM, "systemd-fido2": "a FIDO2 key", "systemd-pkcs11": "a smart card"}.get(kind, "")


def _clevis(protected: object) -> str:
    """What Clevis opens by: the name of its pin stands in the protected header of its JWE."""
    if not isinstance(protected, str):
        return "Clevis"
    try:
        header = json.loads(base64.urlsafe_b64decode(protected[:65536] + "=="))
        pin = header["clevis"]["pin"]
        return {"tpm2": TPM, "tang": TANG}.get(pin, "Clevis")
    except (ValueError, KeyError, TypeError, RecursionError):
        return "Clevis"


def bitlocker(blocks: Blocks, head: bytes) -> tuple[str, ...]:
    """The protectors of a BitLocker volume's key, in the order of its metadata; () where they cannot be read."""
    for place in struct.unpack_from("<3Q", head, 176) if len(head) >= 200 else ():
        if not 0 < place < blocks.size:
            continue
        metadata = blocks.read(place, 64 << 10)
        if metadata[:8] == _BITLOCKER and len(metadata) >= 112:
            return tuple(dict.fromkeys(_protectors(metadata)))
    return ()


def _protectors(metadata: bytes) -> Iterator[str]:
    """A block of 64 bytes, a header that names the length of all entries, then the entries."""
    size, header = struct.unpack_from("<I4xI", metadata, 64)
    at, end = 64 + header, min(64 + size, len(metadata))
    for _ in range(_MOST_ENTRIES):
        if at + 36 > end:
            return
        length, kind = struct.unpack_from("<HH", metadata, at)
        if length < 8:
            return
        if kind == _VMK and length >= 36:
            # a GUID, a time and two bytes stand before it
            (protection,) = struct.unpack_from("<H", metadata, at + 8 + 26)
            yield _PROTECTORS.get(protection, f"protector {protection:#06x}")
        at += length
