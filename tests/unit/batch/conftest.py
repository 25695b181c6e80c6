"""What the tests of plans share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.raw", "b.raw", "c.vmdk"):
        (tmp_path / name).write_bytes(b"disk" * 256)
    return tmp_path
