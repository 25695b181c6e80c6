"""Flags over environment over file over default, and the origin of each value is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmie import settings
from vmie.errors import UsageError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"VMIE_CONFIG": str(tmp_path / "settings.toml")}


def test_defaults_are_the_seeds_numbers(environ: dict[str, str]) -> None:
    found = settings.load({}, environ=environ)
    assert (found.import_limit, found.conversion_limit, found.export_limit) == (20, 5, 5)
    assert found.deadline_seconds == 7 * 86400
    assert found.role_name == "vmimport"
    assert found.origin("bucket") == "default"


def test_each_layer_overrides_the_one_below(environ: dict[str, str]) -> None:
    settings.save({"bucket": "from-file", "region": "eu-west-1"}, environ=environ)
    assert settings.load({}, environ=environ).bucket == "from-file"
    assert "settings file" in settings.load({}, environ=environ).origin("bucket")
    environ["VMIE_BUCKET"] = "from-environment"
    found = settings.load({}, environ=environ)
    assert (found.bucket, found.origin("bucket")) == ("from-environment", "environment variable VMIE_BUCKET")
    found = settings.load({"bucket": "from-flag", "region": None}, environ=environ)
    assert (found.bucket, found.region, found.origin("bucket")) == ("from-flag", "eu-west-1", "option")


def test_saving_keeps_what_it_was_not_given(environ: dict[str, str]) -> None:
    settings.save({"bucket": 'a "quoted" \\ name', "import_limit": 40}, environ=environ)
    settings.save({"region": "eu-north-1"}, environ=environ)
    found = settings.load({}, environ=environ)
    assert (found.bucket, found.import_limit, found.region) == ('a "quoted" \\ name', 40, "eu-north-1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bukket = 'x'\n", "bukket"),
        ("import_limit = 'many'\n", "import_limit"),
        ("bucket = ", "cannot read"),
        ("import_limit = -1\n", "positive"),
    ],
)
def test_a_mistake_in_the_file_names_the_field(environ: dict[str, str], text: str, says: str) -> None:
    Path(environ["VMIE_CONFIG"]).write_text(text)
    with pytest.raises(UsageError, match=says):
        settings.load({}, environ=environ)


def test_a_bad_variable_names_itself(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="VMIE_IMPORT_LIMIT"):
        settings.load({}, environ={**environ, "VMIE_IMPORT_LIMIT": "lots"})


@pytest.mark.parametrize("bad", ["nonsense", "http://", "ftp://127.0.0.1", "127.0.0.1:4566"])
def test_an_endpoint_that_is_no_address_is_refused(environ: dict[str, str], bad: str) -> None:
    with pytest.raises(UsageError, match="endpoint_url"):
        settings.load({"endpoint_url": bad}, environ=environ)
