"""Plans that send what changed: the same disks as snapshots first, and in the end all that the plan says."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmie.batch.model import BatchPlan, ItemKind
from vmie.batch.plan import deltas, validate
from vmie.errors import UsageError
from vmie.options import ImportRequest
from vmie.settings import Settings

ITEMS = """
defaults: {via: ebs, region: us-east-1, encrypted: true}
items:
  - {source: web.raw, route: snapshot, register: moved-web, imds_v2: true, tags: {team: red}}
  - {source: db.raw, route: image, platform: Linux, license_type: BYOL, role_name: other}
  - {source: data.raw, route: volume, availability_zone: us-east-1a, volume_size: 9}
"""


def loaded(folder: Path, text: str) -> BatchPlan:
    for name in ("web", "db", "data"):
        (folder / f"{name}.raw").write_bytes(bytes(1 << 20))
    plan = folder / "plan.yaml"
    plan.write_text(text)
    return validate.load(plan, settings=Settings())


def test_synced_are_snapshots_based_on_the_last_ones(tmp_path: Path) -> None:
    for item in deltas.synced(loaded(tmp_path, ITEMS)).items:
        request = ImportRequest.from_json(item.request)
        assert item.kind is ItemKind.SNAPSHOT
        assert (request.route, request.via, request.parent, request.encrypted) == ("snapshot", "ebs", "last", True)
        assert (request.register, request.license_type, request.role_name) == ("", "", None)
        assert (request.volume_size, request.availability_zone) == (None, "")
    assert deltas.synced(loaded(tmp_path, ITEMS)).items[0].request["tags"] == {"team": "red"}


def test_cut_over_is_the_plan(tmp_path: Path) -> None:
    plan = loaded(tmp_path, ITEMS)
    for before, after in zip(plan.items, deltas.cut_over(plan).items, strict=True):
        assert after.kind is before.kind
        assert dict(after.request) == {**before.request, "parent": "last"}


@pytest.mark.parametrize(
    "item", ["{source: web.raw, route: snapshot}", "{source: i-0123456789abcdef0, format: vmdk, bucket: vmie-out}"]
)
def test_what_does_not_go_by_ebs_is_refused(item: str, tmp_path: Path) -> None:
    plan = loaded(tmp_path, f"items:\n  - {item}\n")
    for change in (deltas.synced, deltas.cut_over):
        with pytest.raises(UsageError, match="does not go block by block"):
            change(plan)
