"""What has no message, offline: ids are explained, and of a word or two the rules and limits about it are named."""

from __future__ import annotations

import json
import socket

import pytest

from vmie import catalogue, limits
from vmie.cli import run
from vmie.ops import explaining


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("kernel", "VMIE-OS-005"),
        ("kernel known", "VMIE-BOOT-007"),
        ("concurrent imports", "concurrent"),
        ("quota", "quotas"),
    ],
)
def test_what_is_about_the_words_is_named(words: str, wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", *words.split()]) == 0
    assert wanted in capsys.readouterr().out
    assert run(["--output", "json", "explain", words]) == 0
    near = json.loads(capsys.readouterr().out)["result"]["near"]
    assert any(wanted in one["id"] or wanted in one["title"].lower() for one in near)


def test_a_message_is_no_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--output", "json", "explain", "ClientError: something the kernel of this guest did is quite new"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["near"] == []


def test_every_id_is_explained_without_a_network(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise AssertionError("explaining an id asked the network")

    monkeypatch.setattr(socket, "socket", unreachable)
    assert set(explaining.ids()) >= {"VMIE-OS-005", "role-not-usable", "concurrent-imports"}
    for one in explaining.ids():
        assert explaining.message(one.upper()).explanation.known, one  # type: ignore[union-attr]
    assert run(["explain", "role-not-usable"]) == 0
    assert catalogue.words("role-not-usable") in capsys.readouterr().out
    assert run(["explain", "concurrent-imports"]) == 0
    assert limits.CONCURRENT_IMPORTS.title in capsys.readouterr().out
    assert run(["--output", "json", "explain", "concurrent-imports"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["limit"]["value"] == 20
