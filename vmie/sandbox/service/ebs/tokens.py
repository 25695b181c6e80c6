"""Block tokens and page tokens: they name what they are for and until when, and only the sandbox can make them."""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from dataclasses import dataclass

from vmie.sandbox.service.ebs import errors

#: seconds that a token holds (EBS guide, "Read snapshots")
BLOCK_LIFE, PAGE_LIFE = 7 * 24 * 3600, 3600
_BODY = struct.Struct(">QQ")
_MAC = 16


@dataclass(frozen=True, slots=True)
class Tokens:
    """`secret` signs them. An expiry is whole seconds of the calendar."""

    secret: bytes

    def block(self, snapshot_id: str, index: int, *, expires: int) -> str:
        """Lets GetSnapshotBlock read one block of one snapshot."""
        return self._make(f"block/{snapshot_id}", index, expires)

    def page(self, listing: str, index: int, *, now: int) -> str:
        """Lets a `listing` go on from a block."""
        return self._make(f"page/{listing}", index, now + PAGE_LIFE)

    def require_block(self, token: str, snapshot_id: str, index: int, *, now: int) -> None:
        """Raise ApiError unless the token is of this block, and not too old."""
        if self._read(token, f"block/{snapshot_id}", "INVALID_BLOCK_TOKEN", now) != index:
            raise errors.invalid("The block token is not of this block.", "INVALID_BLOCK_TOKEN")

    def next_index(self, token: str, listing: str, *, now: int) -> int:
        """Where a page begins; raises ApiError for a token of another listing, and for one that is too old."""
        return self._read(token, f"page/{listing}", "INVALID_PAGE_TOKEN", now)

    def _make(self, purpose: str, index: int, expires: int) -> str:
        body = _BODY.pack(expires, index)
        return base64.b64encode(body + self._mac(purpose, body)).decode()

    def _mac(self, purpose: str, body: bytes) -> bytes:
        return hmac.digest(self.secret, purpose.encode() + body, "sha256")[:_MAC]

    def _read(self, token: str, purpose: str, reason: str, now: int) -> int:
        kind = "block" if reason == "INVALID_BLOCK_TOKEN" else "page"
        try:
            data = base64.b64decode(token.encode(), validate=True)
        except (ValueError, binascii.Error) as error:
            raise errors.invalid(f"The {kind} token is invalid.", reason) from error
        body, mac = data[: _BODY.size], data[_BODY.size :]
        if len(body) != _BODY.size or not hmac.compare_digest(mac, self._mac(purpose, body)):
            raise errors.invalid(f"The {kind} token is invalid.", reason)
        expires, index = _BODY.unpack(body)
        if now > expires:
            raise errors.invalid(f"The {kind} token has expired.", reason)
        return int(index)
