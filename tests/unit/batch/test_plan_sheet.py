"""Plans as CSV, as spreadsheets write them; files that are no plans; what the environment lends."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.batch.plans import load, mistakes
from vmie.batch.plan import validate
from vmie.batch.plan.yaml_loader import environment
from vmie.errors import UsageError
from vmie.settings import Settings


@pytest.mark.parametrize(
    "text",
    [
        "source,key,Boot Mode,tag:Team\nc.vmdk,c,uefi,red\n",
        "source;key;Boot Mode;tag:Team\nc.vmdk;c;uefi;red\n",
        "source;key;boot_mode;Tag:Team;;\r\nc.vmdk;c;uefi;red;;\r\n;;;;;\r\n",
        "source\tkey\tboot-mode\ttag:Team\nc.vmdk\tc\tuefi\tred\n",
        "sep=;\r\nsource;key;boot_mode;tag:Team\r\nc.vmdk;c;uefi;red\r\n",
        '\ufeff"Source","Key","Boot_Mode","tag:Team"\n"c.vmdk","c","uefi","red"\n',
    ],
)
def test_what_spreadsheets_write(folder: Path, text: str) -> None:
    item = load(folder, text, name="plan.csv").items[0]
    assert (item.key, item.request["boot_mode"], item.request["tags"]) == ("c", "uefi", {"Team": "red"})


def test_lists_and_words_of_a_cell(folder: Path) -> None:
    text = 'source;as;encrypted;wave;skip_check\n"a.raw;b.raw";image;YES;2;all\nc.vmdk;snapshot;;;\n'
    two, one = load(folder, text, name="plan.csv").items
    assert two.request["sources"] == [str(folder / "a.raw"), str(folder / "b.raw")]
    assert (two.request["encrypted"], two.wave, two.request["skip_check"]) == (True, 2, ["all"])
    assert one.request["route"] == "snapshot"


def test_lines_are_those_where_records_begin(folder: Path) -> None:
    text = (
        "source,key,description,wave,nam\n"
        'a.raw,one,"two\nlines",soon,\n'
        "\n"
        ",,,,\n"
        'b.raw,one,"three\n\nlines",1,\n'
        "c.vmdk,k,,yes,,7\n"
    )
    assert mistakes(folder, text, name="plan.csv") == [
        (1, "nam", "there is no such field; did you mean name?"),
        (2, "wave", "soon: a whole number is wanted"),
        (6, "key", "the key 'one' is in line 2 too: give them different ones"),
        (9, "", "6 cells under 5 columns"),
        (9, "wave", "yes: a whole number is wanted"),
    ]


def test_a_column_without_a_name_may_be_empty_only(folder: Path) -> None:
    assert load(folder, "source,,key\na.raw,,k\n", name="plan.csv").items
    found = mistakes(folder, "source,,key\na.raw,lost,k\n", name="plan.csv")
    assert found == [(2, "", "'lost' stands in column 2, which has no name")]


def test_the_header_is_judged_once(folder: Path) -> None:
    found = mistakes(folder, "file,key,key,tag:\na.raw,x,y,z\nb.raw,z,w,z\n", name="plan.csv")
    assert found == [
        (1, "file", "there is no such field; did you mean source?"),
        (1, "key", "two columns have this name"),
        (1, "tag:", "a column of tags is called tag:KEY"),
        (1, "source", "there is no column of this name: the first line names the fields"),
    ]


def test_a_column_may_be_called_tag_something_of_aws(folder: Path) -> None:
    found = mistakes(folder, "source,tag:aws:x\na.raw,1\n", name="plan.csv")
    assert found == [(2, "tag:aws:x", "a tag's key cannot begin with aws:")]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("plan.yaml", b"\xff\xfei\x00", "line 1: it is UTF-16"),
        ("plan.csv", b"source,name\na.raw,x\nb.raw,caf\xe9\n", "line 3: byte 0xe9 there is not UTF-8"),
        ("plan.yaml", b"items:\n- source: a\x00.raw\n", r"line 2: it holds the control character U\+0000"),
        ("plan.yaml", b"items:\n\t- source: a.raw\n", "line 2, column 1"),
        ("plan.yaml", b"a: 1\n---\nb: 2\n", "expected a single document|another document"),
        ("plan.yaml", b"items: [{source: *nothing}]\n", "undefined alias"),
        ("plan.yaml", b"items: {{{\n", "line [12]"),
        ("plan.csv", b'source\n"a.raw\n', "line 2"),
        ("plan.csv", b"source,key\n" + b"x" * 200_000 + b",k\n", "field larger"),
        ("plan.csv", b"", "1 mistake|2 mistakes"),
    ],
)
def test_a_file_that_is_no_plan_is_told_with_its_line(folder: Path, name: str, content: bytes, says: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(UsageError, match=says) as caught:
        validate.load(folder / name, settings=Settings())
    assert caught.value.code == "PlanRefused"
    assert caught.value.cure
    assert name in caught.value.message


def test_tabs_are_told_for_what_they_are(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(folder, "items:\n\t- source: a.raw\n")
    assert "use spaces" in caught.value.cure


def test_a_folder_and_nothing_are_no_plans(folder: Path) -> None:
    with pytest.raises(UsageError, match="directory"):
        validate.load(folder, settings=Settings())
    with pytest.raises(UsageError, match="No such file"):
        validate.load(folder / "none.yaml", settings=Settings())


def test_a_file_of_64_mib_is_not_read_to_its_end(folder: Path) -> None:
    path = folder / "plan.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(UsageError, match="larger than 64 MiB"):
        validate.load(path, settings=Settings())


def test_the_environment_lends_nothing_unasked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    item = load(folder, "items: [{source: a.raw, name: '${HOME}', key: k}]\n").items[0]
    assert item.request["name"] == "${HOME}"


SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_REGION": "x",
    "GITHUB_TOKEN": "x",
    "DB_PASSWORD": "x",
    "MY_API_KEY": "x",
    "SSH_PRIVATE_KEY": "x",
    "VMIE_BATCH_STATE": "postgresql://vmie:hidden@db/vmie",
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_never_lent(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, SECRETS[name])
    assert name not in environment()
    text = f"items:\n  - {{source: a.raw, name: 'x${{{name}}}'}}\n"
    (found,) = mistakes(folder, text, variables=dict(environment()))
    assert found[:2] == (2, "items[0].name")


def test_what_is_lent_is_read_as_its_field(folder: Path) -> None:
    variables = {"WAVE": "3", "YES": "true", "FORM": "vmdk", "N": "7"}
    text = (
        "limits: {imports: '${N}'}\n"
        "items: [{source: a.raw, wave: '${WAVE}', encrypted: '${YES}', format: '${FORM}', name: '${N}'}]\n"
    )
    plan = load(folder, text, variables=variables)
    item = plan.items[0]
    assert (plan.limits.imports, item.wave, item.request["encrypted"], item.request["name"]) == (7, 3, True, "7")
    sheet = load(folder, "source,wave\na.raw,${WAVE}\n", name="plan.csv", variables=variables)
    assert sheet.items[0].wave == 3


_CELL = st.text(alphabet=st.sampled_from('a.raw;,"\t\n\r$ {}*?[]:=é\u2028'), max_size=12)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.lists(
        st.sampled_from(["source", "key", "after", "wave", "tag:x", "", "as", "route", "name"]), max_size=6
    ),
    rows=st.lists(st.lists(_CELL, max_size=7), max_size=5),
    delimiter=st.sampled_from(",;\t"),
    spoil=_CELL,
)
def test_no_sheet_makes_a_traceback(
    folder: Path, header: list[str], rows: list[list[str]], delimiter: str, spoil: str
) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([header, *rows])
    for text in (out.getvalue(), out.getvalue() + spoil):
        with suppress(UsageError):
            load(folder, text, name="plan.csv", variables={"a": "1"})


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(
        alphabet=st.sampled_from("items:sourc a.rw-[]{}&*!<>|%@`'\"#,\n\t 0179x~?\\u00e9"),
        max_size=80,
    )
)
def test_no_text_makes_a_traceback(folder: Path, text: str) -> None:
    with suppress(UsageError):
        load(folder, f"items:\n  - source: a.raw\n{text}")
    with suppress(UsageError):
        load(folder, text)
