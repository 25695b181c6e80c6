"""`vmie upload` to an S3 server that no one here wrote: what arrives, what is sent twice, what a bad network does."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import faultproxy, seaweed
from tests.e2e.conftest import Done
from tests.seaweed import Seaweed
from tests.tools import need, run
from vmie import cli

MIB = 1 << 20


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    need("weed")
    with seaweed.shared(tmp_path_factory.mktemp("seaweed")) as running:
        yield running


@pytest.fixture(scope="session")
def s3(server: Seaweed) -> Any:
    return server.client()


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sparse disk of 256 MiB with 48 MiB that do not compress and some text: 4 parts as a VMDK."""
    path = tmp_path_factory.mktemp("disks") / "disk.raw"
    rng = random.Random(5)
    with path.open("wb") as file:
        file.truncate(256 * MIB)
        for number in range(12):
            file.seek(number * 20 * MIB)
            file.write(rng.randbytes(4 * MIB) + b"text that compresses well " * 40_000)
    return path


class Cli:
    """`vmie` with a state folder of its own: in this process, or - to be killed - in another."""

    def __init__(
        self, server: Seaweed, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.server = server
        self.url = server.url
        self.environ = {**server.environ, "VMIE_STATE": str(state)}
        self.options: list[str] = []
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def start(self, *argv: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "vmie", *self._options, *map(str, argv)]
        environ = {**os.environ, **self.environ}
        return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __call__(self, *argv: str | Path) -> Done:
        for name, value in self.environ.items():
            self._monkeypatch.setenv(name, value)
        self._capsys.readouterr()
        code = cli.run([*self._options, *map(str, argv)])
        shown = self._capsys.readouterr()
        return Done(code, shown.out, shown.err)

    @property
    def _options(self) -> list[str]:
        return self.options or ["--endpoint-url", self.url, "--output", "json"]

    def jobs(self) -> list[dict[str, Any]]:
        return self("jobs").json["result"]["jobs"]  # type: ignore[no-any-return]


@pytest.fixture
def vmie(server: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(server, tmp_path / "state", monkeypatch, capsys)


def sent(done: Done) -> dict[str, Any]:
    assert done.code == 0, done.out + done.err
    return done.json["result"]  # type: ignore[no-any-return]


def fetched(s3: Any, url: str, folder: Path) -> Path:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    path = folder / f"back-{Path(key).name}"
    s3.download_file(bucket, key, str(path))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("form", ["raw", "qcow2", "vmdk", "vhdx", "ova", "gz"])
def test_what_comes_back_is_the_disk(form: str, vmie: Cli, s3: Any, raw: Path, tmp_path: Path) -> None:
    need("qemu-img")
    source = tmp_path / f"disk.{form}"
    if form == "gz":
        source.write_bytes(gzip.compress(raw.read_bytes(), 1))
    elif form == "ova":
        source = ova(raw, tmp_path)
    else:
        run(["qemu-img", "convert", "-f", "raw", "-O", form, raw, source])
    result = sent(vmie("upload", source, f"s3://images/{form}/", *(("--disk", "0") if form == "ova" else ())))
    back = fetched(s3, result["object"], tmp_path)
    assert result["format"] == "VMDK"
    run(["qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, back])
    assert result["bytes_sent"] == result["bytes_total"] == back.stat().st_size < raw.stat().st_size / 2
    assert result["bytes_read"] > 0


def ova(raw: Path, folder: Path) -> Path:
    """An OVA as qemu-img and tar make one."""
    vmdk = folder / "machine-disk1.vmdk"
    run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, vmdk])
    ovf = folder / "machine.ovf"
    ovf.write_text(
        '<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" '
        'xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><References>'
        f'<File ovf:id="f" ovf:href="{vmdk.name}" ovf:size="{vmdk.stat().st_size}"/></References><DiskSection>'
        f'<Info/><Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="{raw.stat().st_size}"/></DiskSection>'
        '<VirtualSystem ovf:id="m"><Info/></VirtualSystem></Envelope>'
    )
    path = folder / "machine.ova"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member in (ovf, vmdk):
            tar.add(member, member.name)
    return path


def test_an_ova_goes_as_it_is(vmie: Cli, s3: Any, raw: Path, tmp_path: Path) -> None:
    need("qemu-img")
    source = ova(raw, tmp_path)
    result = sent(vmie("upload", source, "s3://images/whole/"))
    assert (result["format"], result["object"]) == ("OVA", "s3://images/whole/machine.ova")
    assert digest(fetched(s3, result["object"], tmp_path)) == digest(source)


def test_an_incompressible_file_goes_as_it_is_and_is_known_again(vmie: Cli, s3: Any, tmp_path: Path) -> None:
    source = tmp_path / "random.raw"
    source.write_bytes(random.Random(6).randbytes(40 * MIB + 5))
    first = sent(vmie("upload", source, "s3://images/random", "--as-is"))
    assert first["bytes_sent"] == source.stat().st_size
    assert digest(fetched(s3, first["object"], tmp_path)) == digest(source)
    assert sent(vmie("upload", source, "s3://images/random", "--as-is"))["bytes_sent"] == 0
    # Nothing remembered, and another inode and time: the checksum that the server keeps decides.
    copy = tmp_path / "copy.raw"
    copy.write_bytes(source.read_bytes())
    vmie.environ["VMIE_STATE"] = str(tmp_path / "elsewhere")
    again = sent(vmie("upload", copy, "s3://images/random", "--as-is"))
    assert again["bytes_sent"] == 0
    changed = bytearray(source.read_bytes())
    changed[MIB] ^= 1
    copy.write_bytes(changed)
    assert vmie("upload", copy, "s3://images/random", "--as-is").json["error"]["code"] == "ObjectExists"
    assert sent(vmie("upload", copy, "s3://images/random", "--as-is", "--force"))["bytes_sent"] == len(changed)
    assert digest(fetched(s3, first["object"], tmp_path)) == digest(copy)


def killed_then_resumed(vmie: Cli, s3: Any, source: Path, *, key: str, rng: random.Random, folder: Path) -> None:
    """SIGKILL at a random moment after the upload began; then the job goes on, and sends little twice."""
    process = vmie.start("upload", source, f"s3://images/{key}", "--max-rate", "60M")
    deadline = time.monotonic() + 60
    while not uploads(s3, key) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 1.2))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    held = sum(part["Size"] for one in uploads(s3, key) for part in parts(s3, key, one["UploadId"]))
    found = [job for job in vmie.jobs() if job["kind"] == "upload" and job["status"] == "interrupted"]
    if not found:  # it had ended before
        return
    result = sent(vmie("resume", found[0]["job"]))
    # What the server held when the sender died is not sent again, not a byte of it.
    assert result["bytes_sent"] <= result["bytes_total"] - held
    back = fetched(s3, result["object"], folder)
    run(["qemu-img", "compare", "-f", "raw", "-F", "vmdk", source, back])
    back.unlink()


