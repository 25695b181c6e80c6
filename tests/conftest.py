"""Shared by every test: no real AWS, no user's settings, a soak marker, skips counted and named."""

from __future__ import annotations

import gc
import inspect
import os
import signal
import subprocess
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from botocore import hooks
from botocore.loaders import Loader

from tests import forkserver
from vmie.sandbox.model_files import ParsedOnce, list_services

# Thousands of tests make clients: parsing EC2's model for each was a third of their time.
setattr(Loader, "list_available_services", list_services)  # noqa: B010 - botocore has no types to assign to
setattr(Loader, "FILE_LOADER_CLASS", ParsedOnce)  # noqa: B010 - botocore has no types to assign to

# So was most of a session: the names of a hundred events, and whether each of their handlers takes keywords.
_taken: WeakKeyDictionary[Any, str | None] = WeakKeyDictionary()
_names: dict[str, str] = {}
_begin_aliaser = hooks.EventAliaser.__init__


def _takes_keywords(handler: Any) -> str | None:
    """In place of `botocore.hooks.accepts_kwargs`: each function is looked into once."""
    function = getattr(handler, "__func__", handler)
    if function not in _taken:
        _taken[function] = inspect.getfullargspec(handler)[2]
    return _taken[function]


def _aliaser(self: Any, event_emitter: Any, event_aliases: Any = None) -> None:
    """In place of `EventAliaser.__init__`: what the usual aliases make of a name is found once."""
    _begin_aliaser(self, event_emitter, event_aliases)
    if self._event_aliases == hooks.EVENT_ALIASES:
        self._alias_name_cache = _names


setattr(hooks, "accepts_kwargs", _takes_keywords)  # noqa: B010 - botocore has no types to assign to
setattr(hooks.EventAliaser, "__init__", _aliaser)  # noqa: B010 - botocore has no types to assign to


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep a test away from the machine's AWS credentials, settings and state."""
    home: Path = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("AWS_", "VMIE_")) and name != "VMIE_SOAK":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "aws-credentials"))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))


@pytest.fixture
def started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of how vmie starts: no process is forked from one that has imported everything."""
    monkeypatch.setattr(subprocess, "Popen", forkserver.USUAL)


def pytest_configure() -> None:
    """Heed the signals that a runner in the background (`nohup`, `&`) ignores: what tests start would inherit that."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    forkserver.install()


def pytest_collection_finish() -> None:
    """Collect garbage less often: what was imported stays, and looking through it was a tenth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """No id made of bytes: they may hold the time (gzip does), and two workers must collect the same tests."""
    return f"{argname}-{len(val)}-bytes" if isinstance(val, bytes) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the soak runs to `make soak`."""
    if os.environ.get("VMIE_SOAK"):
        return
    kept = [item for item in items if item.get_closest_marker("soak") is None]
    left = [item for item in items if item.get_closest_marker("soak") is not None]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line per missing tool, so that a skip never hides."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.write_sep("-", f"{len(skipped)} tests skipped for want of tools: see the list above")
