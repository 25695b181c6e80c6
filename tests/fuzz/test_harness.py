"""The harness sees what it is there to see: each thing that no reader may do is a fault."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import harness
from vmie.errors import UsageError


def _system() -> None:
    os.system("true")


def _unpickle() -> None:
    pickle.loads(pickle.dumps(Path("x")))


def _take_memory() -> None:
    bytearray(harness.MEMORY + (64 << 20))


def _print(text: str) -> Callable[[], None]:
    return lambda: harness.printed({"text": text}, text)


def _refuse(message: str, cure: str) -> Callable[[], None]:
    def refuse() -> None:
        raise UsageError(message, cure=cure)

    return refuse


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (_system, "os.system"),
        (_unpickle, "pickle.find_class"),
        (_take_memory, "MemoryError"),
        (_refuse("something", ""), "no cure"),
        (_refuse("", "do something"), "without words"),
        (lambda: harness.utf8("\udc80"), "UnicodeEncodeError"),
        (lambda: 1 // 0, "ZeroDivisionError"),
    ],
)
def test_what_no_reader_may_do_is_a_fault(tmp_path: Path, read: Callable[[], None], said: str) -> None:
    tally = harness.run("none", 1, folder=tmp_path / "here", make=lambda _: None, read=lambda _: read())
    assert said in "".join(tally.faults.values())


def test_a_file_of_another_folder_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_bytes(b"k")
    (tmp_path / "here" / "link").symlink_to(tmp_path / "secret" / "key")
    for act in ((tmp_path / "here" / "link").read_bytes, (tmp_path / "elsewhere").touch):
        tally = harness.run("none", 1, folder=tmp_path / "here", make=lambda _: None, read=lambda _, act=act: act())
        assert "open" in "".join(tally.faults.values())


def test_what_is_right_is_none(tmp_path: Path) -> None:
    for read in (_print("\x1b[2J \u202e \udc80 é"), _refuse("\x1b[2J is wrong", "mend \udc80")):
        tally = harness.run("none", 3, folder=tmp_path / "here", make=lambda _: None, read=lambda _, read=read: read())
        assert not tally.faults
        assert tally.inputs == 3
