"""What is known to be no disk is refused by every verb and route, in the sandbox; two options together send it."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Done
from tests.sandbox.conftest import BUCKET
from vmie import sandbox
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
INSTANCE = ("--instance-type", "m3.medium", "--platform", "Linux")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000) as running:
        yield running


@pytest.fixture(params=["picture.ova", "page.vmdk", "picture.raw.gz"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400
    content = {
        "picture.ova": picture,
        "page.vmdk": b"<html><title>Sign in</title></html>\n" * 9,
        "picture.raw.gz": gzip.compress(picture),
    }
    path.write_bytes(content[request.param])
    return path


def objects(box: Sandbox) -> int:
    return int(box.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="vmie/")["KeyCount"])


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("check",), 2),
        (("check", "--route", "snapshot"), 2),
        (("check", "--route", "volume", "--as-is"), 2),
        (("convert",), 2),
        (("upload",), 2),
        (("import",), 4),
        (("import", "--as", "snapshot"), 4),
        (("import", "--as", "volume", "--availability-zone", "us-east-1a"), 4),
        (("import", "--as", "instance", *INSTANCE), 4),
        (("import", "--as", "snapshot", "--as-is"), 4),
        (("import", "--as", "snapshot", "--skip-check", "all"), 2),
        (("import", "--as", "snapshot", "--skip-check", "VMIE-DISK-010"), 2),
    ],
)
def test_refused_by_every_verb_and_route(
    box: Sandbox, vmie: Vmie, file: Path, argv: tuple[str, ...], code: int
) -> None:
    more = {"convert": [file.with_name("out.vmdk")], "upload": [f"s3://{BUCKET}/vmie/x"]}.get(argv[0], [])
    answer = vmie(argv[0], file, *more, *argv[1:])
    error = answer.json["error"]
    assert (answer.code, objects(box)) == (code, 0)
    assert "png" in error["message"] or "a web page" in error["message"]
    assert error["cure"]
    if argv[0] == "check":
        (image,) = answer.json["result"]["images"]
        assert image["recommended"] is None
        assert set(image["verdict"].values()) == {"fail"}
        assert {one["rule"] for one in answer.json["findings"]} == {"VMIE-DISK-010"}


def test_both_options_together_send_it(box: Sandbox, vmie: Vmie, tmp_path: Path) -> None:
    path = tmp_path / "picture.ova"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(5000))
    for skipped in ("all", "VMIE-DISK-010"):
        options = ("--as-is", "--skip-check", skipped, "--keep-object", "--name", skipped)
        answer = vmie("import", path, "--as", "snapshot", *options)
        assert answer.code == 0, answer.out
        key = answer.json["result"]["object"].removeprefix(f"s3://{BUCKET}/")
        assert box.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read() == path.read_bytes()
    refused = vmie("import", path, "--as", "snapshot")
    assert "--skip-check VMIE-DISK-010  (with --as-is" in refused.json["error"]["cure"]


def test_as_it_is_a_file_of_any_kind_is_uploaded(box: Sandbox, vmie: Vmie, tmp_path: Path) -> None:
    path = tmp_path / "notes.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "nothing here")
    assert vmie("upload", path, f"s3://{BUCKET}/notes.zip").code == 2
    assert vmie("upload", path, f"s3://{BUCKET}/notes.zip", "--as-is").code == 0
    body = box.client("s3").get_object(Bucket=BUCKET, Key="notes.zip")["Body"].read()
    assert body == path.read_bytes()


def test_disks_with_signs_of_something_else_still_go(box: Sandbox, vmie: Vmie, tmp_path: Path) -> None:
    path = tmp_path / "crypt.raw"
    path.write_bytes(b"LUKS\xba\xbe\x00\x02" + bytes(1 << 20))
    assert vmie("import", path, "--as", "snapshot").code == 0
