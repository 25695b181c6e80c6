"""Disks that are in S3 already, and the names that uploads give them: the content decides, never the name."""

from __future__ import annotations

import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Done
from tests.sandbox.conftest import BUCKET, bootable
from tests.tools import need, run
from vmie import sandbox
from vmie.ops import upload_plan
from vmie.sandbox import Sandbox
from vmie.sandbox.fault_injection import Fault

Vmie = Callable[..., Done]
Image = Callable[..., bytes]
FORMS = {
    "vmdk": ("vmdk", "subformat=streamOptimized"),
    "vhd": ("vpc", "subformat=dynamic"),
    "vhdx": ("vhdx", "subformat=dynamic"),
    "raw": ("raw", ""),
}
LAUNCH = ("--platform", "Linux", "--instance-type", "m3.medium")
ROUTES: dict[str, tuple[str, ...]] = {
    "image": (),
    "snapshot": (),
    "instance": LAUNCH,
    "volume": ("--availability-zone", "us-east-1a"),
}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000) as running:
        yield running


def put(box: Sandbox, key: str, data: bytes) -> str:
    box.client("s3").put_object(Bucket=BUCKET, Key=key, Body=data)
    return f"s3://{BUCKET}/{key}"


@pytest.fixture
def image(disk: Path, tmp_path: Path) -> Image:
    """The disk in another form, by qemu-img."""

    def made(form: str, option: str = "") -> bytes:
        need("qemu-img")
        driver, usual = FORMS.get(form, (form, ""))
        out = tmp_path / f"made.{form}"
        options = ["-o", option or usual] if option or usual else []
        run(["qemu-img", "convert", "-f", "raw", "-O", driver, *options, disk, out])
        return out.read_bytes()

    return made


def planned(answer: Done) -> dict[str, Any]:
    assert answer.code == 0, answer.out
    return answer.json["result"]["plan"]["disks"][0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["server.raw", "server.vmdk", "server.vhd", "server", "server.backup"])
def test_the_content_says_what_an_object_is(box: Sandbox, vmie: Vmie, image: Image, form: str, name: str) -> None:
    url = put(box, name, image(form))
    answer = vmie("--dry-run", "import", url)
    assert planned(answer)["format"] == form.upper()
    suffix = name.partition(".")[2]
    assert ("whatever its name says" in answer.err) == (suffix in FORMS and suffix != form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("route", ["snapshot", "instance", "volume"])
def test_it_is_looked_at_on_every_route(box: Sandbox, vmie: Vmie, image: Image, form: str, route: str) -> None:
    answer = vmie("--dry-run", "import", put(box, "server.raw", image(form)), "--as", route, *ROUTES[route])
    if form == "vhdx" and route != "snapshot":
        assert answer.code == 4
        assert "does not take" in answer.json["error"]["message"]
        return
    assert planned(answer)["format"] == form.upper()
    assert planned(answer).get("volume_gib", 1) == 1  # what an object's header says, no option has to


@pytest.mark.parametrize("route", ["image", "snapshot", "volume"])
def test_a_vmdk_that_is_called_raw_becomes_the_disk_that_is_in_it(
    box: Sandbox, vmie: Vmie, image: Image, route: str
) -> None:
    url = put(box, "server.raw", image("vmdk"))
    result = vmie("import", url, "--as", route, *ROUTES[route]).json["result"]
    assert result["status"] == "completed"
    seen = box.client("ec2").describe_import_snapshot_tasks()["ImportSnapshotTasks"]
    assert [task["SnapshotTaskDetail"]["Format"] for task in seen] == (["VMDK"] if route == "snapshot" else [])


@pytest.mark.parametrize("asked", ["raw", "vhd", "vhdx", "ova"])
def test_a_form_that_the_content_is_not_is_refused_and_can_be_insisted_on(
    box: Sandbox, vmie: Vmie, image: Image, asked: str
) -> None:
    url = put(box, "server.raw", image("vmdk"))
    refused = vmie("--dry-run", "import", url, "--format", asked)
    assert refused.code == 2
    assert "is vmdk" in refused.json["error"]["message"]
    assert "--format vmdk" in refused.json["error"]["cure"]
    assert (
        planned(vmie("--dry-run", "import", url, "--format", asked, "--skip-check", "all"))["format"] == asked.upper()
    )
    assert planned(vmie("--dry-run", "import", url, "--format", "vmdk"))["format"] == "VMDK"


def test_what_aws_does_not_take_is_refused_before_the_call(box: Sandbox, vmie: Vmie, image: Image) -> None:
    for name, data in {
        "server.vmdk": image("vmdk", "subformat=monolithicSparse"),
        "server.raw": image("qcow2"),
        "server.img": image("vdi"),
    }.items():
        refused = vmie("import", put(box, name, data))
        assert refused.code == 4, name
        assert "aws s3 cp" in refused.json["error"]["cure"]
    assert box.client("ec2").describe_import_image_tasks()["ImportImageTasks"] == []


def _zip() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("notes.txt", "nothing")
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("server.raw", b"<!doctype html><html>403 Forbidden</html>\n" * 40),
        ("server.vmdk", b"%PDF-1.7\n" + bytes(range(256)) * 40),
        ("server.raw", _zip()),
        ("server.raw", b""),
        ("server.vmdk", b"KDMV" + bytes(200)),
        ("server.vhd", bytes(1 << 20)),
        ("server", bytes(1 << 20)),
    ],
    ids=["html", "pdf", "zip", "empty", "cut-vmdk", "zeros.vhd", "zeros"],
)
@pytest.mark.parametrize("route", ROUTES)
def test_what_is_no_disk_is_refused_before_the_call(
    box: Sandbox, vmie: Vmie, name: str, data: bytes, route: str
) -> None:
    refused = vmie("import", put(box, name, data), "--as", route, *ROUTES[route])
    assert refused.code in (2, 4), refused.out
    assert refused.json["error"]["cure"]


