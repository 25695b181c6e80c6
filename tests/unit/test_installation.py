"""The command that adds an extra is that of the installation at hand."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from vmie.installation import Installation, add_extra, origin_of


def made(prefix: Path, **given: object) -> Installation:
    return Installation(prefix=prefix, python=prefix / "bin" / "python", **given)  # type: ignore[arg-type]


@pytest.fixture
def no_pip_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def test_in_an_environment_that_is_active_it_is_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    shutil.copy("/bin/true", folder / "pip")
    monkeypatch.setenv("PATH", str(folder))
    assert made(tmp_path).add("sandbox") == ("pip", "install", "vmie[sandbox]")


def test_another_pip_on_the_path_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy("/bin/true", other / "pip")
    monkeypatch.setenv("PATH", str(other))
    venv = tmp_path / "venv"
    assert made(venv).add("sandbox") == (f"{venv}/bin/python", "-m", "pip", "install", "vmie[sandbox]")


@pytest.mark.usefixtures("no_pip_on_path")
def test_each_installer_has_its_own(tmp_path: Path) -> None:
    pipx, uv, run = tmp_path / "pipx", tmp_path / "uv", tmp_path / "uv-cache" / "archive-v0" / "Qx"
    for folder in (pipx, uv, run):
        folder.mkdir(parents=True)
    (pipx / "pipx_metadata.json").write_text('{"main_package": {"package": "vmie", "suffix": "_2"}}')
    (uv / "uv-receipt.toml").write_text('[tool]\nrequirements = [{ name = "vmie" }]\npython = "3.12"\n')
    assert made(pipx).add("sandbox") == ("pipx", "install", "--force", "--suffix", "_2", "vmie[sandbox]")
    assert made(uv).add("sandbox") == ("uv", "tool", "install", "--force", "--python", "3.12", "vmie[sandbox]")
    assert made(run).add("sandbox") == ("uvx", "--from", "vmie[sandbox]", "vmie")
    tree = tmp_path / "src"
    assert made(pipx, tree=tree).add("sandbox")[-2:] == ("--editable", f"{tree}[sandbox]")
    python = str(tmp_path / "bare" / "bin" / "python")
    assert made(tmp_path / "bare", pip=False).add("x") == ("uv", "pip", "install", "--python", python, "vmie[x]")


@pytest.mark.usefixtures("no_pip_on_path")
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"main_package": null}', "\udcff"])
def test_damaged_files_of_an_installer_change_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "pipx_metadata.json").write_bytes(os.fsencode(text))
    assert made(tmp_path).add("sandbox") == ("pipx", "install", "--force", "vmie[sandbox]")


@pytest.mark.usefixtures("no_pip_on_path")
def test_outside_an_environment_it_goes_where_vmie_lies(tmp_path: Path) -> None:
    system = made(tmp_path, in_environment=False, externally_managed=True, user_site=True)
    assert system.add("sandbox")[3:] == ("install", "--break-system-packages", "--user", "vmie[sandbox]")


def test_what_did_not_come_from_an_index_comes_from_there_again(tmp_path: Path) -> None:
    wheel = tmp_path / "vmie 1.whl"
    wheel.touch()
    assert origin_of({"url": wheel.as_uri(), "archive_info": {}}) == wheel.as_uri()
    wheel.unlink()
    assert origin_of({"url": wheel.as_uri(), "archive_info": {}}) == ""
    git = {"url": "https://example.org/vmie", "vcs_info": {"vcs": "git", "commit_id": "12ab"}}
    assert origin_of(git) == "git+https://example.org/vmie@12ab"
    assert origin_of({"url": "https://name:secret@example.org/vmie.whl", "archive_info": {}}) == ""


def test_this_source_tree_is_installed_as_one() -> None:
    words = add_extra("sandbox")
    assert words[-1] == f"{Path(__file__).resolve().parents[2]}[sandbox]"
    assert "install" in words
