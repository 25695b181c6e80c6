"""Each option once: from its field come the help, the plan file's field, the JSON Schema and the reference."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from vmie.batch.plan.schema import ItemModel, spelled
from vmie.cli.app import build
from vmie.cli.verbs import VERBS
from vmie.options import ExportRequest, ImportRequest, Options, ProofRequest, RoleRequest, UploadRequest
from vmie.options.base import GROUPS, extra, fields_of
from vmie.options.spelling import present, typed

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "docs" / "reference"
REQUESTS = {
    "import": ImportRequest,
    "export": ExportRequest,
    "upload": UploadRequest,
    "setup-role": RoleRequest,
    "boot": ProofRequest,
}


@pytest.fixture(scope="module")
def root() -> Any:
    return typer.main.get_command(build())


@pytest.mark.parametrize("verb", REQUESTS)
def test_every_option_is_a_flag_with_a_help(verb: str, root: Any) -> None:
    flags = {flag: option for option in root.commands[verb].params for flag in option.opts}
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    section = page[page.index(f"## `vmie {verb}`") :]
    for name, info in fields_of(REQUESTS[verb]).items():
        said = extra(info)
        assert said.group in GROUPS
        if not said.argument:
            for flag in said.flags or (f"--{name.replace('_', '-')}",):
                assert flags[flag].help
                assert (f"`{flag}`" in section) is (flag in present(said.flags) or not said.flags)


@pytest.mark.parametrize("model", REQUESTS.values())
def test_an_error_writes_an_option_as_it_is_declared(model: type[Options]) -> None:
    for name, info in fields_of(model).items():
        said = extra(info)
        plain = f"--{name.replace('_', '-')}"
        # a flag of its own may stand beside the plain one, which the other verbs have alone
        assert typed(name) in ((said.metavar or name,) if said.argument else (*said.flags, plain))
        assert typed(name) != plain or not said.flags or plain in said.flags


@pytest.mark.parametrize("model", [ImportRequest, ExportRequest])
def test_every_option_is_a_field_of_plans(model: type[Options]) -> None:
    page = (REFERENCE / "plan-file.md").read_text(encoding="utf-8")
    schema = json.loads((REFERENCE / "plan.schema.json").read_text(encoding="utf-8"))["$defs"]
    for name, info in fields_of(model).items():
        said = extra(info)
        if said.argument:
            continue
        if not said.in_plans:
            other = fields_of(ImportRequest).get(name) if model is ExportRequest else None
            assert name not in spelled(ItemModel) or (other is not None and extra(other).in_plans)
            assert f"`--{name.replace('_', '-')}`" in page  # with the reason
            continue
        assert name in spelled(ItemModel)
        assert f"| `{name}` |" in page
        assert name in schema["ItemModel"]["properties"]
        assert (name in schema["DefaultsModel"]["properties"]) is not said.single


@pytest.mark.parametrize(
    "name", ["boot_mode", "shutdown_behavior", "storage_class", "imds_v2", "monitoring", "sse_kms_key"]
)
def test_an_option_is_in_three_files_at_most(name: str) -> None:
    """Its field, what uses it, and the request to AWS."""
    word = re.compile(rf"\b{name}\b")
    found = [path for path in (ROOT / "vmie").rglob("*.py") if word.search(path.read_text(encoding="utf-8"))]
    assert len(found) <= 3, found


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_names_a_verb_by_its_own_first_sentence(verb: str, root: Any) -> None:
    first = re.split(r"\n\n", root.commands[verb].help)[0].replace("\n", " ")
    assert first.rstrip(".").startswith(VERBS[verb].summary.rstrip("."))


def test_the_help_loads_no_verb() -> None:
    code = "import sys; from vmie.cli import run; run(['--help']); print(*sorted(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    loaded = set(told.splitlines()[-1].split())
    assert "vmie.cli.verbs" in loaded
    assert not loaded & {"pydantic", "boto3", "vmie.options", "vmie.cli.import_", "vmie.cli.batch"}


@pytest.mark.parametrize(
    ("words", "cword", "offers"),
    [
        ("vmie ", 1, {"import", "setup-role", "batch"}),
        ("vmie import --as ", 3, {"image", "snapshot", "instance", "volume"}),
        ("vmie import --vol", 2, {"--volume-type", "--volume-size"}),
        ("vmie batch r", 2, {"run", "resume", "report"}),
    ],
)
def test_the_shell_completes(words: str, cword: int, offers: set[str]) -> None:
    environ = {
        "_VMIE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(cword),
        "PATH": "/usr/bin:/bin",
    }
    shown = subprocess.run(
        [sys.executable, "-c", "from vmie.cli import main; main()"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environ,
    ).stdout
    assert offers <= set(shown.split())
