"""How many inputs a family gets: `make test` reads some of them, `make soak` all."""

from __future__ import annotations

import os

import pytest

#: the soak's inputs of each family
FULL = {
    "plans": 30_000,
    "jobs": 20_000,
    "databases": 4_000,
    "appliances": 20_000,
    "policies": 26_000,
    "repairs": 100_000,
}
#: of which `make test` reads one in so many; a batch takes a second to open, a guest a tenth
_SHARE = {"databases": 200, "repairs": 4_000}


def inputs(family: str) -> list[object]:
    """For `parametrize`: the share of every run, and the whole of the soak. ``VMIE_FUZZ=N`` reads N of every family."""
    some = int(os.environ.get("VMIE_FUZZ", "0")) or FULL[family] // _SHARE.get(family, 80)
    return [some, pytest.param(FULL[family], marks=pytest.mark.soak)]
