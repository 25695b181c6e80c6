"""The address that DHCP gave to the machine: read from what went over its network card, as QEMU writes it down (pcap).

https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html (filter-dump), RFC 2131. Whoever waits for an address needs
the server's acknowledgement; what the guest says of itself is not believed.
"""

from __future__ import annotations

import socket
import struct

_HEADER, _RECORD = 24, 16
#: no frame of the card is longer
_LONGEST = 1 << 17
_ETHERNET, _UDP, _BOOTP, _COOKIE = 14, 8, 236, b"\x63\x82\x53\x63"
_MESSAGE_TYPE, _ACK = 53, 5


class DhcpWatch:
    """Fed with a pcap stream, split anywhere; `address` is the last that was given, "" before that."""

    def __init__(self) -> None:
        self.address = ""
        self._data = bytearray()
        self._skip = _HEADER

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        self._data += data
        while True:
            if self._skip:
                cut = min(self._skip, len(self._data))
                del self._data[:cut]
                self._skip -= cut
            if self._skip or len(self._data) < _RECORD:
                return
            (length,) = struct.unpack_from("<I", self._data, 8)
            if length > _LONGEST:
                self._skip = _RECORD + length
                continue
            if len(self._data) < _RECORD + length:
                return
            self.address = given(bytes(self._data[_RECORD : _RECORD + length])) or self.address
            del self._data[: _RECORD + length]


def given(frame: bytes) -> str:
    """The IPv4 address that an Ethernet frame acknowledges; "" for any other frame."""
    if frame[12:14] != b"\x08\x00" or len(frame) < _ETHERNET + 20:
        return ""
    udp = _ETHERNET + 4 * (frame[_ETHERNET] & 15)
    if frame[_ETHERNET + 9] != socket.IPPROTO_UDP or frame[udp : udp + 4] != struct.pack(">HH", 67, 68):
        return ""
    message = frame[udp + _UDP :]
    options = message[_BOOTP + 4 :]
    if message[:1] != b"\x02" or message[_BOOTP : _BOOTP + 4] != _COOKIE or not _acknowledges(options):
        return ""
    return socket.inet_ntoa(message[16:20])


def _acknowledges(options: bytes) -> bool:
    at = 0
    while at < len(options) and options[at] != 255:
        if options[at] == 0:
            at += 1
            continue
        if options[at] == _MESSAGE_TYPE:
            return options[at + 1 : at + 3] == bytes((1, _ACK))
        at += 2 + (options[at + 1] if at + 1 < len(options) else 0)
    return False
