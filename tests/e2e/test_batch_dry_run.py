"""`vmie batch run --dry-run`: what a migration engineer reads before the weekend."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Done
from tests.sandbox.conftest import bootable
from vmie import cli, sandbox
from vmie.sandbox import Sandbox

Vmie = Callable[..., Done]
GIB = 1 << 30

PLAN = """\
name: move-2026
limits: {uploads: 4, imports: 3}
defaults: {tags: {project: move}, skip_check: all}
items:
  - {source: 'vm-*.raw'}
  - {source: sparse.raw, key: db, wave: 1, encrypted: true}
  - {source: s3://vmie-sandbox/nothing.vmdk, key: stored, wave: 1}
  - {source: s3://somebody-elses/x.vmdk, key: theirs, wave: 1}
  - {source: /rack/far.vmdk, queue: rack-2, wave: 2, after: db}
  - {source: vm-0.raw, key: again, wave: 2, after: stored, as: snapshot, except: null}
  - {source: late.raw, key: late, wave: 3, after: again}
  - {source: disk.raw, key: machine, route: instance, instance_type: m3.large, platform: Linux, wave: 2, volume_size: 8}
  - {source: disk2.raw, key: alone, route: volume, availability_zone: us-east-1a, wave: 2}
"""


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=10_000) as running:
        yield running


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    for number in range(6):
        (tmp_path / f"vm-{number}.raw").write_bytes(bootable(mark=b"%d" % number))
    for name in ("disk.raw", "disk2.raw", "late.raw"):
        (tmp_path / name).write_bytes(bootable(mark=name.encode()))
    with (tmp_path / "sparse.raw").open("wb") as file:
        file.write(bootable(mark=b"db"))
        file.truncate(40 * GIB)
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.replace("'vm-*.raw'}", "'vm-*.raw', except: vm-0.raw}"), encoding="utf-8")
    return path


def shown(vmie: Vmie, plan: Path) -> dict[str, Any]:
    done = vmie("--dry-run", "batch", "run", plan)
    assert done.code == 4, done.out + done.err
    return done.json["result"]["plan"]  # type: ignore[no-any-return]


def test_each_item_has_its_verdict_and_its_time(box: Sandbox, vmie: Vmie, plan: Path) -> None:
    whole = shown(vmie, plan)
    items = {item["key"]: item for item in whole["items"]}
    verdicts = {key: item["verdict"] for key, item in items.items() if not key.startswith("vm-")}
    assert {key for key, verdict in verdicts.items() if verdict == "fail"} == {"stored", "theirs"}
    assert verdicts["far"] == "unknown"
    assert (items["again"]["held_by"], items["late"]["held_by"]) == ("stored", "again")
    for key in ("stored", "theirs"):
        assert items[key]["says"]
        assert items[key]["cure"]
        assert items[key]["begins"] is None
    assert items["theirs"]["cure"] == "vmie setup-role --bucket somebody-elses --create-bucket --region us-east-1"
    assert (whole["total"], whole["blocked"]) == (13, 4)
    assert items["db"]["bytes_source"] == 40 * GIB
    assert items["db"]["bytes_at_most"] < 16 << 20, "holes are not sent"
    assert items["machine"]["calls"]["ImportInstance"] == 1
    assert items["alone"]["calls"]["ImportVolume"] == 1


def test_waves_follow_each_other_and_the_end_is_a_time_of_day(box: Sandbox, vmie: Vmie, plan: Path) -> None:
    whole = shown(vmie, plan)
    waves = {wave["wave"]: wave for wave in whole["waves"]}
    assert [waves[number]["blocked"] for number in range(4)] == [0, 2, 1, 1]
    times = [dt.datetime.fromisoformat(waves[number][name]) for number in range(3) for name in ("begins", "ends")]
    assert times == sorted(times)
    assert waves[3]["begins"] is None
    took = dt.datetime.fromisoformat(whole["ends"]) - dt.datetime.fromisoformat(whole["begins"])
    assert took.total_seconds() / 3600 == pytest.approx(whole["hours"], abs=0.05)
    # Five images of 40 minutes in three slots, then 40 GiB, then the one on the rack.
    assert whole["hours"] == pytest.approx((2 * 40 + 40 + 40 + 40) / 60, abs=0.1)


def test_money_is_told_with_its_sources(box: Sandbox, vmie: Vmie, plan: Path) -> None:
    cost = shown(vmie, plan)["cost"]
    assert cost["total"] == pytest.approx(sum(line["amount"] for line in cost["lines"]), abs=0.01)
    assert {"snapshots, each month", "volumes, each month", "transfer into AWS"} <= {
        line["what"] for line in cost["lines"]
    }
    assert all(figure["region"] == "us-east-1" for figure in cost["figures"])


def test_nothing_is_sent(box: Sandbox, vmie: Vmie, plan: Path) -> None:
    shown(vmie, plan)
    stats = box.stats.as_json()
    assert stats["tasks"] == {}
    changing = ("Put", "Create", "Delete", "Import", "Register", "Upload", "Copy", "Attach")
    assert [call for call in stats["calls"] if call.partition(":")[2].startswith(changing)] == []
    assert vmie("batch", "status").json["result"]["batches"] == []


def test_a_person_reads_it_in_80_columns(
    box: Sandbox, plan: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VMIE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run(["--dry-run", "batch", "run", str(plan)]) == 4
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "9 of 13 items ready, 4 blocked" in out
    assert "wave 1: 3 items, 2 blocked" in out
    assert "held up with them: again (after stored), late (after again)" in out
    assert "UTC" in out
    assert "estimates" in out
    assert " USD " in out


def test_an_unknown_profile_is_told_at_once(box: Sandbox, vmie: Vmie, tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(b"x")
    path = tmp_path / "plan.yaml"
    path.write_text("items: [{source: x.raw, profile: nobodys}]\n")
    done = vmie("--dry-run", "batch", "run", path)
    assert (done.code, done.json["error"]["code"]) == (2, "ProfileNotFound")


def test_places_are_told_apart(
    box: Sandbox, plan: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    plan.write_text(
        "items:\n  - {source: vm-1.raw, region: eu-west-1}\n  - {source: vm-2.raw}\n"
        "  - {source: vm-3.raw, region: eu-west-1}\n"
    )
    assert cli.run(["--dry-run", "batch", "run", str(plan)]) == 4
    lines = [line.split()[:3] for line in capsys.readouterr().out.splitlines() if line.startswith(("  - ", "  vm-"))]
    assert [words[2] if words[0] == "-" else words[0] for words in lines[:5]] == [
        "eu-west-1",
        "vm-1",
        "vm-3",
        "us-east-1",
        "vm-2",
    ]
