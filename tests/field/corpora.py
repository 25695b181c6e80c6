"""Sources from the package registries, unpacked: Debian's through apt, PyPI's through pip, as these are set up here.

Nothing of an archive is run, and only files in `keep` are unpacked. apt works on lists of its own in the cache, so
that the machine's need no `deb-src`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.tools import ROOT

CACHE = ROOT / ".cache" / "field"
_LIST = Path(__file__).with_name("corpora.toml")
_SECONDS = 300


class MissingError(Exception):
    """A corpus that cannot be had here: which one, and what was answered."""


@dataclass(frozen=True)
class Corpus:
    """One line of corpora.toml. `version` and `sha256` are PyPI's only."""

    name: str
    registry: str
    keep: tuple[str, ...]
    version: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Folder:
    """An unpacked corpus: `root` is the top folder of its archive."""

    name: str
    version: str
    root: Path


def listed() -> dict[str, Corpus]:
    """All corpora by name."""
    rows = tomllib.loads(_LIST.read_text())
    return {name: Corpus(name, **{**row, "keep": tuple(row["keep"])}) for name, row in rows.items()}


def folder(name: str) -> Folder:
    """The corpus, downloaded once. Raises MissingError."""
    corpus = listed()[name]
    with _lock(name):
        recipe = hashlib.sha256(repr(corpus).encode()).hexdigest()[:12]
        place = CACHE / f"{name}-{recipe}"
        if not place.exists():
            making = CACHE / f"{name}.making"
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            version = (_debian if corpus.registry == "debian" else _pypi)(corpus, making)
            (making / "VERSION").write_text(version)
            making.rename(place)
        tops = [one for one in place.iterdir() if one.is_dir()]
        return Folder(name, (place / "VERSION").read_text(), tops[0])


def _debian(corpus: Corpus, into: Path) -> str:
    options = _apt()
    got = into / "download"
    got.mkdir()
    _run(corpus, ["apt-get", *options, "-qq", "source", "--download-only", corpus.name], cwd=got)
    version = next(got.glob("*.dsc")).stem.partition("_")[2]
    archives = [one for one in got.iterdir() if ".orig.tar." in one.name and one.suffix != ".asc"]
    _unpack(corpus, (archives or list(got.glob("*.tar.*")))[0], into)
    shutil.rmtree(got)
    return version


def _apt() -> list[str]:
    """apt's options for the same archives as the machine's, with sources, in lists of our own."""
    state = CACHE / "apt"
    parts = state / "parts"
    options = [f"-oDir::State::Lists={state}/lists", f"-oDir::Cache={state}/cache", "-oAcquire::Retries=3"]
    options += [f"-oDir::Etc::SourceParts={parts}", f"-oDir::Etc::SourceList={parts}/all.list"]
    options += ["-oAPT::Sandbox::User=root"]
    with _lock("apt"):
        if not (state / "ready").exists():
            for each in ("parts", "lists/partial", "cache/archives/partial"):
                (state / each).mkdir(parents=True, exist_ok=True)
            for path in Path("/etc/apt/sources.list.d").glob("*.sources"):
                lines = path.read_text().splitlines()
                lines = ["Types: deb-src" if line.startswith("Types:") else line for line in lines]
                (parts / path.name).write_text("\n".join(lines) + "\n")
            older = Path("/etc/apt/sources.list")
            lines = older.read_text().splitlines() if older.exists() else []
            kept = [f"deb-src {line.partition(' ')[2]}" for line in lines if line.startswith("deb ")]
            (parts / "all.list").write_text("\n".join(kept) + "\n")
            _run(None, ["apt-get", *options, "-qq", "update"], cwd=state)
            (state / "ready").touch()
    return options


def _pypi(corpus: Corpus, into: Path) -> str:
    got = into / "download"
    got.mkdir()
    wanted = into / "wanted.txt"
    wanted.write_text(f"{corpus.name}=={corpus.version} --hash=sha256:{corpus.sha256}\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "download", "--no-deps"]
    # pip asks a source archive for its metadata, and for that would install what the archive names, without a hash
    _run(corpus, [*pip, "--no-binary", ":all:", "--require-hashes", "-d", str(got), "-r", str(wanted)], cwd=into)
    wanted.unlink()
    _unpack(corpus, next(iter(got.iterdir())), into)
    shutil.rmtree(got)
    return corpus.version


def _unpack(corpus: Corpus, archive: Path, into: Path) -> None:
    def kept(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        inner = member.name.partition("/")[2]
        if not member.isreg() or not any(inner == one or inner.startswith(f"{one}/") for one in corpus.keep):
            return None
        return tarfile.data_filter(member, path)

    with tarfile.open(archive) as tar:
        tar.extractall(into, filter=kept)


def _run(corpus: Corpus | None, argv: Sequence[str], *, cwd: Path) -> None:
    name = corpus.name if corpus else "apt's list of sources"
    try:
        env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingError(f"{name}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        raise MissingError(f"{name}: {argv[0]} ended with {done.returncode}: {said[-1]}")


@contextmanager
def _lock(name: str) -> Iterator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
