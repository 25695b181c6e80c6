"""A batch whose AMIs are proved: few instances at once, each verdict told, none left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import amis
from tests.e2e.conftest import Done
from tests.linux_guest import files, linux_disk
from vmie import sandbox
from vmie.ops.prove.prover import Prover
from vmie.sandbox import Sandbox


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.start(seeded=True, speed=10_000) as running:
        yield running


def test_a_batch_is_proved_some_at_a_time(
    box: Sandbox, vmie: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        content = amis.without("nvme") if number == 2 else {**files(), "/etc/hostname": f"vm-{number}\n"}
        linux_disk(tmp_path / f"vm-{number}.raw", content, size=64)
    path = tmp_path / "plan.yaml"
    options = "via: ebs, as: snapshot, prove: true, skip_verify: true"
    items = "".join(f"  - {{source: vm-{number}.raw, register: vm-{number}}}\n" for number in range(3))
    path.write_text(f"limits: {{proofs: 1}}\ndefaults: {{{options}}}\nitems:\n{items}", encoding="utf-8")
    at_once = watched(monkeypatch)
    done = vmie("batch", "run", path)
    assert done.code == 3, done.out
    told = {item["key"]: item for item in done.json["result"]["items"]}
    assert [told[f"vm-{number}"]["status"] for number in range(3)] == ["completed", "completed", "failed"]
    assert told["vm-0"]["proved"] == "boots"
    assert told["vm-2"]["error"]["code"] == "NotProved"
    assert "the import itself is done" in told["vm-2"]["error"]["cause"]
    assert max(at_once) == 1
    ec2 = box.client("ec2")
    tags = [
        {one["Key"]: one["Value"] for one in image["Tags"]}
        for image in ec2.describe_images(Owners=["self"])["Images"]
        if image.get("Tags")
    ]
    assert sorted(one["vmie:proved"] for one in tags if "vmie:proved" in one) == ["boots", "boots", "fails"]
    filters = [{"Name": "tag-key", "Values": ["vmie:proof"]}, {"Name": "instance-state-name", "Values": ["running"]}]
    assert not ec2.describe_instances(Filters=filters)["Reservations"]


def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many proofs were under way, whenever one began."""
    lock, original = threading.Lock(), Prover.prove
    now, seen = 0, [0]

    def prove(self: Prover) -> Any:
        nonlocal now
        with lock:
            now += 1
            seen.append(now)
        try:
            return original(self)
        finally:
            with lock:
                now -= 1

    monkeypatch.setattr(Prover, "prove", prove)
    return seen
