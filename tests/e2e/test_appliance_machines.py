"""An appliance of several machines, in the sandbox: refused by every verb, and each machine taken by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vmie as library
from tests.e2e.conftest import Done
from tests.sandbox.conftest import BUCKET, bootable
from tests.tools import need, run
from tests.unit.disk.appliances import pack
from tests.unit.disk.test_ovf_machines import NESTED, SCSI, envelope_of, hard_disk, system
from vmie import sandbox
from vmie.errors import ImageError
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
IMPORT = ("import", "--skip-check", "all", "--keep-object")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=20_000) as running:
        yield running


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """Machine web with disk a; machine db with disks b and c."""
    members = [(f"{key}.raw", bootable(mark=key.encode() * 8)) for key in "abc"]
    for name, data in members:
        (tmp_path / name).write_bytes(data)
    return pack(tmp_path / "app.ova", ("app.ovf", envelope_of(NESTED).encode()), *members)


def objects(box: Sandbox, prefix: str = "vmie/") -> list[str]:
    listed = box.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return sorted(entry["Key"] for entry in listed)


def same(box: Sandbox, key: str, raw: Path) -> None:
    """By qemu-img: the object holds the disk."""
    need("qemu-img")
    back = raw.with_suffix(".back")
    back.write_bytes(box.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())
    run(["qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, back])


@pytest.mark.parametrize(
    ("verb", "code"),
    [
        (("check",), 2),
        (("check", "--route", "snapshot"), 2),
        (("import",), 4),
        (("import", "--skip-check", "all"), 2),
        (("import", "--skip-check", "VMIE-OVA-005"), 2),
        (("import", "--as", "snapshot"), 4),
        (("upload",), 2),
        (("convert",), 2),
    ],
)
def test_without_a_name_every_verb_refuses(
    box: Sandbox, vmie: Vmie, app: Path, verb: tuple[str, ...], code: int
) -> None:
    target = {"upload": [f"s3://{BUCKET}/x.vmdk"], "convert": [app.with_name("out.vmdk")]}.get(verb[0], [])
    answer = vmie(verb[0], app, *target, *verb[1:])
    error = answer.json["error"]
    assert (answer.code, objects(box)) == (code, [])
    assert "web (Web server), db (Database)" in error["message"] + error["cause"]
    assert "--machine web" in error["cure"]
    assert "--skip-check" not in error["cure"]


def test_each_machine_is_imported_with_its_own_disks(box: Sandbox, vmie: Vmie, app: Path) -> None:
    web = vmie(*IMPORT, app, "--machine", "web").json["result"]
    db = vmie(*IMPORT, app, "--machine", "Database").json["result"]
    assert (len(web["snapshot_ids"]), len(db["snapshot_ids"])) == (1, 2)
    for job, disks in ((web["job"], "a"), (db["job"], "bc")):
        for key, name in zip(objects(box, f"vmie/{job}/"), disks, strict=True):
            same(box, key, app.with_name(f"{name}.raw"))


def test_one_disk_of_a_machine_is_checked_converted_and_uploaded(box: Sandbox, vmie: Vmie, app: Path) -> None:
    shown = vmie("check", app, "--machine", "db", "--route", "snapshot").json["result"]["images"][0]
    assert [one["path"] for one in shown["disks"]] == [str(app), f"{app}#1"]
    target = app.with_name("out.raw")
    assert vmie("convert", app, target, "--machine", "db", "--disk", "1").code == 0
    assert target.read_bytes() == app.with_name("c.raw").read_bytes()
    assert vmie("upload", app, f"s3://{BUCKET}/w.vmdk", "--machine", "web").code == 0
    same(box, "w.vmdk", app.with_name("a.raw"))
    assert vmie("upload", app, f"s3://{BUCKET}/c.vmdk", "--machine", "db", "--disk", "1").code == 0
    same(box, "c.vmdk", app.with_name("c.raw"))
    refused = vmie("upload", app, f"s3://{BUCKET}/w.ova", "--machine", "web", "--as-is")
    assert (refused.code, "--as-is" in refused.json["error"]["message"]) == (2, True)
    assert vmie("upload", app, f"s3://{BUCKET}/app.ova", "--as-is").json["result"]["format"] == "OVA"


def test_a_plan_takes_each_machine_as_an_item(box: Sandbox, vmie: Vmie, app: Path) -> None:
    plan = app.with_name("plan.yaml")
    plan.write_text(
        "defaults: {skip_check: all, keep_object: true}\nitems:\n"
        "  - {source: app.ova, machine: web}\n  - {source: app.ova, machine: db}\n"
    )
    result = vmie("batch", "run", plan).json["result"]
    items = {item["key"]: item for item in result["items"]}
    assert {key: item["status"] for key, item in items.items()} == {"app-web": "completed", "app-db": "completed"}
    assert len(items["app-db"]["snapshot_ids"]) == 2
    twice = plan.read_text().replace("machine: db", "machine: web")
    plan.write_text(twice)
    assert "is moved once" in vmie("batch", "run", plan).json["error"]["cause"]


def test_an_empty_disk_is_made_on_request(box: Sandbox, vmie: Vmie, tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bootable())
    disks = '<Disk ovf:diskId="a" ovf:fileRef="fa"/><Disk ovf:diskId="new" ovf:capacity="3145728"/>'
    text = envelope_of(system("vm", SCSI, hard_disk("a", "10"), hard_disk("new", "11", at="1")), disks=disks)
    (tmp_path / "vm.ovf").write_text(text)
    plan: Any = vmie("--dry-run", *IMPORT, tmp_path / "vm.ovf").json["result"]["plan"]
    assert len(plan["disks"]) == 1
    result = vmie(*IMPORT, tmp_path / "vm.ovf", "--empty-disks").json["result"]
    assert len(result["snapshot_ids"]) == 2
    (tmp_path / "zeros.raw").write_bytes(bytes(3 << 20))
    same(box, objects(box)[1], tmp_path / "zeros.raw")
    found = vmie("check", tmp_path / "vm.ovf")
    assert [one["message"] for one in found.json["findings"] if one["rule"] == "VMIE-OVA-006"] == [
        "disks without a file are left out: new"
    ]


def test_the_library_takes_the_same_names(app: Path) -> None:
    with pytest.raises(ImageError, match="holds 2 machines"):
        library.convert(app, app.with_name("out.raw"), disk=0)
    made = library.convert(app, app.with_name("out.raw"), machine="web")
    assert made.path.read_bytes() == app.with_name("a.raw").read_bytes()
    report = library.check(app, machine="db", route="snapshot")
    assert report.images[0].error is None
