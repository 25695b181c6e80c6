"""Imports and uploads leave out what file systems call free, say so, and go on with the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Done
from tests.sandbox.conftest import BUCKET
from tests.tools import need, run
from tests.unit.guest.free.aged import DELETED, aged
from vmie import sandbox
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
MIB = 1 << 20


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000) as running:
        yield running


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return aged(tmp_path_factory.mktemp("aged") / "disk.raw")


def done(answer: Done) -> dict[str, Any]:
    assert answer.code == 0, answer.out + answer.err
    return answer.json["result"]  # type: ignore[no-any-return]


def fetched(box: Sandbox, url: str, to: Path) -> bytes:
    """The disk in an object, as raw."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    stored = to / "object"
    stored.write_bytes(box.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    run(["qemu-img", "convert", "-f", "vmdk", "-O", "raw", stored, to / "raw"])
    return (to / "raw").read_bytes()


def test_deleted_files_are_neither_uploaded_nor_published(
    box: Sandbox, vmie: Vmie, image: Path, tmp_path: Path
) -> None:
    need("qemu-img")
    short = done(vmie("upload", image, f"s3://{BUCKET}/short.vmdk"))
    assert short["bytes_left_out"] > 9 * MIB
    assert DELETED not in fetched(box, short["object"], tmp_path)
    again = done(vmie("upload", image, f"s3://{BUCKET}/short.vmdk"))
    assert again["bytes_sent"] == 0, "the same content"
    whole = done(vmie("upload", image, f"s3://{BUCKET}/whole.vmdk", "--keep-free"))
    assert whole["bytes_left_out"] == 0
    assert whole["bytes_total"] > short["bytes_total"]
    assert fetched(box, whole["object"], tmp_path) == image.read_bytes()
    other = vmie("upload", image, f"s3://{BUCKET}/short.vmdk", "--keep-free")
    assert other.code == 2, "another content, and not replaced without a word"
    made = done(vmie("import", image, "--as", "snapshot", "--skip-check", "all", "--keep-object"))
    assert made["bytes_left_out"] == short["bytes_left_out"]
    assert DELETED not in fetched(box, made["object"], tmp_path)
    plan = done(vmie("import", image, "--as", "snapshot", "--skip-check", "all", "--dry-run"))["plan"]
    assert plan["disks"][0]["bytes_left_out"] == short["bytes_left_out"]
    told = vmie("import", image, "--as", "snapshot", "--skip-check", "all", "--output", "text")
    assert "left out" in told.out
    assert "--keep-free" in told.out


def test_a_file_system_that_is_not_clean_keeps_everything(
    box: Sandbox, vmie: Vmie, image: Path, tmp_path: Path
) -> None:
    need("qemu-img")
    dirty = tmp_path / "dirty.raw"
    data = bytearray(image.read_bytes())
    data[MIB + 1024 + 0x60] |= 4
    dirty.write_bytes(data)
    result = done(vmie("upload", dirty, f"s3://{BUCKET}/dirty.vmdk"))
    assert result["bytes_left_out"] == 0
    assert fetched(box, result["object"], tmp_path) == bytes(data)


def test_keep_free_belongs_to_objects(box: Sandbox, vmie: Vmie, image: Path) -> None:
    refused = vmie("import", image, "--as", "snapshot", "--via", "ebs", "--keep-free")
    assert refused.code == 2