def uploads(s3: Any, key: str) -> list[dict[str, Any]]:
    found = s3.list_multipart_uploads(Bucket="images", Prefix=key).get("Uploads", [])
    return [one for one in found if one["Key"] == key]


def parts(s3: Any, key: str, upload_id: str) -> list[dict[str, Any]]:
    return s3.list_parts(Bucket="images", Key=key, UploadId=upload_id).get("Parts", [])  # type: ignore[no-any-return]


def test_killed_at_any_moment_it_goes_on(vmie: Cli, s3: Any, raw: Path, tmp_path: Path) -> None:
    need("qemu-img")
    rng = random.Random(7)
    for number in range(5):
        killed_then_resumed(vmie, s3, raw, key=f"killed-{number}", rng=rng, folder=tmp_path)


@pytest.mark.soak
def test_killed_fifty_times_it_goes_on(vmie: Cli, s3: Any, raw: Path, tmp_path: Path) -> None:
    need("qemu-img")
    rng = random.Random(8)
    for number in range(50):
        killed_then_resumed(vmie, s3, raw, key=f"killed-often-{number}", rng=rng, folder=tmp_path)


def interrupted(vmie: Cli, s3: Any, source: Path, key: str, *options: str) -> str:
    """Kill an upload once the server holds a part of it; the job."""
    process = vmie.start("upload", source, f"s3://images/{key}", "--max-rate", "12M", *options)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if any(parts(s3, key, one["UploadId"]) for one in uploads(s3, key)):
            break
        time.sleep(0.02)
    process.kill()
    process.communicate()
    return next(str(job["job"]) for job in vmie.jobs() if job["status"] == "interrupted")


def test_a_changed_source_is_refused_and_cancel_leaves_nothing(vmie: Cli, s3: Any, raw: Path, tmp_path: Path) -> None:
    source = tmp_path / "mine.raw"
    source.write_bytes(raw.read_bytes())
    s3.put_object(Bucket="images", Key="mine", Body=b"of somebody else")
    job = interrupted(vmie, s3, source, "mine", "--force")
    with source.open("r+b") as file:
        file.write(b"changed")
    refused = vmie("resume", job)
    assert (refused.code, refused.json["error"]["code"]) == (2, "SourceChanged")
    assert f"vmie cancel {job}" in refused.json["error"]["cure"]
    shown = next(one for one in vmie.jobs() if one["job"] == job)
    assert shown["object"] == "s3://images/mine"
    assert shown["bytes_held"] is not None
    assert vmie("cancel", job).code == 0
    assert uploads(s3, "mine") == []
    # What was at that key before the upload began is not the job's to delete.
    assert s3.get_object(Bucket="images", Key="mine")["Body"].read() == b"of somebody else"
    assert next(one for one in vmie.jobs() if one["job"] == job)["bytes_held"] is None


