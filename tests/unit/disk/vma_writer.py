"""An independent writer of VMA archives, by the letter of vma_spec.txt, for tests."""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Mapping, Sequence

CLUSTER, BLOCK = 65536, 4096


def write(
    drives: Mapping[str, bytes],
    conf: str = "",
    *,
    order: str = "interleaved",
    numbers: Sequence[int] = (),
    uuid: bytes = b"0123456789abcdef",
    per_extent: int = 59,
) -> bytes:
    """Drives by name with their content; `order` is that of the clusters: interleaved, sequential or shuffled."""
    blob = bytearray(b"\0")

    def put(data: bytes) -> int:
        at = len(blob)
        blob.extend(struct.pack("<H", len(data)) + data)
        return at

    header = bytearray(12288)
    header[0:24] = b"VMA\0" + struct.pack(">I", 1) + uuid
    struct.pack_into(">q", header, 24, 1_700_000_000)
    if conf:
        struct.pack_into(">I", header, 2044, put(b"qemu-server.conf\0"))
        struct.pack_into(">I", header, 3068, put(conf.encode()))
    ids = list(numbers) or list(range(1, len(drives) + 1))
    for number, (name, data) in zip(ids, drives.items(), strict=True):
        struct.pack_into(">IIQ", header, 4096 + 32 * number, put(name.encode() + b"\0"), 0, len(data))
    blob.extend(bytes(-len(blob) % 512))
    struct.pack_into(">3I", header, 48, 12288, len(blob), 12288 + len(blob))
    whole = bytes(header) + bytes(blob)
    whole = whole[:32] + hashlib.md5(whole).digest() + whole[48:]
    clusters = [
        (number, at // CLUSTER, data[at : at + CLUSTER].ljust(CLUSTER, b"\0"))
        for number, data in zip(ids, drives.values(), strict=True)
        for at in range(0, len(data), CLUSTER)
    ]
    if order == "interleaved":
        clusters.sort(key=lambda one: (one[1], one[0]))
    elif order == "shuffled":
        random.Random(5).shuffle(clusters)
    extents = (clusters[at : at + per_extent] for at in range(0, len(clusters), per_extent))
    return whole + b"".join(_extent(uuid, part) for part in extents)


def _extent(uuid: bytes, clusters: list[tuple[int, int, bytes]]) -> bytes:
    infos, stored = [], []
    for number, cluster, data in clusters:
        mask = 0
        for block in range(16):
            piece = data[block * BLOCK : (block + 1) * BLOCK]
            if piece.count(0) != len(piece):
                mask |= 1 << block
                stored.append(piece)
        infos.append(mask << 48 | number << 32 | cluster)
    infos += [0] * (59 - len(infos))
    head = struct.pack(">4sHH16s16s59Q", b"VMAE", 0, len(stored), uuid, bytes(16), *infos)
    head = head[:24] + hashlib.md5(head).digest() + head[40:]
    return head + b"".join(stored)
