"""A plan file is refused whole, with line and field of every mistake, before anything is begun."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.batch.plans import load, mistakes
from vmie.batch.model import ItemKind
from vmie.errors import UsageError

EVERYTHING = """\
version: 1
limits: {imports: 0, speed: 9}
defaults: {region: mars, boot_mod: uefi}
items:
  - source: a.raw
    boot_mode: efi
  - source: nowhere.raw
  - source: '*.qcow2'
  - {source: a.raw, key: twice, as: volumes}
  - {source: b.raw, key: '../up'}
  - {source: b.raw, wave: -1}
  - {key: nothing}
  - {source: c.vmdk, register: web-1}
  - {source: i-0123456789abcdef0, key: out, after: nobody}
  - {source: s3://my-bucket/d.vmdk, key: twice, license_type: AWS, usage_operation: RunInstances}
  - {source: s3://my-bucket/e.vmdk, key: e, after: e}
  - just text
"""


def test_mistakes_of_every_kind_in_one_run(folder: Path) -> None:
    found = {(line, field) for line, field, _ in mistakes(folder, EVERYTHING)}
    assert found >= {
        (2, "limits.imports"),
        (2, "limits.speed"),
        (3, "defaults.region"),
        (3, "defaults.boot_mod"),
        (6, "items[0].boot_mode"),
        (7, "items[1].source"),
        (8, "items[2].source"),
        (9, "items[3].as"),
        (10, "items[4].key"),
        (11, "items[5].wave"),
        (12, "items[6].source"),
        (13, "items[7].register"),
        (14, "items[8].format"),
        (14, "items[8].after"),
        (15, "items[9].key"),
        (15, "items[9].license_type"),
        (16, "items[10].after"),
        (17, "items[11]"),
    }


def test_a_near_name_is_offered(folder: Path) -> None:
    found = mistakes(folder, "items:\n  - {source: a.raw, boot_mod: uefi}\n")
    assert found == [(2, "items[0].boot_mod", "there is no such field; did you mean boot_mode?")]


MEANING = """\
items:
  - source: nowhere.raw
  - source: '*.qcow2'
  - {source: a.raw, key: one, after: two}
  - {source: b.raw, key: two, after: three}
  - {source: c.vmdk, key: three, after: one}
  - {source: a.raw, key: lost, after: nobody}
  - {source: a.raw, key: same}
  - {source: b.raw, key: same}
  - {source: b.raw, key: early, wave: 1, after: late}
  - {source: b.raw, key: late, wave: 2}
  - {source: a.raw, key: both, license_type: AWS, usage_operation: 'RunInstances:0800'}
  - {source: a.raw, key: reg, register: web}
  - {source: i-0123456789abcdef0, key: ex}
  - {source: i-0123456789abcdef0, key: ex2, format: ova, boot_mode: uefi}
  - {source: 's3://only-a-bucket', key: s3}
  - {source: '*.raw', key: shared}
  - {source: a.raw, key: tagged, tags: {'aws:x': '1'}}
  - {source: [a.raw, b.raw], key: snaps, route: snapshot}
  - {source: a.raw, key: t, target: vmware}
  - {source: a.raw}
  - {source: s3://one/x.vmdk, key: x1, region: eu-west-1, bucket: only-here}
  - {source: s3://one/y.vmdk, key: y1, region: us-east-1, bucket: only-here}
  - {source: [b.raw, ./b.raw], key: bb}
  - {source: a.raw, key: r1, route: snapshot, register: same-name}
  - {source: b.raw, key: r2, route: snapshot, register: same-name}
  - {source: s3://one/z.raw, key: i1, route: instance}
  - {source: s3://one/z.raw, key: i2, as: image, route: image}
  - {source: s3://one/z.raw, key: i3, region: eu-west-1, kms_key: 'arn:aws:kms:us-east-1:123456789012:alias/x'}
"""


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (2, "there is no file"),
        (3, "matches no file"),
        (4, "a circle"),
        (7, "there is no item 'nobody'"),
        (9, "the key 'same' is in line 8 too"),
        (10, "late is in wave 2"),
        (12, "license_type and usage_operation cannot both be given"),
        (13, "for route: snapshot"),
        (14, "format is missing"),
        (15, "not for an export"),
        (16, "must name a bucket and a key"),
        (17, "cannot be shared by the 2 files"),
        (18, "cannot begin with aws:"),
        (19, "takes one disk"),
        (20, "not for an import"),
        (21, "a VM is moved once"),
        (23, "the bucket only-here is used in eu-west-1 too (line 22)"),
        (23, "the bucket one is used in eu-west-1 too"),
        (24, "is named twice"),
        (26, "registers an AMI of this name too"),
        (27, "an instance has a type"),
        (28, "give one of the two"),
        (29, "kms_key is of us-east-1, and the item goes to eu-west-1"),
    ],
)
def test_every_mistake_of_meaning_with_its_line(folder: Path, line: int, says: str) -> None:
    found = mistakes(folder, MEANING)
    assert any(at == line and says in message for at, _, message in found), found


def test_yaml_that_is_none_names_the_line(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"plan\.yaml line [23]") as caught:
        load(folder, "items:\n  - {source: [a.raw\n")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("items: &x [{source: a.raw}]\ndefaults: *x\n", 2, "aliases"),
        ("x: &x {source: a.raw}\nitems:\n  - <<: *x\n    key: b\n", 3, "merge keys"),
        ("items:\n  - source: a.raw\n    name: no\n", 3, "YAML reads no as a boolean: put it in quotes"),
        ("items:\n  - source: a.raw\n    name: 0777\n", 3, "YAML reads 0777 as a number"),
        ("items: [{source: a.raw, wave: 0x" + "f" * 9000 + "}]\n", 1, "at most 10000"),
        ("items: [{source: a.raw, wave: " + "9" * 9000 + "}]\n", 1, "cannot be read as int"),
        ("- source: a.raw\n", 1, "put `items:` before it"),
        ("items: a.raw\n", 1, "a list of items is wanted"),
        ("items:\n  - source: a.raw\n    key: x\n    key: y\n", 4, "given twice"),
        ("items:\n  - {source: !!python/object:os.system a.raw}\n", 2, "tags (!…) are not read"),
        ("items:\n  - {source: a.raw, name: !!timestamp x}\n", 2, "cannot be read as timestamp"),
        ("items:\n  - {source: a.raw, wave: !!int ''}\n", 2, "cannot be read as int"),
        ("items:\n  - {source: a.raw, wave: !!float ''}\n", 2, "cannot be read as float"),
        ("items:\n  - {source: a.raw, strict: !!bool perhaps}\n", 2, "cannot be read as bool"),
        ("items:\n  - {source: a.raw, tags: {since: 2026-01-01}}\n", 2, "YAML reads 2026-01-01 as a date"),
        ("", 0, "the plan is empty"),
        ("[]\n", 1, "put `items:` before it"),
        ("items: []\n", 1, "there is no item"),
    ],
)
def test_hostile_and_odd_yaml(folder: Path, text: str, line: int, says: str) -> None:
    assert any(at == line and says in message for at, _, message in mistakes(folder, text))


def test_a_thousand_laughs_are_none(folder: Path) -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 10))
    found = mistakes(folder, f"l0: &l0 lol\n{levels}items: [{{source: a.raw}}]\n")
    assert any("aliases" in message for _, _, message in found)


def test_nesting_without_end_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="nested too deeply"):
        load(folder, "items: " + "[" * 20_000 + "]" * 20_000)


def test_defaults_patterns_and_kinds(folder: Path) -> None:
    plan = load(
        folder,
        """\
name: first
limits: {imports: 7, uploads: 4, ahead: 1}
defaults: {region: eu-west-1, queue: rack-2, tags: {team: red, env: test}, bucket: my-bucket}
items:
  - {source: '*.raw', wave: 1, tags: {env: prod}}
  - {source: c.vmdk, name: Web 1, route: snapshot, register: web-1, imds_v2: true}
  - {source: ami-0123456789abcdef0, key: out, format: vmdk, after: [a, Web-1], wave: 2}
""",
    )
    assert [item.key for item in plan.items] == ["a", "b", "Web-1", "out"]
    assert plan.limits.imports == 7
    assert plan.limits.ahead == 4, "an upload at once is one ahead"
    first, _, snapshot, out = plan.items
    assert first.source == str(folder / "a.raw")
    assert (first.region, first.queue, first.wave, first.size) == ("eu-west-1", "rack-2", 1, 1024)
    assert first.request["tags"] == {"team": "red", "env": "prod"}
    assert (snapshot.request["register"], snapshot.request["imds_v2"]) == ("web-1", True)
    assert (out.kind, out.after, out.request["bucket"]) == (ItemKind.EXPORT, ("a", "Web-1"), "my-bucket")


def test_csv_is_the_same_plan(folder: Path) -> None:
    plan = load(
        folder,
        "source,key,wave,after,tag:team,encrypted,region\na.raw;b.raw,two,1,,red,yes,\nc.vmdk,one,2,two,,,eu-west-1\n",
        name="plan.csv",
    )
    two, one = plan.items
    assert two.request["sources"] == [str(folder / "a.raw"), str(folder / "b.raw")]
    assert (two.request["tags"], two.request["encrypted"]) == ({"team": "red"}, True)
    assert (one.after, one.wave, one.region) == (("two",), 2, "eu-west-1")


def test_csv_mistakes_have_lines_too(folder: Path) -> None:
    text = 'source,boot_mode,wave\na.raw,efi,1\n\nb.raw,uefi,soon\n"c.vmdk",uefi,1,more\n'
    found = {(line, field) for line, field, _ in mistakes(folder, text, name="plan.csv")}
    assert found >= {(2, "boot_mode"), (4, "wave"), (5, "")}


def test_variables_only_when_asked_for(folder: Path) -> None:
    text = "items: [{source: a.raw, name: 'at ${SITE} for $$5', bucket: '${BUCKET}'}]\n"
    plain = load(folder, text.replace("bucket: '${BUCKET}'", "wave: 0"))
    assert plain.items[0].request["name"] == "at ${SITE} for $$5"
    filled = load(folder, text, variables={"SITE": "Oslo", "BUCKET": "my-bucket"})
    assert (filled.items[0].request["name"], filled.items[0].request["bucket"]) == ("at Oslo for $5", "my-bucket")
    with pytest.raises(UsageError) as caught:
        load(folder, text, variables={"SITE": "Oslo"})
    assert "BUCKET" in caught.value.cause


def test_environment_never_lends_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    from vmie.batch.plan.yaml_loader import environment

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("MY_API_TOKEN", "x")
    monkeypatch.setenv("SITE", "Oslo")
    assert "SITE" in environment()
    assert not {"AWS_SECRET_ACCESS_KEY", "MY_API_TOKEN"} & environment().keys()


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_ANYTHING: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["items", "defaults", "limits", "source", "tags", "after", "as", "wave"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=_ANYTHING)
def test_no_content_makes_a_traceback(folder: Path, data: Any) -> None:
    import yaml

    with suppress(UsageError):
        load(folder, yaml.safe_dump(data, allow_unicode=True))


@pytest.mark.parametrize(
    "text", ['items: "\\UFFFFFFFF"', f"%YAML {'9' * 5000}.1\n--- a", '"\\UFFFFFFFF" ' + "[" * 3000]
)
def test_what_pyyaml_itself_fails_at_is_no_yaml(folder: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(folder, text)
    assert (caught.value.code, caught.value.cause) == ("PlanRefused", "the plan is no YAML")
