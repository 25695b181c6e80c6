"""An environment of its own for each client, locked by hashes: `.cache/clients/NAME`, made when first needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.tools import ROOT, find

HOME = ROOT / ".cache" / "clients"
LOCKS = ROOT / "requirements" / "clients"
JAVASCRIPT = Path(__file__).parent / "javascript"
_COLLECTION = "ansible_collections/amazon/aws/"
_PROVIDER = "registry.terraform.io/hashicorp/aws"


class NotHere(Exception):  # noqa: N818 - a reason to skip, not a failure
    """A client cannot be had on this machine; the text says why."""


def program(name: str) -> Path:
    """A program of the machine or of `make`'s own tools. Raises NotHere."""
    found = find(name)
    if found is None:
        raise NotHere(f"{name} is not installed")
    return Path(found)


def python(name: str) -> Path:
    """The folder of a Python client's environment. Raises NotHere where its packages cannot be had."""
    lock = LOCKS / f"{name}.txt"
    home, stamp = HOME / name, _stamp(lock)
    if _done(home, stamp):
        return home
    shutil.rmtree(home, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(home)])
    # the lock names every package: nothing is resolved anew
    _pip(home, "install", "--no-compile", "--no-deps", "--require-hashes", "-r", str(lock))
    _finish(home, stamp)
    return home


def collection() -> Path:
    """Where Ansible finds amazon.aws: the folder out of the `ansible` package, whose other 100 are left out."""
    home, lock = HOME / "ansible-collections", LOCKS / "ansible-collections.txt"
    stamp = _stamp(lock)
    if _done(home, stamp):
        return home
    shutil.rmtree(home, ignore_errors=True)
    wheels = home / "wheels"
    wheels.mkdir(parents=True)
    _pip(python("ansible"), "download", "--no-deps", "--require-hashes", "-r", str(lock), "-d", str(wheels))
    (wheel,) = wheels.glob("ansible-[0-9]*.whl")
    with zipfile.ZipFile(wheel) as packed:
        for member in packed.namelist():
            if member.startswith(_COLLECTION) and ".." not in member:
                packed.extract(member, home)
    shutil.rmtree(wheels)
    _finish(home, stamp)
    return home


def javascript() -> Path:
    """The folder with node_modules. Raises NotHere."""
    program("node")
    home, lock = HOME / "javascript", JAVASCRIPT / "package-lock.json"
    stamp = _stamp(lock)
    if _done(home, stamp):
        return home
    home.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(JAVASCRIPT / name, home)
    _run([str(program("npm")), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=home)
    _finish(home, stamp)
    return home


def terraform_plugins() -> Path:
    """A folder of the machine that mirrors the registry and has the AWS provider. Raises NotHere."""
    program("terraform")
    usual = [Path("/usr/local/share/terraform/plugins"), Path.home() / ".terraform.d" / "plugins"]
    for folder in [*usual, *sorted(Path("/opt").glob("*"))]:
        if (folder / _PROVIDER).is_dir():
            return folder
    raise NotHere("Terraform is installed, its provider for AWS is not")


def _stamp(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def _done(home: Path, stamp: str) -> bool:
    mark = home / ".locked"
    return mark.is_file() and mark.read_text() == stamp


def _finish(home: Path, stamp: str) -> None:
    (home / ".locked").write_text(stamp)


def _pip(home: Path, *arguments: str) -> None:
    _run([str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q", *arguments])


def _run(argv: list[str], cwd: Path | None = None) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    done = subprocess.run(argv, cwd=cwd, env=environ, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise NotHere(f"it could not be installed: {(done.stderr.strip().splitlines() or ['?'])[-1][:200]}")
