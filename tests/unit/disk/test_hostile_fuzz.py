"""Damaged images of every registered format: mutations that hypothesis picks, a bounded number in CI."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle.qemu_formats import FORMATS
from tests.unit.disk.hostile import Sample, bounded_memory, exercise, samples
from vmie import disk

_NUMBERS = st.one_of(
    st.sampled_from(
        [
            value + step
            for value in (0, *(1 << bits for bits in (7, 8, 15, 16, 31, 32, 40, 55, 63, 64)))
            for step in (-1, 0, 1)
        ]
    ),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, 1 << 24),
)


@st.composite
def _mutations(draw: st.DrawFn) -> list[tuple[float, str, int, bytes]]:
    """(place as a share of the structure bytes, how to align, flip mask, bytes to write)."""
    out = []
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.floats(0, 1, exclude_max=True))
        kind = draw(st.sampled_from(["number", "flip", "bytes"]))
        mask = draw(st.integers(1, 255))
        if kind == "number":
            width = draw(st.sampled_from([1, 2, 4, 8]))
            value = draw(_NUMBERS) & ((1 << 8 * width) - 1)
            data = value.to_bytes(width, draw(st.sampled_from(["little", "big"])))
        else:
            data = draw(st.binary(min_size=1, max_size=24))
        out.append((place, kind, mask, data))
    return out


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Sample]:
    """By name; a function, because hypothesis would print a dictionary of images in full."""
    images = samples(tmp_path_factory.mktemp("fuzz"))
    return lambda name: images[name]


def _names() -> list[str]:
    single = [each.name for each in FORMATS if "Flat" not in each.name and "twoGb" not in each.name]
    hand = [
        "hand-stream",
        "hand-zeroed",
        "hand-dynamic",
        "hand-fixed",
        "ova",
        "zip",
        "vma",
        "ovf",
        "gzip",
        "xz",
        "zstd",
    ]
    return [name for name in single if name not in ("vhdx-fixed", "vhdx-dynamic-64M")] + hand


def test_every_registered_format_has_a_sample_that_opens(sample: Callable[[str], Sample]) -> None:
    assert {sample(name).module for name in _names()} == set(disk.formats())
    for name in _names():
        if name != "ovf":  # alone, without its files
            assert exercise(sample(name).patched()), name


def _fuzz(sample: Sample, mutations: list[tuple[float, str, int, bytes]], cut: float | None, repair: bool) -> None:
    size = None if cut is None else int(len(sample.data) * cut)
    source = sample.patched(size)
    for place, kind, mask, data in mutations:
        at = sample.hot[int(place * len(sample.hot))]
        if kind == "flip":
            source.patch(at, bytes([sample.data[at] ^ mask]))
        else:
            source.patch(at - at % len(data) if kind == "number" else at, data)
    if repair and sample.repair:
        sample.repair(source)
    exercise(source)


_CUTS = st.one_of(st.none(), st.none(), st.none(), st.floats(0.001, 1.5))


@pytest.mark.parametrize("name", _names())
@given(mutations=_mutations(), cut=_CUTS, repair=st.booleans())
@settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_only_image_errors_come_out(
    name: str,
    sample: Callable[[str], Sample],
    mutations: list[tuple[float, str, int, bytes]],
    cut: float | None,
    repair: bool,
) -> None:
    with bounded_memory():
        _fuzz(sample(name), mutations, cut, repair)


@pytest.mark.soak
@pytest.mark.parametrize("name", _names())
@given(mutations=_mutations(), cut=_CUTS, repair=st.booleans())
@settings(max_examples=4000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_only_image_errors_come_out_at_length(
    name: str,
    sample: Callable[[str], Sample],
    mutations: list[tuple[float, str, int, bytes]],
    cut: float | None,
    repair: bool,
) -> None:
    with bounded_memory():
        _fuzz(sample(name), mutations, cut, repair)