def test_parts_that_differ_are_sent_again(vmie: Cli, s3: Any, raw: Path, tmp_path: Path) -> None:
    """As if another processor had deflated them to other bytes: the checksum decides, never the place."""
    need("qemu-img")
    job = interrupted(vmie, s3, raw, "differs")
    (upload,) = uploads(s3, "differs")
    held = parts(s3, "differs", upload["UploadId"])
    other = random.Random(9).randbytes(held[0]["Size"])
    number = held[0]["PartNumber"]
    named = {"Bucket": "images", "Key": "differs", "UploadId": upload["UploadId"], "PartNumber": number}
    s3.upload_part(**named, Body=other, ChecksumAlgorithm="SHA256")
    result = sent(vmie("resume", job))
    whole = sum(part["Size"] for part in held[1:])
    # (A part may have arrived after its sender was killed.)
    assert len(other) <= result["bytes_sent"] <= result["bytes_total"] - whole
    run(["qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, fetched(s3, result["object"], tmp_path)])


def through_faults(vmie: Cli, s3: Any, source: Path, *, wanted: str, seed: int, folder: Path) -> str:
    """One upload over a network with a schedule of faults: byte-identical, or a failure that says how to go on."""
    key = f"fault-{seed}"
    vmie.environ |= {"VMIE_STALL_SECONDS": "0.5", "VMIE_PATIENCE_SECONDS": "2"}
    rng = random.Random(seed)
    schedule = faultproxy.schedule(seed, faults=rng.choice((3, 8, 20, 40)), most=rng.choice((500, 200_000, 20 * MIB)))
    with faultproxy.between(vmie.server.port, schedule) as proxy:
        vmie.url = proxy.url
        begun = time.monotonic()
        done = vmie("upload", source, f"s3://images/{key}")
        assert time.monotonic() - begun < 90, proxy.seen
    if done.code != 0:
        shown = done.json["error"]
        assert done.code in (1, 5), (shown, done.err)
        assert shown["code"] != "Fault", (shown, done.err)
        started = vmie.jobs()
        if not started:  # not one call got through: nothing was begun
            return "refused"
        assert f"vmie resume {started[0]['job']}" in shown["cure"], shown
        vmie.url = vmie.server.url
        vmie.environ |= {"VMIE_STALL_SECONDS": "30", "VMIE_PATIENCE_SECONDS": "60"}
        done = vmie("resume", started[0]["job"])
    result = sent(done)
    back = fetched(s3, result["object"], folder)
    assert digest(back) == wanted, proxy.seen
    back.unlink()
    s3.delete_object(Bucket="images", Key=key)
    return "identical"


@pytest.fixture(scope="session")
def wanted(light: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    from vmie import disk
    from vmie.disk import stream

    found = hashlib.sha256()
    with disk.open(light) as opened:
        for piece in stream.stream_optimized(opened):
            found.update(piece)
    return found.hexdigest()


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk that is 3 parts as a VMDK: for what is done often."""
    path = tmp_path_factory.mktemp("light") / "disk.raw"
    path.write_bytes(random.Random(11).randbytes(34 * MIB))
    return path


@pytest.fixture
def network(request: pytest.FixtureRequest, wanted: str) -> tuple[int, str]:
    """The seed of a schedule of faults, and the digest of the object that must come of it all the same."""
    return request.param, wanted


@pytest.mark.parametrize("network", range(6), indirect=True)
def test_a_bad_network_never_makes_another_object(
    network: tuple[int, str], vmie: Cli, s3: Any, light: Path, tmp_path: Path
) -> None:
    through_faults(vmie, s3, light, wanted=network[1], seed=network[0], folder=tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("network", range(6, 206), indirect=True)
def test_two_hundred_bad_networks_never_make_another_object(
    network: tuple[int, str], vmie: Cli, s3: Any, light: Path, tmp_path: Path
) -> None:
    through_faults(vmie, s3, light, wanted=network[1], seed=network[0], folder=tmp_path)


def test_a_rate_is_kept(vmie: Cli, tmp_path: Path) -> None:
    source = tmp_path / "random.raw"
    source.write_bytes(random.Random(10).randbytes(12 * MIB))
    result = sent(vmie("upload", source, "s3://images/slow", "--as-is", "--max-rate", "4M"))
    assert 2.5 <= result["seconds"] <= 6


def test_an_endpoint_of_botocores_own_setting_is_used(vmie: Cli, s3: Any, raw: Path) -> None:
    vmie.environ["AWS_ENDPOINT_URL"] = vmie.url
    vmie.options = ["--output", "json"]
    assert sent(vmie("upload", raw, "s3://images/by-setting"))["bytes_sent"] > 0
    assert s3.head_object(Bucket="images", Key="by-setting")["ContentLength"] > 0


def test_dry_run_says_why_and_sends_nothing(vmie: Cli, s3: Any, raw: Path) -> None:
    plan = vmie("--dry-run", "upload", raw, "s3://images/never").json["result"]["plan"]
    assert (plan["method"], plan["format"]) == ("vmdk", "VMDK")
    assert plan["reasons"]
    assert plan["bytes_at_most"] > 0
    assert uploads(s3, "never") == []
    assert "Contents" not in s3.list_objects_v2(Bucket="images", Prefix="never")
    assert vmie.jobs() == []


def test_what_it_prints_is_json(vmie: Cli, raw: Path) -> None:
    done = vmie("upload", raw, "s3://images/no-such/../x")
    assert json.loads(done.out)["vmie"] == 1
