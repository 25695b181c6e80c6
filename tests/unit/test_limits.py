"""AWS's numbers: whole, sourced, and the same wherever they are used."""

from __future__ import annotations

import re

from vmie import limits
from vmie.model import Profile
from vmie.poll import GateSettings, Pool, WaitSettings
from vmie.settings import Settings


def test_the_seed_s_numbers() -> None:
    seed = {limit.id: limit.seed for limit in limits.ALL}
    assert seed["concurrent-imports"] == 20
    assert seed["concurrent-conversions"] == 5
    assert seed["concurrent-exports"] == 5
    assert seed["task-seconds"] == 7 * 24 * 3600
    assert seed["disk-bytes"] == 1 << 40
    assert limits.DISK_BYTES.of(Profile.Y2016) < limits.DISK_BYTES.of(Profile.CURRENT)


def test_every_number_has_an_id_a_unit_and_a_source() -> None:
    assert len({limit.id for limit in limits.ALL}) == len(limits.ALL) > 20
    for limit in limits.ALL:
        assert limit.title
        assert limit.unit
        assert limit.source
        assert limit.value > 0
        assert limit.as_json()["value"] == limit.value


def test_the_gate_the_wait_and_the_settings_use_these_numbers() -> None:
    gate, wait, settings = GateSettings(), WaitSettings(), Settings()
    assert gate.limit(Pool.IMPORTS) == settings.import_limit == limits.CONCURRENT_IMPORTS.value
    assert gate.limit(Pool.CONVERSIONS) == settings.conversion_limit == limits.CONCURRENT_CONVERSIONS.value
    assert gate.limit(Pool.EXPORTS) == settings.export_limit == limits.CONCURRENT_EXPORTS.value
    assert wait.deadline == settings.deadline_seconds == limits.TASK_SECONDS.value


def test_canonical_ids_are_64_hex_digits_and_the_rest_share_one() -> None:
    ids = [*limits.EXPORT_CANONICAL_IDS.values(), limits.export_canonical_id("us-east-1")]
    assert all(re.fullmatch(r"[0-9a-f]{64}", one) for one in ids)
    assert limits.export_canonical_id("us-east-1") == limits.export_canonical_id("eu-central-1")
    assert limits.export_canonical_id("us-gov-east-1") == limits.export_canonical_id("us-gov-west-1")
    assert len(set(ids)) == 21