def test_what_may_not_be_read_needs_a_format_and_says_that_it_is_unseen(box: Sandbox, vmie: Vmie, image: Image) -> None:
    url = put(box, "server.vmdk", image("vmdk"))
    box.faults.add(Fault("fail", action="GetObject", code="AccessDenied", status=403, times=None))
    refused = vmie("import", url)
    assert refused.code == 5
    assert "--format" in refused.json["error"]["cure"]
    done = vmie("import", url, "--format", "vmdk")
    assert done.code == 0
    assert f"{url} may not be read: taken for vmdk, as was asked" in done.err
    volume = vmie("import", url, "--format", "vmdk", "--as", "volume", *ROUTES["volume"])
    assert (volume.code, "--volume-size" in volume.json["error"]["cure"]) == (2, True)


def test_only_a_little_of_the_object_is_read(box: Sandbox, vmie: Vmie, disk: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.raw"
    large.write_bytes(disk.read_bytes())
    with large.open("r+b") as file:
        file.truncate(64 << 20)
    url = put(box, "large.raw", large.read_bytes())
    answer = vmie("--log-format", "json", "--dry-run", "import", url)
    calls = [json.loads(line) for line in answer.err.splitlines() if '"AwsCall"' in line]
    assert 1 <= sum(call["operation"] == "GetObject" for call in calls) <= 12


@pytest.mark.parametrize("folder", ["in/", ""])
def test_an_upload_to_a_folder_is_named_for_what_is_sent(
    box: Sandbox, vmie: Vmie, disk: Path, tmp_path: Path, folder: str
) -> None:
    sent: dict[tuple[str, ...], str] = {
        ("server.raw",): "server.vmdk",
        ("server.raw", "--format", "raw"): "server.raw",
        ("server.raw", "--format", "vhd"): "server.vhd",
        ("server.img", "--as-is"): "server.img",
        ("server",): "server.vmdk",
        ("server-1.2", "--format", "raw"): "server-1.2.raw",
        ("server.vmdk", "--as-is"): "server.raw",
    }
    for (name, *options), key in sent.items():
        source = tmp_path / name
        source.write_bytes(disk.read_bytes())
        answer = vmie("upload", source, f"s3://{BUCKET}/{folder}", *options, "--force")
        assert answer.code == 0, answer.out
        assert answer.json["result"]["object"] == f"s3://{BUCKET}/{folder}{key}"
        looked = vmie("--dry-run", "import", answer.json["result"]["object"])
        assert planned(looked)["format"] == answer.json["result"]["format"]


@pytest.mark.parametrize("key", ["server.raw", "server.vhd", "server.qcow2", "a/server.ova", "server.raw.gz"])
def test_an_upload_whose_name_says_another_form_is_refused(box: Sandbox, vmie: Vmie, disk: Path, key: str) -> None:
    refused = vmie("upload", disk, f"s3://{BUCKET}/{key}")
    assert refused.code == 2
    assert "server.vmdk" in refused.json["error"]["cure"]
    assert "Contents" not in box.client("s3").list_objects_v2(Bucket=BUCKET)
    assert vmie("upload", disk, f"s3://{BUCKET}/server").code == 0


def body(box: Sandbox, key: str) -> bytes:
    return box.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random content that goes in several parts."""
    path = tmp_path_factory.mktemp("big") / "big.raw"
    path.write_bytes(bootable() + random.Random(5).randbytes(40 << 20))
    return path


@pytest.mark.parametrize("several", [False, True], ids=["whole", "in parts"])
@pytest.mark.parametrize("options", [(), ("--as-is",)], ids=["made", "as it is"])
def test_another_object_is_not_replaced_unless_that_is_said(
    box: Sandbox, vmie: Vmie, disk: Path, big: Path, *, several: bool, options: tuple[str, ...]
) -> None:
    source = big if several else disk
    url = put(box, "kept", b"of somebody else")
    refused = vmie("upload", source, url, *options)
    assert refused.code == 2
    error = refused.json["error"]
    assert (error["code"], "--force" in error["cure"]) == ("ObjectExists", True)
    assert body(box, "kept") == b"of somebody else"
    first = vmie("upload", source, url, *options, "--force")
    assert first.code == 0, first.out
    for again in (source, Path(shutil.copy(source, source.with_name("elsewhere.raw")))):
        there = vmie("upload", again, url, *options)  # the same content, at whatever path
        assert (there.code, there.json["result"]["bytes_sent"]) == (0, 0)
        assert "already" in there.err


@pytest.mark.parametrize("several", [False, True], ids=["whole", "in parts"])
def test_an_object_that_comes_meanwhile_is_not_replaced_either(
    box: Sandbox, vmie: Vmie, disk: Path, big: Path, monkeypatch: pytest.MonkeyPatch, *, several: bool
) -> None:
    source = big if several else disk
    settled = upload_plan.WatchedPayload.settled

    def late(self: Any) -> None:
        settled(self)
        put(box, "kept", b"of somebody else")

    monkeypatch.setattr(upload_plan.WatchedPayload, "settled", late)
    refused = vmie("upload", source, f"s3://{BUCKET}/kept")
    assert (refused.code, refused.json["error"]["code"]) == (2, "ObjectExists")
    assert body(box, "kept") == b"of somebody else"
    assert "Uploads" not in box.client("s3").list_multipart_uploads(Bucket=BUCKET)
    monkeypatch.undo()


@pytest.mark.parametrize("several", [False, True], ids=["whole", "in parts"])
@pytest.mark.parametrize("lost", ["PutObject", "CompleteMultipartUpload"])
def test_an_upload_whose_answer_was_lost_is_not_another(
    box: Sandbox, vmie: Vmie, disk: Path, big: Path, *, several: bool, lost: str
) -> None:
    box.faults.add(Fault("lose", action=lost, times=1))
    assert vmie("upload", big if several else disk, f"s3://{BUCKET}/kept").code == 0


def test_who_may_only_write_replaces_nothing(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    url = put(box, "kept", b"of somebody else")
    box.faults.add(Fault("fail", action="HeadObject", code="AccessDenied", status=403, times=None))
    refused = vmie("upload", disk, url)
    assert (refused.code, refused.json["error"]["code"]) == (2, "ObjectExists")
    assert body(box, "kept") == b"of somebody else"
