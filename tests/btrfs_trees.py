"""The trees of a Btrfs, written without a kernel over an empty file system of mkfs.btrfs."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from vmie.disk.crc32c import crc32c, register

KEY = struct.Struct("<QBQ")
Key = tuple[int, int, int]
_SUPER = 65536
#: mkfs.btrfs puts all chunks of a new file system at its front, and little is written into them here
_FRONT = 48 << 20


class Trees:
    """An empty Btrfs of mkfs.btrfs, whose trees are changed in memory and written anew by `finish`."""

    def __init__(self, path: Path, default: int) -> None:
        with path.open("rb") as file:
            self.raw = bytearray(file.read(_FRONT))
        self.generation = self._u64(_SUPER + 0x48)
        self.node = int.from_bytes(self.raw[_SUPER + 0x94 : _SUPER + 0x98], "little")
        self.fsid = bytes(self.raw[_SUPER + 0x20 : _SUPER + 0x30])
        self.chunks: list[tuple[int, int, int, int]] = []  # start, length, kind, offset on the device
        size = int.from_bytes(self.raw[_SUPER + 0xA0 : _SUPER + 0xA4], "little")
        system = bytes(self.raw[_SUPER + 0x32B : _SUPER + 0x32B + size])
        self._chunk(KEY.unpack_from(system)[2], system[17:])
        for key, item in self.read(self._u64(_SUPER + 0x58)):
            if key[1] == 228 and key[2] != self.chunks[0][0]:
                self._chunk(key[2], item)
        self.roots = dict(self.read(self._u64(_SUPER + 0x50)))
        self.extents = {key: item for key, item in self.read(self.root_address(2)) if key[1] not in (169, 168)}
        self.kept = [self.root_address(number) for number in (4, 9, (1 << 64) - 9) if (number, 132, 0) in self.roots]
        self.trees: dict[int, dict[Key, bytes]] = {7: {}}
        self.data_at = next(chunk[0] for chunk in self.chunks if chunk[2] & 1)
        self.meta_at = max(self.kept) + self.node
        self.chunk_uuid = bytes(self.raw[self.place(self.kept[0]) + 64 :][:16])
        name = (6, 84, register(b"default", 0xFFFFFFFE))
        self.roots[name] = KEY.pack(default, 132, (1 << 64) - 1) + self.roots[name][17:]

    def _u64(self, at: int) -> int:
        return int.from_bytes(self.raw[at : at + 8], "little")

    def _chunk(self, start: int, item: bytes) -> None:
        length, _, _, kind = struct.unpack_from("<QQQQ", item)
        self.chunks.append((start, length, kind, struct.unpack_from("<Q", item, 56)[0]))

    def place(self, address: int) -> int:
        return next(at + address - start for start, length, _, at in self.chunks if start <= address < start + length)

    def root_address(self, number: int) -> int:
        key = next(key for key in self.roots if key[:2] == (number, 132))
        return int.from_bytes(self.roots[key][176:184], "little")

    def read(self, address: int) -> Iterator[tuple[Key, bytes]]:
        """The items of a leaf: what mkfs makes has no other nodes."""
        at = self.place(address)
        for index in range(int.from_bytes(self.raw[at + 96 : at + 100], "little")):
            item = at + 101 + 25 * index
            begin, length = struct.unpack_from("<II", self.raw, item + 17)
            yield KEY.unpack_from(self.raw, item), bytes(self.raw[at + 101 + begin :][:length])

    def save(self, path: Path) -> None:
        """Write the file system back to `path`, without the zeros in it."""
        raw = self.finish()
        with path.open("r+b") as file:
            for at in range(0, len(raw), 65536):
                block = raw[at : at + 65536]
                if block != bytes(len(block)):
                    file.seek(at)
                    file.write(block)

    def finish(self) -> bytes:
        """The bytes of the whole file system."""
        self.trees[1], self.trees[2] = self.roots, self.extents
        own = 0
        while True:  # the tree of extents names its own nodes
            layers = {number: self._layers(tree) for number, tree in self.trees.items()}
            count = sum(len(layer) for built in layers.values() for layer in built)
            if count == own:
                break
            own = count
            self._account(layers)
        self._roots(layers)
        for number in self.trees:
            self._write(number, self._layers(self.trees[number]), self.addresses[number])
        root = self.addresses[1][-1][0]
        self.raw[_SUPER + 0x50 : _SUPER + 0x58] = root.to_bytes(8, "little")
        self.raw[_SUPER + 0xC6] = len(layers[1]) - 1
        self.seal_super()
        return bytes(self.raw)

    def seal_super(self) -> None:
        self.raw[_SUPER : _SUPER + 4] = crc32c(bytes(self.raw[_SUPER + 32 : _SUPER + 4096])).to_bytes(4, "little")

    def _layers(self, tree: Mapping[Key, bytes]) -> list[list[list[Key]]]:
        """The first keys and keys of the nodes, layer by layer from the leaves up."""
        leaves: list[list[Key]] = [[]]
        room = self.node - 101
        for key in sorted(tree):
            need_bytes = 25 + len(tree[key])
            if need_bytes > room:
                leaves.append([])
                room = self.node - 101
            leaves[-1].append(key)
            room -= need_bytes
        layers = [leaves]
        most = (self.node - 101) // 33
        while len(layers[-1]) > 1:
            heads = [node[0] for node in layers[-1]]
            layers.append([heads[at : at + most] for at in range(0, len(heads), most)])
        return layers

    def _account(self, layers: Mapping[int, list[list[list[Key]]]]) -> None:
        """Addresses for all nodes, and the items that say they are taken."""
        for key in [key for key in self.extents if key[1] == 169]:
            del self.extents[key]
        at = self.meta_at
        self.addresses: dict[int, list[list[int]]] = {}
        for number, built in layers.items():
            self.addresses[number] = []
            for level, layer in enumerate(built):
                self.addresses[number].append([at + index * self.node for index in range(len(layer))])
                at += len(layer) * self.node
                for address in self.addresses[number][-1]:
                    self._taken(address, level, number)
        for address in (*self.kept, self._u64(_SUPER + 0x58)):
            place = self.place(address)
            self._taken(address, self.raw[place + 100], self._u64(place + 88))
        used = 0
        for start, length, kind, _ in self.chunks:
            inside = [key for key in self.extents if key[1] in (168, 169) and start <= key[0] < start + length]
            taken = sum(key[2] if key[1] == 168 else self.node for key in inside)
            self.extents[start, 192, length] = struct.pack("<QQQ", taken, 256, kind)
            used += taken
        self.raw[_SUPER + 0x78 : _SUPER + 0x80] = used.to_bytes(8, "little")

    def _taken(self, address: int, level: int, owner: int) -> None:
        generation = self._u64(self.place(address) + 80) if address in self.kept else self.generation
        if address == self._u64(_SUPER + 0x58):
            generation = self._u64(self.place(address) + 80)
        self.extents[address, 169, level] = struct.pack("<QQQBQ", 1, generation, 2, 176, owner)

    def _roots(self, layers: Mapping[int, list[list[list[Key]]]]) -> None:
        for key in [key for key in self.roots if key[1] == 132 and key[0] in self.trees]:
            item = bytearray(self.roots[key])
            built = self.addresses[key[0]]
            item[160:168] = self.generation.to_bytes(8, "little")
            item[176:184] = built[-1][0].to_bytes(8, "little")
            item[192:200] = (sum(map(len, built)) * self.node).to_bytes(8, "little")
            item[238] = len(built) - 1
            item[239:247] = item[160:168]
            self.roots[key] = bytes(item)

    def _write(self, number: int, layers: list[list[list[Key]]], addresses: list[list[int]]) -> None:
        tree, below = self.trees[number], dict[Key, int]()
        for level, layer in enumerate(layers):
            heads: dict[Key, int] = {}
            for keys, address in zip(layer, addresses[level], strict=True):
                node = bytearray(self.node)
                node[32:101] = struct.pack(
                    "<16sQQ16sQQIB", self.fsid, address, 1 << 56 | 1, self.chunk_uuid, self.generation, number,
                    len(keys), level,
                )  # fmt: skip
                end = self.node - 101
                for index, key in enumerate(keys):
                    if level:
                        entry = KEY.pack(*key) + struct.pack("<QQ", below[key], self.generation)
                        node[101 + 33 * index : 134 + 33 * index] = entry
                        continue
                    data = tree[key]
                    end -= len(data)
                    node[101 + end : 101 + end + len(data)] = data
                    entry = KEY.pack(*key) + struct.pack("<II", end, len(data))
                    node[101 + 25 * index : 126 + 25 * index] = entry
                node[:4] = crc32c(bytes(node[32:])).to_bytes(4, "little")
                place = self.place(address)
                self.raw[place : place + self.node] = node
                if keys:
                    heads[keys[0]] = address
            below = heads
