"""What an import sends, in the sandbox: packed disks, appliances taken apart, copies inside S3, how it is kept."""

from __future__ import annotations

import gzip
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.e2e.conftest import APPEARS_AFTER, Done
from tests.linux_guest import linux_disk
from tests.sandbox.conftest import BUCKET, bootable
from tests.tools import need, run
from tests.unit.disk.vma_writer import write
from vmie import sandbox
from vmie.aws import copying
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
MIB = 1 << 20
IMPORT = ("import", "--skip-check", "all")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000) as running:
        yield running


def keys(box: Sandbox, bucket: str = BUCKET) -> list[str]:
    return [entry["Key"] for entry in box.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]


def done(answer: Done) -> dict[str, Any]:
    assert answer.code == 0, answer.out + answer.err
    return answer.json["result"]  # type: ignore[no-any-return]


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_disk_is_unpacked_on_the_way(
    suffix: str, box: Sandbox, vmie: Vmie, disk: Path, tmp_path: Path
) -> None:
    need("qemu-img")
    packed = tmp_path / f"packed.raw.{suffix}"
    packed.write_bytes(PACKERS[suffix](disk.read_bytes()))
    result = done(vmie(*IMPORT, packed, "--keep-object"))
    back = tmp_path / "back.vmdk"
    bucket, _, key = result["object"].removeprefix("s3://").partition("/")
    back.write_bytes(box.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    run(["qemu-img", "compare", "-f", "raw", "-F", "vmdk", disk, back])
    refused = vmie(*IMPORT, packed, "--as-is")
    assert refused.code == 2
    assert "packed" in refused.json["error"]["message"]


def appliance(folder: Path, disks: dict[str, bytes | Path]) -> Path:
    files = "".join(f'<File ovf:id="f{n}" ovf:href="{name}"/>' for n, name in enumerate(disks))
    listed = "".join(
        f'<Disk ovf:diskId="d{n}" ovf:fileRef="f{n}" ovf:capacity="{2 * MIB}"/>' for n in range(len(disks))
    )
    items = "".join(
        f"<Item><rasd:InstanceID>{n + 10}</rasd:InstanceID><rasd:ResourceType>17</rasd:ResourceType>"
        f"<rasd:HostResource>ovf:/disk/d{n}</rasd:HostResource></Item>"
        for n in range(len(disks))
    )
    rasd = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
    ovf = folder / "machine.ovf"
    ovf.write_text(
        '<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" '
        f'xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="{rasd}"><References>{files}</References>'
        f'<DiskSection><Info/>{listed}</DiskSection><VirtualSystem ovf:id="m"><Info/><VirtualHardwareSection><Info/>'
        f"{items}</VirtualHardwareSection></VirtualSystem></Envelope>"
    )
    path = folder / "machine.ova"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.add(ovf, ovf.name)
        for name in disks:
            tar.add(folder / name, name)
    return path


def test_an_appliance_with_a_disk_that_aws_refuses_goes_disk_by_disk(
    box: Sandbox, vmie: Vmie, disk: Path, tmp_path: Path
) -> None:
    need("qemu-img")
    stream = tmp_path / "one.vmdk"
    run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", disk, stream])
    (tmp_path / "two.raw").write_bytes(bootable(mark=b"second"))
    odd = tmp_path / "two.qcow2"
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", tmp_path / "two.raw", odd])
    source = appliance(tmp_path, {"one.vmdk": stream, "two.qcow2": odd})
    plan = vmie("--dry-run", *IMPORT, source).json["result"]["plan"]
    assert [entry["format"] for entry in plan["disks"]] == ["VMDK", "VMDK"]
    assert "qcow2" in plan["disks"][0]["reasons"][0]
    result = done(vmie(*IMPORT, source, "--keep-object"))
    assert len(result["snapshot_ids"]) == 2
    ours = sorted(key for key in keys(box) if key.startswith("vmie/"))
    for key, raw in zip(ours, (disk, tmp_path / "two.raw"), strict=True):
        back = tmp_path / "back.vmdk"
        back.write_bytes(box.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())
        run(["qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, back])


def test_how_an_object_is_kept_is_asked_of_s3(box: Sandbox, vmie: Vmie, disk: Path) -> None:
    options = ("--storage-class", "STANDARD_IA", "--sse", "AES256", "--max-rate", "100M", "--keep-object")
    result = done(vmie(*IMPORT, disk, *options))
    head = box.client("s3").head_object(Bucket=BUCKET, Key=result["object"].removeprefix(f"s3://{BUCKET}/"))
    assert (head["StorageClass"], head["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")
    uploaded = done(vmie("upload", disk, f"s3://{BUCKET}/kept.vmdk", "--sse", "AES256"))
    assert uploaded["bytes_sent"] > 0
    # Kept otherwise, it is another object: the same content is sent again.
    again = done(vmie("upload", disk, f"s3://{BUCKET}/kept.vmdk", "--storage-class", "ONEZONE_IA"))
    assert again["bytes_sent"] > 0
    refused = vmie("upload", disk, f"s3://{BUCKET}/x", "--storage-class", "DEEP_ARCHIVE")
    assert (refused.code, "restored" in refused.json["error"]["message"]) == (2, True)


@pytest.fixture
def far(box: Sandbox) -> Any:
    s3 = box.client("s3", region="eu-west-1")
    s3.create_bucket(Bucket="far-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    box.advance(APPEARS_AFTER)
    return s3


def test_a_source_elsewhere_is_copied_inside_s3(box: Sandbox, far: Any, vmie: Vmie) -> None:
    far.put_object(Bucket="far-bucket", Key="images/disk.raw", Body=bootable())
    refused = vmie(*IMPORT, "s3://far-bucket/images/disk.raw")
    assert refused.code == 5
    assert "--copy" in refused.json["error"]["cure"]
    result = done(vmie(*IMPORT, "s3://far-bucket/images/disk.raw", "--copy"))
    assert result["object"].startswith(f"s3://{BUCKET}/vmie/job-")
    assert result["bytes_sent"] == 0
    assert not [key for key in keys(box) if key.startswith("vmie/")]  # the copy was ours, and goes
    assert keys(box, "far-bucket") == ["images/disk.raw"]  # the source was not


def test_a_copy_in_parts_goes_on_where_it_stopped(
    box: Sandbox, far: Any, vmie: Vmie, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "PART", 5 * MIB)
    content = bootable() + random.Random(1).randbytes(20 * MIB)
    far.put_object(Bucket="far-bucket", Key="disk.raw", Body=content)
    command = (*IMPORT, "s3://far-bucket/disk.raw", "--copy", "--keep-object")
    copied: list[int] = []
    original = copying._Copier._copy

    def third_time_out(self: Any, upload_id: str, part: Any) -> Any:
        if len(copied) == 3:
            raise KeyboardInterrupt
        copied.append(part.number)
        return original(self, upload_id, part)

    with monkeypatch.context() as patch:
        patch.setattr(copying._Copier, "_copy", third_time_out)
        stopped = vmie(*command)
    assert stopped.code == 130
    monkeypatch.setattr(copying._Copier, "_copy", lambda *given: (copied.append(given[2].number), original(*given))[1])
    result = done(vmie(*command))
    assert sorted(copied) == [1, 2, 3, 4, 5]
    key = result["object"].removeprefix(f"s3://{BUCKET}/")
    assert box.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read() == content


def test_an_upload_elsewhere_is_made_with_a_warning(box: Sandbox, far: Any, vmie: Vmie, disk: Path) -> None:
    answer = vmie("upload", disk, "s3://far-bucket/disk.vmdk")
    assert done(answer)["bytes_sent"] > 0
    assert "eu-west-1" in answer.err


def test_an_abandoned_upload_is_listed_and_cancelled(
    box: Sandbox, vmie: Vmie, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmie.aws import upload as uploads

    source = tmp_path / "random.raw"
    source.write_bytes(bootable() + random.Random(2).randbytes(40 * MIB))
    original = uploads._Sender._part

    def last_fails(self: Any, upload_id: str, part: Any, held: Any) -> Any:
        if part.number == 3:
            raise KeyboardInterrupt
        return original(self, upload_id, part, held)

    monkeypatch.setattr(uploads._Sender, "_part", last_fails)
    stopped = vmie(*IMPORT, source, "--as-is")
    assert stopped.code == 130
    (job,) = vmie("jobs").json["result"]["jobs"]
    assert (job["status"], job["object"]) == ("interrupted", stopped.json["result"]["object"])
    held = box.client("s3").list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert len(held) == 1
    assert job["bytes_held"] is not None
    assert vmie("cancel", job["job"]).code == 0
    assert "Uploads" not in box.client("s3").list_multipart_uploads(Bucket=BUCKET)
    assert vmie("jobs").json["result"]["jobs"][0]["bytes_held"] is None


def test_a_damaged_job_file_hides_no_other(vmie: Vmie, box: Sandbox, disk: Path, tmp_path: Path) -> None:
    done(vmie("upload", disk, f"s3://{BUCKET}/disk.vmdk"))
    (tmp_path / "state" / "jobs" / "job-20260101-000000-abcdef.json").write_text("{")
    found = {job["status"] for job in vmie("jobs").json["result"]["jobs"]}
    assert found == {"done", "damaged"}
    assert vmie("upload", disk, f"s3://{BUCKET}/other.vmdk").code == 0


@pytest.fixture
def linux(tmp_path: Path) -> Path:
    return linux_disk(tmp_path / "linux.raw")


@pytest.mark.parametrize("pack", ["qcow2.xz", "vmdk.gz", "app.zip", "ova.zst", "tar.gz"])
def test_a_pack_is_checked_inside_and_taken_apart_on_the_way(
    pack: str, box: Sandbox, vmie: Vmie, linux: Path, tmp_path: Path
) -> None:
    need("qemu-img")
    form = "qcow2" if pack == "qcow2.xz" else "vmdk"
    image = tmp_path / f"one.{form}"
    more = ["-o", "subformat=streamOptimized"] if form == "vmdk" else []
    run(["qemu-img", "convert", "-f", "raw", "-O", form, *more, linux, image])
    path = tmp_path / pack
    if pack == "app.zip":
        appliance(tmp_path, {"one.vmdk": image})
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(tmp_path / "machine.ovf", "machine.ovf")
            archive.write(image, "one.vmdk")
    elif pack == "tar.gz":
        with tarfile.open(path, "w:gz") as tar:
            tar.add(image, "one.vmdk")
    else:
        content = (appliance(tmp_path, {"one.vmdk": image}) if pack == "ova.zst" else image).read_bytes()
        path.write_bytes(PACKERS[path.suffix[1:]](content))
    shown = vmie("check", path)
    (checked,) = shown.json["result"]["images"]
    assert (shown.code, checked["guest"]["distribution"], checked["recommended"]) == (0, "debian", "image")
    result = done(vmie("import", path, "--keep-object"))
    back = tmp_path / "back.vmdk"
    back.write_bytes(box.client("s3").get_object(Bucket=BUCKET, Key=result["object"].split("/", 3)[3])["Body"].read())
    run(["qemu-img", "compare", "-f", "raw", "-F", "vmdk", linux, back])
    assert done(vmie("convert", path, tmp_path / "out.raw"))["virtual_size"] == linux.stat().st_size
    run(["qemu-img", "compare", "-f", "raw", "-F", "raw", linux, tmp_path / "out.raw"])
    refused = vmie("upload", path, f"s3://{BUCKET}/x", "--as-is")
    assert (refused.code, "packed" in refused.json["error"]["message"]) == (2, True)


def test_a_proxmox_backup_becomes_one_machine(box: Sandbox, vmie: Vmie, tmp_path: Path) -> None:
    need("qemu-img")
    boot, data = bootable(mark=b"boot"), bootable(mark=b"data")
    (tmp_path / "a.raw").write_bytes(boot)
    (tmp_path / "b.raw").write_bytes(data)
    archive = write({"drive-scsi0": data, "drive-scsi1": boot}, "boot: order=scsi1\nname: web\n")
    path = tmp_path / "vzdump-qemu-100.vma.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(archive))
    shown = vmie("check", path, "--route", "snapshot").json["result"]["images"][0]
    assert (shown["format"], len(shown["disks"])) == ("vma", 2)
    assert vmie("check", path, "--verify", "--route", "snapshot").code == 0
    result = done(vmie(*IMPORT, path, "--keep-object"))
    assert len(result["snapshot_ids"]) == 2
    ours = sorted(key for key in keys(box) if key.startswith("vmie/"))
    for key, raw in zip(ours, (tmp_path / "a.raw", tmp_path / "b.raw"), strict=True):
        back = tmp_path / "back.vmdk"
        back.write_bytes(box.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())
        run(["qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, back])
    assert done(vmie("upload", path, f"s3://{BUCKET}/b.vmdk", "--disk", "1"))["format"] == "VMDK"
    assert vmie("convert", path, tmp_path / "out.raw").code == 2
