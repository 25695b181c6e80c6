"""How this vmie was installed, and the command that adds an extra to this very installation.

source tree      pip install -e 'FOLDER[sandbox]'
pipx             pipx install --force 'vmie[sandbox]'
uv tool          uv tool install --force 'vmie[sandbox]'
uvx              uvx --from 'vmie[sandbox]' vmie …
any environment  pip install 'vmie[sandbox]', by the interpreter's path where no other `pip` is sure to be its own
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import sysconfig
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Installation:
    """Where an installation is: its environment, and what vmie was installed from.

    `prefix` is the environment's folder and `python` its interpreter; `tree` is the source tree that is run from, if
    any; `origin` what was installed when it did not come from an index (PEP 610): "file:///…" or "git+https://…".
    """

    prefix: Path
    python: Path
    tree: Path | None = None
    origin: str = ""
    in_environment: bool = True
    user_site: bool = False
    externally_managed: bool = False
    pip: bool = True

    @classmethod
    def here(cls) -> Installation:
        """Of the vmie that runs."""
        in_environment = sys.prefix != sys.base_prefix
        marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
        return cls(
            prefix=Path(sys.prefix),
            python=Path(sys.executable),
            tree=_PACKAGE.parent if (_PACKAGE.parent / "pyproject.toml").is_file() else None,
            origin=_origin(),
            in_environment=in_environment,
            user_site=_PACKAGE.is_relative_to(sysconfig.get_path("purelib", f"{os.name}_user")),
            externally_managed=not in_environment and marker.exists(),  # PEP 668
            pip=importlib.util.find_spec("pip") is not None,
        )

    def add(self, extra: str) -> tuple[str, ...]:
        """The words of the command that adds `extra`; to be quoted for a shell."""
        wanted = self._requirement(extra)
        source = ("--editable", wanted) if self.tree else (wanted,)
        if (self.prefix / "pipx_metadata.json").is_file():
            return ("pipx", "install", "--force", *_pipx_suffix(self.prefix), *source)
        if (self.prefix / "uv-receipt.toml").is_file():
            return ("uv", "tool", "install", "--force", *_uv_python(self.prefix), *source)
        if any(part.startswith(("archive-v", "environments-v")) for part in self.prefix.parts):
            return ("uvx", "--from", wanted, "vmie")
        if not self.pip:
            return ("uv", "pip", "install", "--python", str(self.python), *source)
        options = ("--break-system-packages",) * self.externally_managed + ("--user",) * self.user_site
        return (*self._pip(), "install", *options, *source)

    def _requirement(self, extra: str) -> str:
        if self.tree:
            return f"{self.tree}[{extra}]"
        return f"vmie[{extra}]{f' @ {self.origin}' if self.origin else ''}"

    def _pip(self) -> tuple[str, ...]:
        """`pip` where the one on PATH is the environment's own."""
        found = shutil.which("pip")
        own = found and self.in_environment and Path(found).parent == self.python.parent
        return ("pip",) if own else (str(self.python), "-m", "pip")


def add_extra(extra: str) -> tuple[str, ...]:
    """The words of the command that adds `extra` to the vmie that runs."""
    return Installation.here().add(extra)


def _origin() -> str:
    """What the distribution was installed from; "" for an index, or where that is gone or not to be shown."""
    try:
        text = metadata.distribution("vmie").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return ""
    try:
        return origin_of(json.loads(text)) if text else ""
    except (ValueError, AttributeError):
        return ""


def origin_of(direct: dict[str, Any]) -> str:
    """The reference that a direct_url.json stands for (PEP 610)."""
    url = str(direct.get("url", ""))
    parts = urlsplit(url)
    if parts.scheme == "file":
        return url if Path(url2pathname(parts.path)).exists() else ""
    if "@" in parts.netloc and parts.scheme != "ssh":  # a password may stand there
        return ""
    vcs = direct.get("vcs_info")
    if not vcs:
        return url
    revision = vcs.get("requested_revision") or vcs.get("commit_id") or ""
    return f"{vcs.get('vcs', 'git')}+{url}{f'@{revision}' if revision else ''}"


def _pipx_suffix(prefix: Path) -> tuple[str, ...]:
    try:
        package = json.loads((prefix / "pipx_metadata.json").read_text("utf-8"))["main_package"]
        suffix = str(package.get("suffix") or "")
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        return ()
    return ("--suffix", suffix) if suffix else ()


def _uv_python(prefix: Path) -> tuple[str, ...]:
    """The Python that was asked for when the tool was installed."""
    try:
        asked = tomllib.loads((prefix / "uv-receipt.toml").read_text("utf-8"))["tool"].get("python")
    except (OSError, ValueError, LookupError, AttributeError):
        return ()
    return ("--python", str(asked)) if asked else ()
