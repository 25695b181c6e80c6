"""What is sent is judged on its way: damage ends it with its place, before any task, and leaves nothing in S3."""

from __future__ import annotations

import hashlib
import random
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Done
from tests.e2e.test_ingest_sandbox import appliance
from tests.sandbox.conftest import BUCKET, bootable
from tests.tools import run
from vmie import sandbox
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
MIB = 1 << 20
ROUTES = {
    "upload": (),
    "image": (),
    "snapshot": (),
    "instance": ("--instance-type", "m3.medium", "--platform", "Linux"),
}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000) as running:
        yield running


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stream-optimised VMDK of two parts."""
    folder = tmp_path_factory.mktemp("sound")
    raw = folder / "disk.raw"
    raw.write_bytes(bootable() + random.Random(3).randbytes(24 * MIB))
    path = folder / "disk.vmdk"
    run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, path])
    return path


def spoiled(sound: Path, folder: Path, at: int = 20 * MIB) -> Path:
    """The same with 32 bytes of a grain overwritten."""
    path = folder / "spoiled.vmdk"
    shutil.copy(sound, path)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * 32)
    return path


def send(vmie: Vmie, route: str, *argv: str | Path) -> Done:
    if route == "upload":
        return vmie("upload", *argv, f"s3://{BUCKET}/sent/", "--as-is")
    return vmie("import", "--skip-check", "all", *argv, "--as", route, *ROUTES[route])


def expect_nothing(box: Sandbox) -> None:
    """Neither an object nor parts of one, nor a task."""
    s3, ec2 = box.client("s3"), box.client("ec2")
    assert not s3.list_objects_v2(Bucket=BUCKET).get("Contents")
    assert not s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    assert not ec2.describe_import_image_tasks()["ImportImageTasks"]
    assert not ec2.describe_import_snapshot_tasks()["ImportSnapshotTasks"]
    assert not ec2.describe_conversion_tasks()["ConversionTasks"]


@pytest.mark.parametrize("route", ROUTES)
def test_a_grain_that_does_not_unpack_ends_the_upload(
    route: str, box: Sandbox, vmie: Vmie, sound: Path, tmp_path: Path
) -> None:
    done = send(vmie, route, spoiled(sound, tmp_path))
    error = done.json["error"]
    assert (done.code, error["code"]) == (2, "DamagedImage"), done.out
    assert "grain" in error["cause"]
    assert "byte 20,9" in error["cause"]
    assert "--skip-verify" in error["cure"]
    expect_nothing(box)


@pytest.mark.parametrize("route", ["upload", "image", "instance"])
def test_damage_is_sent_for_who_asks_for_it(route: str, box: Sandbox, vmie: Vmie, sound: Path, tmp_path: Path) -> None:
    done = send(vmie, route, spoiled(sound, tmp_path), "--skip-verify", *(() if route == "upload" else ("--no-wait",)))
    assert done.code == 0, done.out


@pytest.mark.parametrize("route", ROUTES)
def test_what_is_whole_is_sent(route: str, box: Sandbox, vmie: Vmie, sound: Path) -> None:
    done = send(vmie, route, sound)
    assert done.code == 0, done.out


def test_false_tables_end_it_before_a_byte_is_sent(box: Sandbox, vmie: Vmie, sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "false.vmdk"
    data = bytearray(sound.read_bytes())
    directory = int.from_bytes(data[56:64], "little") * 512
    table = int.from_bytes(data[directory : directory + 4], "little") * 512
    data[table : table + 4] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(data)
    done = send(vmie, "upload", path)
    assert (done.code, done.json["error"]["code"]) == (2, "DamagedImage")
    assert f"entry 0 of its grain table 0, at byte {table:,}" in done.json["error"]["cause"]
    expect_nothing(box)


def test_an_entry_that_leads_to_anothers_grain_is_found(box: Sandbox, vmie: Vmie, sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "twice.vmdk"
    data = bytearray(sound.read_bytes())
    directory = int.from_bytes(data[56:64], "little") * 512
    table = int.from_bytes(data[directory : directory + 4], "little") * 512
    data[table + 1000 : table + 1004] = data[table + 1004 : table + 1008]
    path.write_bytes(data)
    done = send(vmie, "upload", path)
    assert (done.code, done.json["error"]["code"]) == (2, "DamagedImage")
    assert "two entries of its grain tables" in done.json["error"]["cause"]
    expect_nothing(box)


def test_of_several_disks_none_stays(box: Sandbox, vmie: Vmie, sound: Path, tmp_path: Path) -> None:
    done = send(vmie, "image", sound, spoiled(sound, tmp_path))
    assert (done.code, done.json["error"]["code"]) == (2, "DamagedImage"), done.out
    (removed,) = done.json["result"]["removed"]
    assert removed.endswith("1-disk.vmdk")
    expect_nothing(box)


def test_parts_that_an_earlier_run_sent_are_judged_again(box: Sandbox, vmie: Vmie, sound: Path, tmp_path: Path) -> None:
    path = spoiled(sound, tmp_path, at=4 * MIB)
    box.faults.fail("CompleteMultipartUpload", code="AccessDenied", status=403)
    stopped = vmie("upload", path, f"s3://{BUCKET}/sent/", "--as-is", "--skip-verify")
    assert (stopped.code, stopped.json["error"]["code"]) == (5, "AccessDenied"), stopped.out
    assert box.client("s3").list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    done = send(vmie, "upload", path)
    assert (done.code, done.json["error"]["code"]) == (2, "DamagedImage"), done.out
    expect_nothing(box)


@pytest.fixture
def package(sound: Path, tmp_path: Path) -> Path:
    """An OVA, its .ovf beside it, with the disk of two parts and no manifest."""
    shutil.copy(sound, tmp_path / "disk.vmdk")
    return appliance(tmp_path, {"disk.vmdk": tmp_path / "disk.vmdk"})


def manifest(folder: Path, *, algorithm: str = "SHA256", false: str = "") -> Path:
    lines = []
    for name in ("machine.ovf", "disk.vmdk"):
        digest = hashlib.new(algorithm.lower(), (folder / name).read_bytes()).hexdigest()
        lines.append(f"{algorithm}({name})= {'0' * len(digest) if name == false else digest}\n")
    path = folder / "machine.mf"
    path.write_text("".join(lines))
    return path


def packed(package: Path, *, false: str = "", algorithm: str = "SHA256") -> Path:
    with tarfile.open(package, "a") as tar:
        tar.add(manifest(package.parent, false=false, algorithm=algorithm), "machine.mf")
    return package


@pytest.mark.parametrize(
    ("route", "algorithm"),
    [("upload", "SHA1"), ("image", "SHA256"), ("image", "SHA512"), ("snapshot", "SHA256"), ("instance", "SHA256")],
)
def test_a_file_that_is_not_as_its_manifest_says_ends_the_upload(
    route: str, algorithm: str, box: Sandbox, vmie: Vmie, package: Path
) -> None:
    done = send(vmie, route, packed(package, false="disk.vmdk", algorithm=algorithm))
    assert (done.code, done.json["error"]["code"]) == (2, "DamagedImage"), done.out
    assert "'disk.vmdk' has the digest" in done.json["error"]["cause"]
    expect_nothing(box)


@pytest.mark.parametrize("route", ["upload", "image", "snapshot"])
def test_an_appliance_that_is_as_its_manifest_says_is_sent(route: str, box: Sandbox, vmie: Vmie, package: Path) -> None:
    done = send(vmie, route, packed(package))
    assert done.code == 0, done.out


def test_a_descriptor_that_was_changed_by_hand_is_told_from_its_disks(box: Sandbox, vmie: Vmie, package: Path) -> None:
    done = send(vmie, "image", packed(package, false="machine.ovf"))
    assert done.code == 2
    assert "'machine.ovf' has the digest" in done.json["error"]["cause"]
    assert "make its manifest (.mf) anew" in done.json["error"]["cure"]
    assert "'disk.vmdk'" not in done.json["error"]["cause"]
    expect_nothing(box)


@pytest.mark.parametrize("false", ["disk.vmdk", "machine.ovf", ""])
def test_the_files_beside_a_descriptor_are_compared_too(false: str, box: Sandbox, vmie: Vmie, package: Path) -> None:
    manifest(package.parent, false=false)
    done = send(vmie, "image", package.with_name("machine.ovf"))
    assert done.code == (2 if false else 0), done.out
    if false:
        assert f"'{false}' has the digest" in done.json["error"]["cause"]
        expect_nothing(box)


def test_what_a_manifest_leaves_open_is_said_and_sent(box: Sandbox, vmie: Vmie, package: Path) -> None:
    with tarfile.open(package, "a") as tar:
        path = package.with_name("machine.mf")
        path.write_text("SHA256(gone.iso)= 00\nMD5(disk.vmdk)= 00\n")
        tar.add(path, "machine.mf")
    done = send(vmie, "image", package)
    assert done.code == 0, done.out
    for words in ("'gone.iso' stands in the manifest, and is not there", "'disk.vmdk' has a digest by MD5"):
        assert words in done.err
