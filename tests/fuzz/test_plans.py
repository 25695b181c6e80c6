"""Plan files, YAML and CSV."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fuzz import harness, mutations
from tests.fuzz.sizes import inputs
from vmie.batch.plan import validate
from vmie.settings import Settings

_EXAMPLES = Path(__file__).parents[2] / "examples"
_EVERYTHING: dict[str, Any] = {
    "version": 1,
    "name": "spring",
    "limits": {"imports": 10, "exports": 2, "uploads": 4, "ahead": 20, "tries": 2},
    "defaults": {"bucket": "my-images", "region": "eu-west-1", "tags": {"team": "a"}},
    "items": [
        {"source": "a.raw", "key": "web-1", "boot_mode": "uefi", "name": "Web 1", "wave": 1, "after": ["db-*"]},
        {"source": ["b.raw", "c.vmdk"], "key": "db-1", "as": "instance", "instance_type": "m5.large"},
        {"source": "*.vmdk", "except": ["d*.vmdk"], "queue": "site-a", "profile": "prod"},
        {"source": "**/*.ova"},
        {"source": "s3://my-images/x.vmdk", "route": "snapshot", "encrypted": True, "register": "x 1"},
        {"source": "i-0123456789abcdef0", "format": "vmdk", "bucket": "my-exports", "download": "out"},
        {"source": "s3://my-images/y.raw", "route": "volume", "availability_zone": "eu-west-1a", "volume_size": 20},
    ],
}
#: a plan in which one thing is wrong is refused whole: most plans are short
_PLANS: tuple[dict[str, Any], ...] = (_EVERYTHING, *({"items": [item]} for item in _EVERYTHING["items"][2:]))
_WORDS = (
    *("source", "except", "key", "after", "tags", "route", "as", "wave", "bucket", "name", "region", "format"),
    *("items", "limits", "defaults", "version", "tag:team", "<<", "*a", "&a", "security_groups", "kms_key"),
)
_CANARY = b"!!python/object/apply:os.system ['exit 1']"
_LAUGHS = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (ord("a") + n, ord("a") + n, b",".join([b"*%c" % (ord("a") + n - 1)] * 9)) for n in range(1, 9)
)
_YAML_TOKENS = (
    *(_CANARY, b"!!python/name:os.system ", b"!!python/module:os ", b"!!python/object/new:subprocess.Popen [[exit]]"),
    *(_LAUGHS, b"&a [*a]", b"*a ", b"&a ", b"<<: ", b"? ", b"--- ", b"...\n", b"%YAML 9.9\n---\n", b"!<tag:x> "),
    *(b"!!int ", b"!!binary ", b"!!timestamp ", b"!!set {", b"!!omap [", b"1:60:60", b"0o9", b".inf", b"9" * 5000),
    *(b"[" * 3000, b"{a: " * 3000, b"- " * 3000, b"\t", b"|\n", b">9\n", b'"\\uD800"', b'"\\0"', b"\xef\xbb\xbf"),
)
_CSV_TOKENS = (b'"', b'""', b",", b";", b"\r", b"\n", b"," * 2000, b"tag:,", b"tag:a,tag:a,", b"sep=;\n", b'"' * 5001)


def _make(rng: random.Random) -> tuple[str, bytes, bool]:
    with_variables = rng.random() < 0.3
    if rng.random() < 0.3:
        return "plan.csv", _sheet(rng), with_variables
    if rng.random() < 0.3:
        seed = rng.choice((yaml.safe_dump(_EVERYTHING).encode(), (_EXAMPLES / "plan.yaml").read_bytes()))
        return "plan.yaml", mutations.damaged(rng, seed, tokens=_YAML_TOKENS), with_variables
    # JSON is YAML, and dumps what YAML's own writer would refuse
    document = mutations.tree(rng, rng.choice(_PLANS), words=_WORDS)
    text = mutations.as_json(rng, document)
    return "plan.yml", mutations.damaged(rng, text, tokens=_YAML_TOKENS) if rng.random() < 0.1 else text, with_variables


def _sheet(rng: random.Random) -> bytes:
    seed = (_EXAMPLES / "plan.csv").read_bytes()
    if rng.random() < 0.5:
        return mutations.damaged(rng, seed, tokens=_CSV_TOKENS)
    rows = mutations.tree(rng, list(csv.reader(io.StringIO(seed.decode()))), words=_WORDS, deep=False)
    made = io.StringIO()
    writer = csv.writer(made, delimiter=rng.choice(",;\t"))
    for row in rows if isinstance(rows, list) else [rows]:
        cells = row if isinstance(row, list) else [row]
        writer.writerow([json.dumps(one) if isinstance(one, dict | list) else one for one in cells])
    return made.getvalue().encode("utf-8", errors="surrogatepass")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Some disks, links that go round in circles, and one that leads out."""
    made = tmp_path / "here"
    (made / "deep" / "er").mkdir(parents=True)
    for name in ("a.raw", "b.raw", "c.vmdk", "deep/d.vmdk", "deep/er/e.ova", "demo.ova", "web 1.img", "[f].raw"):
        (made / name).write_bytes(b"disk" * 256)
    for name in ("round", "and-round"):
        (made / name).symlink_to(made)
    (made / "out").symlink_to(tmp_path / "secret")
    return made


def _reader(folder: Path) -> Callable[[tuple[str, bytes, bool]], None]:
    def read(made: tuple[str, bytes, bool]) -> None:
        name, data, with_variables = made
        path = folder / name
        path.write_bytes(data)
        variables = {"HOME": "\udc80\x1b[31m", "A": "x" * 9999} if with_variables else None
        plan = validate.load(path, settings=Settings(), variables=variables)
        harness.printed({"name": plan.name, "items": [dict(item.request) for item in plan.items]}, plan.name)

    return read


def test_the_seeds_are_read(folder: Path) -> None:
    read = _reader(folder)
    for plan in _PLANS:
        read(("plan.yml", json.dumps(plan).encode(), False))
    for name in ("plan.yaml", "plan.csv"):
        read((name, (_EXAMPLES / name).read_bytes(), False))


@pytest.mark.parametrize("count", inputs("plans"))
def test_plans(folder: Path, count: int) -> None:
    tally = harness.run("plans", count, folder=folder, make=_make, read=_reader(folder))
    harness.expect_no_fault(tally)
