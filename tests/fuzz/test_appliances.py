"""OVF descriptors beside their files, and OVAs: what they say is read, and no path in them leads anywhere else."""

from __future__ import annotations

import io
import random
import re
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.fuzz import harness, mutations
from tests.fuzz.sizes import inputs
from tests.unit.disk.appliances import virtualbox, vmware
from tests.unit.disk.handmade import GRAIN_BYTES, stream_vmdk
from vmie import disk
from vmie.disk.integrity import ManifestCheck

_DISK = stream_vmdk({0: b"x" * GRAIN_BYTES, 3: bytes(GRAIN_BYTES)}, capacity=4 * 128)
_DESCRIPTORS = (
    vmware("web.vmdk"),
    vmware("web.vmdk", "data.vmdk", capacity="264704", unit="byte"),
    virtualbox("web.vmdk"),
    virtualbox("web.vmdk", generation=2, firmware="efi"),
)
_MANIFEST = "SHA256(web.ovf)= {0}\nSHA1(web.vmdk)= {0}\nSHA512(data.vmdk)= {0}\n".format("0" * 64)
_ENTITIES = (
    '<!DOCTYPE e [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE e SYSTEM "http://127.0.0.1:9/x.dtd">',
    '<!DOCTYPE e [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
    '<!DOCTYPE e [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x">%p;]>',
    '<?xml-stylesheet href="file:///etc/passwd"?>',
    "<![CDATA[",
    "&x;&b;",
    '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/passwd"/>',
)
_TEXTS = (*_ENTITIES, *mutations.TEXTS, "<a>" * 3000, "<Item/>" * 3000, ' a="b"' * 3000, "&#x0;", "&#xD800;")
_TOKENS = tuple(text.encode("utf-8", errors="surrogatepass") for text in _TEXTS)
_ATTRIBUTE = re.compile(r'="[^"]*"')
_ELEMENT = re.compile(r"<(\w[\w:]*)[^<>]*?(?:/>|>[^<>]*</\1>)")
_NUMBERS = ("-1", "0", "99999999999999999999", "18446744073709551616", "1e400", "0x10", "²", "${size}", "byte * 2^99")
_NAMES = ("web.vmdk", "link.vmdk", "../secret/key", "/etc/passwd", "web.ovf", "deep/x.vmdk", ".", "%2e%2e/secret/key")


def _descriptor(rng: random.Random) -> bytes:
    text = rng.choice(_DESCRIPTORS)
    for _ in range(rng.randint(0, 4)):
        kind = rng.randrange(4)
        found = list((_ELEMENT if kind == 0 else _ATTRIBUTE).finditer(text))
        if not found:
            break
        one = rng.choice(found)
        if kind == 0:
            put = one[0] * rng.choice((0, 0, 2, 2, 300))
        elif kind == 1:
            put = f'="{rng.choice(_TEXTS)}"'
        else:
            put = f'="{rng.choice((*_NUMBERS, *_NAMES))}"'
        text = text[: one.start()] + put + text[one.end() :]
    if rng.random() < 0.1:
        text = text.replace("?>", f"?>{rng.choice(_ENTITIES)}", 1)
    codec = rng.choice(("utf-8", "utf-8", "utf-8", "utf-16"))
    data = text.encode(codec, errors="replace")
    return mutations.damaged(rng, data, tokens=_TOKENS) if rng.random() < 0.3 else data


def _archive(rng: random.Random, descriptor: bytes, manifest: bytes) -> bytes:
    held = io.BytesIO()
    members = [("web.ovf", descriptor), ("web.mf", manifest), ("web.vmdk", _DISK), ("data.vmdk", _DISK)]
    with tarfile.open(fileobj=held, mode="w", format=rng.choice((tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT))) as archive:
        for name, data in rng.sample(members, len(members)) if rng.random() < 0.2 else members:
            member = tarfile.TarInfo(rng.choice(_NAMES) if rng.random() < 0.05 else name)
            if rng.random() < 0.05:
                member.type, member.linkname = rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE)), rng.choice(_NAMES)
            if rng.random() < 0.05 and archive.format == tarfile.PAX_FORMAT:
                key = rng.choice(("size", "path", "GNU.sparse.map", "linkpath", "hdrcharset"))
                member.pax_headers = {key: rng.choice(mutations.TEXTS[:20])[:500].replace("\ud800", "")}
            member.size = len(data) if member.isfile() else 0
            try:
                archive.addfile(member, io.BytesIO(data))
            except (ValueError, UnicodeError):  # tarfile itself will not write it
                continue
    made = held.getvalue()
    return mutations.damaged(rng, made) if rng.random() < 0.3 else made


def _make(rng: random.Random) -> tuple[str, bytes, bytes]:
    descriptor, manifest = _descriptor(rng), _MANIFEST.encode()
    if rng.random() < 0.3:
        manifest = mutations.damaged(rng, manifest, tokens=_TOKENS)
    if rng.random() < 0.5:
        return "web.ova", _archive(rng, descriptor, manifest), manifest
    return "web.ovf", descriptor, manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "here"
    (made / "deep").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_bytes(_DISK)
    for name in ("web.vmdk", "data.vmdk", "deep/x.vmdk"):
        (made / name).write_bytes(_DISK)
    (made / "link.vmdk").symlink_to(tmp_path / "secret" / "key")
    return made


def _reader(folder: Path) -> Callable[[tuple[str, bytes, bytes]], None]:
    def read(made: tuple[str, bytes, bytes]) -> None:
        name, data, manifest = made
        (folder / "web.mf").write_bytes(manifest)
        (folder / name).write_bytes(data)
        with disk.appliance(folder / name) as appliance:
            harness.printed({"appliance": appliance.as_json()}, str(appliance.as_json()))
            for number in range(min(len(appliance.disks), 3)):
                with appliance.open_disk(number) as opened:
                    opened.read(0, 512)
                    harness.printed({"facts": opened.facts})
            with closing(ManifestCheck(appliance)) as manifest:
                harness.printed({"mismatches": [one.as_json() for one in manifest.compare()], "notes": manifest.notes})

    return read


@pytest.mark.parametrize("count", inputs("appliances"))
def test_appliances(folder: Path, count: int) -> None:
    tally = harness.run("appliances", count, folder=folder, make=_make, read=_reader(folder))
    harness.expect_no_fault(tally)
