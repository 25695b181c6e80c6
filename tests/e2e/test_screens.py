"""Screens as a person sees them: tmux draws the real `vmie`, and the result is compared with docs/reference/screens.

`KEEP_SCREENS=1` keeps what is drawn, to be looked at and committed; `python docs/generate.py` then makes the page.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tools
from tests.linux_guest import convert, files, linux_disk
from tests.tools import ROOT
from vmie import sandbox
from vmie.batch.model import BatchPlan, ItemKind, PlanItem, State
from vmie.batch.store.locations import Locations

SCREENS = ROOT / "docs" / "reference" / "screens"
SIZES = ((80, 24), (100, 30), (200, 50))
BATCH = "batch-20260102-030405-a1b2c3"
SHOWN = {
    "help": "convert --help",
    "check": "check demo.ova",
    "folder": "check images",
    "import": "import demo.ova --name demo",
    "error": "import demo.ova --bucket my-images",
    "refused": "import images/web-02.qcow2",
    "batch": f"batch status {BATCH} --watch",
}
#: what is another one each time, with what stands for it in as many characters
CHANGING = (
    (r"(?<=[a-z]-)[0-9]{8}-[0-9]{6}-[0-9a-f]{6}\b", "20260102-030405-a1b2c3"),
    (r"(?<=[a-z]-)[0-9a-f]{17}\b", "0123456789abcdef0"),
    (r"\b[0-9]+\.[0-9] s\b", "1.2 s"),
    (r"\b[0-9.]+ [KMG]iB/s", "34.5 MiB/s"),
    (r"\b[0-9]+\.[0-9](?= an\b)", "240.0"),
    (r"\b[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}\b", "2026-01-02 05:06"),
    (r"/tmp/vmie-[a-z0-9_]{8}", "/home/you/machines"),
    (r"http://127\.0\.0\.1:[0-9]+", "http://127.0.0.1:5555"),
)


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with images and a batch of 500 in it, and the environment of a sandbox that stays."""
    tools.need("tmux", "qemu-img")
    with tempfile.TemporaryDirectory(prefix="vmie-", dir="/tmp") as made:  # a path that is as long each time
        yield from _world(Path(made))


def _world(folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    shutil.copy(ROOT / "examples" / "demo.ova", folder / "demo.ova")
    _images(folder)
    _batch(folder / "state")
    with sandbox.serve(seeded=True, speed=2_000) as box:
        own = {"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "VMIE_STATE": str(folder / "state"), "HOME": str(folder)}
        yield folder, {**os.environ, **box.environment(), **own, "VMIE_POLL_SECONDS": "0.1"}


def _images(folder: Path) -> None:
    """Thirty: half of them good, some with an unknown kernel or an fstab of another machine, one that is none."""
    foreign = {**files(), "/etc/fstab": "UUID=11111111-5d0a-4c1c-9b86-2a4f0c0f9d51 / ext4 defaults 0 1\n"}
    contents = {"good": files(), "bad": files("6.6.13-amd64"), "foreign": foreign}
    kinds = [linux_disk(folder / f"{name}.raw", content) for name, content in contents.items()]
    packed = [convert(one, one.with_suffix(".qcow2"), "qcow2") for one in kinds]
    images = folder / "images"
    images.mkdir()
    for number in range(29):
        kind = 1 if number % 9 == 2 else 2 if number % 7 == 3 else 0
        source = kinds[0] if number % 5 == 0 and kind == 0 else packed[kind]
        os.link(source, images / f"web-{number:02}{source.suffix}")
    (images / "notes.vhd").write_bytes(b"to be sent to the data centre\n" * 100)


def _batch(state: Path) -> None:
    """A batch of 500 on its way."""
    items = tuple(
        PlanItem(f"web-{number:03}", ItemKind.IMPORT, f"/images/web-{number:03}.vmdk", {}, wave=number // 250)
        for number in range(500)
    )
    now = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=30)
    error = {"code": "VMIE-OS-005", "message": "AWS would refuse this image: VMIE-OS-005 the kernel is not known"}
    error |= {"cause": "AWS would say: ClientError: Unsupported kernel version 6.6.13-amd64", "request_id": ""}
    error |= {"cure": "make the release's stock kernel the default and reboot into it"}
    with Locations(state).create(BATCH, "0" * 64).open(lambda: now) as store:
        store.begin(BATCH, BatchPlan("data centre", items), fingerprint="0" * 64, account="1" * 12, region="eu-west-1")
        for number, item in enumerate(store.items(BATCH)[:160]):
            failed = number % 40 == 7
            step = State.CONVERTING if number >= 140 else State.FAILED if failed else State.COMPLETED
            store.move(item, step, error=error if failed else None)


def _screen(argv: str, size: tuple[int, int], folder: Path, env: dict[str, str]) -> str:
    """All that a command leaves on a terminal of that size, above its edge too; of a live table, what is drawn."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        socket, ended = Path(own) / "tmux", Path(own) / "ended"
        tmux = ("tmux", "-S", str(socket), "-f", "/dev/null")
        line = f"{sys.executable} -m vmie {argv}; touch {ended}; sleep 9"
        env = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        size_of = ("-x", str(size[0]), "-y", str(size[1]))
        subprocess.run([*tmux, "new-session", "-d", *size_of, line], cwd=folder, env=env, check=True)
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end and not ended.exists():
                time.sleep(0.1)
                if "--watch" in argv and "converting" in _captured(tmux, env):
                    break
            time.sleep(0.2)
            return _captured(tmux, env)
        finally:
            subprocess.run([*tmux, "kill-server"], env=env, check=True)


def _captured(tmux: tuple[str, ...], env: dict[str, str]) -> str:
    done = subprocess.run([*tmux, "capture-pane", "-p", "-S", "-"], env=env, capture_output=True, text=True, check=True)
    return done.stdout.rstrip() + "\n"


def steady(screen: str) -> str:
    """A screen with ids, times and rates that are the same each time."""
    for pattern, same in CHANGING:
        screen = re.sub(pattern, same, screen)
    return screen


#: the smallest in every run, and one command at every width
EVERY = [(name, size) for name in SHOWN for size in SIZES]
USUAL = [one for one in EVERY if one[1] == SIZES[0] or one[0] == "folder"]


def _same(name: str, size: tuple[int, int], world: tuple[Path, dict[str, str]]) -> None:
    folder, env = world
    shown = steady(_screen(SHOWN[name], size, folder, env))
    kept = SCREENS / f"{name}-{size[0]}x{size[1]}.txt"
    if "KEEP_SCREENS" in os.environ:
        SCREENS.mkdir(exist_ok=True)
        kept.write_text(shown, encoding="utf-8")
    assert shown == kept.read_text(encoding="utf-8")
    assert max(map(len, shown.splitlines())) <= size[0]


@pytest.mark.parametrize(("name", "size"), USUAL, ids=str)
def test_a_screen_is_as_it_was_looked_at(name: str, size: tuple[int, int], world: tuple[Path, dict[str, str]]) -> None:
    _same(name, size, world)


@pytest.mark.soak
@pytest.mark.parametrize(("name", "size"), [one for one in EVERY if one not in USUAL], ids=str)
def test_so_it_is_on_larger_terminals(name: str, size: tuple[int, int], world: tuple[Path, dict[str, str]]) -> None:
    _same(name, size, world)
