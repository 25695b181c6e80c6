"""Progress in words."""

from __future__ import annotations

from vmie.cli.progress import ProgressMeter
from vmie.events import Progress

MIB = 1 << 20


def test_rate_ratio_and_what_is_left_count_from_the_first_word() -> None:
    meter = ProgressMeter()
    assert "/s" not in meter.line(Progress("upload", 100 * MIB, 1100 * MIB, 0), 5.0)
    line = meter.line(Progress("upload", 300 * MIB, 1100 * MIB, 75 * MIB), 7.0)
    assert line == "upload: 300.0 MiB of 1.1 GiB, 75.0 MiB sent, 100.0 MiB/s, 8 s left"


def test_what_is_not_known_is_not_said() -> None:
    meter = ProgressMeter()
    assert " of " not in meter.line(Progress("download", 0), 0.0)
    assert "left" not in meter.line(Progress("download", 5 * MIB), 2.0)


def test_long_times_are_in_hours() -> None:
    meter = ProgressMeter()
    meter.line(Progress("upload", 0, 100_000 * MIB), 0.0)
    assert meter.line(Progress("upload", MIB, 100_000 * MIB), 1.0).endswith("27.8 h left")


def test_no_more_is_done_than_there_is() -> None:
    """The amount of data is an estimate: the last part may end behind it."""
    assert "upload: 50.0 MiB of 50.0 MiB" in ProgressMeter().line(Progress("upload", 86 * MIB, 50 * MIB, 90 * MIB), 1.0)
