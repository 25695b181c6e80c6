"""A pytest plugin: `vmie_sandbox` is AWS in the test's process, `vmie_sandbox_server` AWS for programs that it starts.

    def test_upload(vmie_sandbox):
        s3 = vmie_sandbox.client("s3")               # boto3.client("s3") is the same
        ...

    @pytest.mark.vmie_sandbox(speed=0, world="world.yaml")
    def test_import(vmie_sandbox_server):
        subprocess.run(["aws", "ec2", "describe-images"], check=True)   # its environment points at the server
        vmie_sandbox_server.advance(3600)

Each test has a world of its own. The marker takes what `vmie.sandbox.start` takes; `vmie_sandbox_world` in pytest's
settings names a seed file for every test. Nothing but pytest is imported until a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from vmie.sandbox import Sandbox

_MARKER = "vmie_sandbox"
_SETTING = "vmie_sandbox_world"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The setting."""
    parser.addini(_SETTING, "Seed file of the fixtures vmie_sandbox and vmie_sandbox_server", default="")


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line(
        "markers", f"{_MARKER}(**options): what vmie's sandbox is started with, such as speed=0 or world='world.yaml'"
    )


@pytest.fixture
def vmie_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox in this process: every boto3 client made in the test talks to it, and none to AWS."""
    from vmie import sandbox  # noqa: PLC0415 - tests that do not ask for it do not pay for it

    with _started(sandbox.start, request) as box:
        yield box


@pytest.fixture
def vmie_sandbox_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox on a free port of loopback (`url`); the environment of the test and of what it starts points there."""
    from vmie import sandbox  # noqa: PLC0415 - as above

    with _started(sandbox.serve, request) as box, monkeypatch.context() as here:
        for name, value in box.environment().items():
            here.setenv(name, value)
        yield box


class _started:  # noqa: N801 - used as a context manager only
    """The sandbox of a test; what it cannot be started with fails the test in words, not with a traceback of ours."""

    def __init__(self, start: Any, request: pytest.FixtureRequest) -> None:
        from vmie.errors import UsageError  # noqa: PLC0415 - as above

        self._mistakes = (UsageError, TypeError)
        self._start, self._options = start, _options(request)

    def __enter__(self) -> Sandbox:
        try:
            self._running: AbstractContextManager[Sandbox] = self._start(**self._options)
            box: Sandbox = self._running.__enter__()
        except self._mistakes as error:
            cure = getattr(error, "cure", "")
            pytest.fail(f"vmie's sandbox: {error}" + (f"\n{cure}" if cure else ""), pytrace=False)
        return box

    def __exit__(self, *failure: Any) -> None:
        self._running.__exit__(*failure)


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Of the setting, and of the markers from the module's to the test's own."""
    options: dict[str, Any] = {"seeded": True, "speed": "fast"}
    if named := str(request.config.getini(_SETTING)):
        settings = request.config.inipath
        options["world"] = (settings.parent if settings else request.config.rootpath) / named
    for marker in reversed(list(request.node.iter_markers(_MARKER))):
        given = dict(marker.kwargs)
        if given.get("world"):
            given["world"] = request.path.parent / Path(given["world"])
        options |= given
    return options
