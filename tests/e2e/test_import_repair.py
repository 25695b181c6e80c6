"""`vmie import --repair`: what arrives by every route is the mended disk, and all that was changed is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Done
from tests.e2e.test_repair import GUEST, MENDED, digests
from tests.linux_guest import convert, linux_disk, ova
from tests.sandbox.ebs_direct import BLOCK, client, content
from tests.tools import need, run
from vmie import disk, repair_image, sandbox
from vmie.errors import ImageError
from vmie.ops import mending
from vmie.sandbox import Sandbox
from vmie.sandbox.defaults import BUCKET

Vmie = Callable[..., Done]
INSTANCE = ("--as", "instance", "--instance-type", "m3.medium")
RELEASE = ("--skip-check", "VMIE-FS-002")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000, appears_after=0) as running:
        yield running


@pytest.fixture(scope="module")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest as raw and as an appliance, and the same mended by `vmie repair`."""
    need("qemu-img", "mke2fs")
    folder = tmp_path_factory.mktemp("guests")
    raw = linux_disk(folder / "a.raw", GUEST, size=24)
    convert(raw, folder / "a.vmdk", "vmdk", "subformat=streamOptimized")
    ova(folder / "a.ova", folder / "a.vmdk")
    repair_image(raw, folder / "mended.raw")
    return folder


def result(done: Done) -> dict[str, Any]:
    assert done.code == 0, done.out + done.err
    return done.json["result"]  # type: ignore[no-any-return]


def tags(box: Sandbox, one: str) -> dict[str, str]:
    found = box.client("ec2").describe_tags(Filters=[{"Name": "resource-id", "Values": [one]}])["Tags"]
    return {tag["Key"]: tag["Value"] for tag in found}


def arrived(vmie: Vmie, made: str, folder: Path) -> Path:
    """The disk of an AMI or an instance, taken out again."""
    done = result(vmie("export", made, "--format", "vmdk", "--bucket", BUCKET, "--download", folder))
    return Path(done["downloaded"][0])


def test_every_route_takes_the_mended_disk(box: Sandbox, vmie: Vmie, guests: Path, tmp_path: Path) -> None:
    before = digests(guests)
    wanted = guests / "mended.raw"
    for source in ("a.raw", "a.vmdk", "a.ova"):
        made = result(vmie("import", guests / source, "--repair", *RELEASE))
        assert set(made["repaired"]["mended"]) == MENDED
        assert "/etc/fstab" in {one["path"] for one in made["repaired"]["changes"]}
        assert "geheim" not in json.dumps(made)
        assert set(tags(box, made["image_id"])[mending.TAG].split()) == MENDED
        (snapshot_id,) = made["snapshot_ids"]
        blocks = content(client(), snapshot_id)
        data = wanted.read_bytes()
        assert all(
            blocks[at // BLOCK] == data[at : at + BLOCK] for at in range(0, 24 << 20, BLOCK) if at // BLOCK in blocks
        )
    direct = result(vmie("import", guests / "a.ova", "--repair", "--as", "snapshot", "--via", "ebs", "--zeros", "all"))
    found = content(client(), direct["snapshot_ids"][0])
    assert b"".join(found[index] for index in sorted(found))[: wanted.stat().st_size] == wanted.read_bytes()
    assert set(direct["repaired"]["mended"]) == MENDED
    older = result(
        vmie("import", guests / "a.raw", "--repair", "--as", "instance", "--instance-type", "m3.medium", *RELEASE)
    )
    run(["qemu-img", "compare", str(wanted), str(arrived(vmie, older["instance_id"], tmp_path))])
    assert digests(guests) == before


def test_without_findings_there_is_no_tag(box: Sandbox, vmie: Vmie, guests: Path) -> None:
    made = result(vmie("import", guests / "mended.raw", "--repair", "--as", "snapshot", "--via", "ebs"))
    assert made["repaired"]["changes"] == []
    assert mending.TAG not in tags(box, made["snapshot_ids"][0])


def test_the_plan_says_it_and_what_does_not_go_together_is_said(box: Sandbox, vmie: Vmie, guests: Path) -> None:
    planned = result(vmie("import", guests / "a.raw", "--repair", "--dry-run", *RELEASE))["plan"]
    assert planned["disks"][0]["reasons"] == ["mended on the way: re-streamed"]
    assert set(planned["repaired"]["mended"]) == MENDED
    assert vmie("import", guests / "a.raw", "--repair", "--as-is").code == 2
    assert vmie("import", "s3://x/a.raw", "--repair").code == 2


def test_what_goes_on_lays_the_same_over_it(box: Sandbox, vmie: Vmie, guests: Path, tmp_path: Path) -> None:
    """The journal has the statement; a layer that came out another way is not mixed with what was sent."""
    refusal = {"code": "AccessDeniedException", "message": "not now", "status": 403}
    box.faults.fail("CompleteSnapshot", **refusal)
    failed = vmie("import", guests / "a.ova", "--repair", "--as", "snapshot", "--via", "ebs", "--zeros", "all")
    assert failed.code == 5
    (journal,) = (
        path for path in (tmp_path / "state").rglob("*") if path.is_file() and b"/etc/fstab" in path.read_bytes()
    )
    job = next(part for part in (*reversed(journal.parts), journal.stem) if part.startswith("job-")).split(".")[0]
    made = result(vmie("resume", job))
    assert set(made["repaired"]["mended"]) == MENDED
    found = content(client(), made["snapshot_ids"][0])
    assert b"".join(found[index] for index in sorted(found))[: 24 << 20] == (guests / "mended.raw").read_bytes()


class Selected:
    """The appliance, to be mended."""

    machine, empty_disks = "", False

    def __init__(self, path: Path) -> None:
        self.repair_of = (str(path),)


def test_a_layer_made_again_is_the_same(guests: Path) -> None:
    path = guests / "a.ova"
    first, second = mending.of(Selected(path)), mending.of(Selected(path))
    assert first.digest(path, 0) == second.digest(path, 0) != ""
    with disk.open(path) as opened:
        mending.over(opened, path, 0, Selected(path), expected=first.digest(path, 0))
        with pytest.raises(ImageError, match="other changes than the import began with"):
            mending.over(opened, path, 0, Selected(path), expected="0")
