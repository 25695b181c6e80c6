"""The library in ten lines: one function per verb, results as in the JSON contract, events, nothing printed."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vmie
from tests.sandbox.conftest import bootable
from vmie import errors, events, sandbox
from vmie.model import Route
from vmie.sandbox import BUCKET
from vmie.sandbox.seed import IMAGE, INSTANCE


@pytest.fixture
def box() -> Iterator[sandbox.Sandbox]:
    with sandbox.start(seeded=True, speed=20_000) as running:
        yield running


@pytest.fixture
def vm(tmp_path: Path) -> Path:
    path = tmp_path / "server.raw"
    path.write_bytes(bootable())
    return path


def has_its_json(result: Any) -> None:
    """Every key of the contract is an attribute too, with the same value where that is plain."""
    for name, value in result.as_json().items():
        held = getattr(result, name)
        if isinstance(value, str | int | None) and name != "seconds":
            assert held == value, name


class TestImport:
    @pytest.mark.usefixtures("box")
    def test_an_image(self, vm: Path, capfd: pytest.CaptureFixture[str]) -> None:
        made = vmie.import_image(vm, bucket=BUCKET, name="web-1", tags={"team": "web"}, skip_check=["all"])
        assert made.status == "completed"
        assert made.image_id
        assert made.image_id.startswith("ami-")
        has_its_json(made)
        assert capfd.readouterr() == ("", "")

    @pytest.mark.usefixtures("box")
    @pytest.mark.parametrize("route", ["snapshot", "volume"])
    def test_another_route(self, vm: Path, route: str) -> None:
        options = {"availability_zone": "us-east-1a"} if route == "volume" else {}
        made = vmie.import_image(str(vm), bucket=BUCKET, route=route, skip_check=["all"], **options)
        assert made.route is Route(route)
        assert made.snapshot_ids or made.volume_ids
        has_its_json(made)

    def test_what_is_sent_without_waiting_is_resumed(self, vm: Path, box: sandbox.Sandbox) -> None:
        begun = vmie.import_image(vm, bucket=BUCKET, wait=False, skip_check=["all"])
        assert begun.status == "active"
        done = vmie.resume(begun.job)
        assert done.as_json()["task_id"] == begun.task_id
        assert box.stats.calls["ec2:ImportImage"] == 1

    def test_a_job_is_cancelled(self, vm: Path, box: sandbox.Sandbox) -> None:
        box.faults.stall_task()
        begun = vmie.import_image(vm, bucket=BUCKET, wait=False, skip_check=["all"])
        vmie.cancel(begun.job)
        with pytest.raises(errors.UsageError, match="cancelled"):
            vmie.resume(begun.job)

    def test_the_state_is_where_it_is_asked_for(self, vm: Path, box: sandbox.Sandbox, tmp_path: Path) -> None:
        made = vmie.import_image(vm, bucket=BUCKET, state=tmp_path / "state", skip_check=["all"])
        assert list((tmp_path / "state").rglob(f"{made.job}*"))
        with pytest.raises(errors.UsageError):
            vmie.resume(made.job)

    @pytest.mark.usefixtures("box")
    def test_a_mistake_names_the_option_as_python_writes_it(self, vm: Path) -> None:
        with pytest.raises(errors.UsageError) as caught:
            vmie.import_image(vm, bucket=BUCKET, license_type="AWS", usage_operation="RunInstances:0800")
        shown = f"{caught.value.message} {caught.value.cause} {caught.value.cure}"
        assert "--" not in shown
        assert "license_type" in shown
        assert set(caught.value.fields) == {"license_type", "usage_operation"}


class TestOthers:
    def test_check_reads_only(self, vm: Path) -> None:
        report = vmie.check(vm, route="image")
        assert [image.path for image in report.images] == [str(vm)]
        for image in report.images:
            has_its_json(image)
        assert report.images[0].verdict["snapshot"] == "pass"

    def test_convert(self, vm: Path, tmp_path: Path) -> None:
        done = vmie.convert(vm, tmp_path / "out.vmdk")
        assert done.format == "vmdk"
        assert (tmp_path / "out.vmdk").stat().st_size
        with pytest.raises(errors.UsageError, match="exists"):
            vmie.convert(str(vm), str(tmp_path / "out.vmdk"))

    @pytest.mark.usefixtures("box")
    def test_export_of_both_kinds(self, tmp_path: Path) -> None:
        done = vmie.export(IMAGE, format="raw", bucket=BUCKET, download=tmp_path)
        assert [Path(path).exists() for path in done.downloaded] == [True]
        has_its_json(done)
        assert vmie.export(INSTANCE, format="vmdk", bucket=BUCKET).status == "completed"

    @pytest.mark.usefixtures("box")
    def test_upload(self, vm: Path) -> None:
        done = vmie.upload(vm, f"s3://{BUCKET}/images/server.vmdk")
        assert done.object == f"s3://{BUCKET}/images/server.vmdk"
        has_its_json(done)

    def test_setup_role(self, box: sandbox.Sandbox) -> None:
        box.client("s3").create_bucket(Bucket="more")
        done = vmie.setup_role(buckets=[BUCKET, "more"])
        assert done.role_arn.endswith("role/vmimport")
        assert done.changes
        assert not vmie.setup_role(buckets=[BUCKET, "more"]).changes

    @pytest.mark.usefixtures("box")
    def test_run_batch_reports_failed_items_as_a_result(self, vm: Path) -> None:
        plan = vm.with_name("plan.yaml")
        plan.write_text(f"defaults: {{bucket: {BUCKET}, skip_check: all}}\nitems: [{{source: server.raw, key: web}}]\n")
        outcome = vmie.run_batch(plan)
        assert (outcome.total, outcome.completed, outcome.failed) == (1, 1, 0)
        has_its_json(outcome)
        again = vmie.resume(outcome.batch)
        assert again.as_json() == outcome.as_json()


class TestEvents:
    @pytest.mark.usefixtures("box")
    def test_the_callback_and_the_log_have_the_same_events(self, vm: Path, caplog: pytest.LogCaptureFixture) -> None:
        seen: list[events.Event] = []
        with caplog.at_level(logging.DEBUG, logger="vmie"):
            vmie.upload(vm, f"s3://{BUCKET}/a.vmdk", on_event=seen.append)
        records = [record for record in caplog.records if record.name == "vmie"]
        assert [vars(record)["event"] for record in records] == seen
        assert {record.levelno for record in records} == {logging.DEBUG, logging.INFO}
        assert any(isinstance(event, events.Progress) for event in seen)
        assert "Signature" not in caplog.text

    def test_a_warning_is_a_warning(self, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
        odd = tmp_path / "odd.vhd"
        odd.write_bytes(bootable())
        vmie.convert(odd, tmp_path / "out.raw")
        assert [record.levelname for record in caplog.records] == ["WARNING"]

    def test_without_a_handler_nothing_is_printed_and_none_is_installed(self, vm: Path, tmp_path: Path) -> None:
        odd = tmp_path / "odd.vhd"
        odd.write_bytes(vm.read_bytes())
        code = (
            "import logging, sys, vmie\n"
            "vmie.convert(sys.argv[1], sys.argv[2])\n"
            "assert not logging.getLogger('vmie').handlers and not logging.getLogger().handlers\n"
        )
        argv = [sys.executable, "-c", code, str(odd), str(tmp_path / "out.raw")]
        done = subprocess.run(argv, check=True, capture_output=True)
        assert (done.stdout, done.stderr) == (b"", b"")


class TestImports:
    def test_the_package_is_cheap(self) -> None:
        code = (
            "import sys, vmie\n"
            "loaded = {'boto3', 'botocore', 'moto', 'dbos', 'pydantic', 'sqlalchemy', 'typer'} & set(sys.modules)\n"
            "assert not loaded, loaded\n"
            "assert not [name for name in sys.modules if name.startswith('vmie.') and name != 'vmie._version']\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    @pytest.mark.parametrize("name", vmie.__all__)
    def test_what_is_public_is_there(self, name: str) -> None:
        assert getattr(vmie, name) is not None

    def test_nothing_else_is(self) -> None:
        with pytest.raises(AttributeError, match="batches"):
            vmie.batches  # noqa: B018

    def test_an_unknown_option_is_refused(self, box: sandbox.Sandbox, vm: Path) -> None:
        with pytest.raises(errors.UsageError, match="colour"):
            vmie.import_image(vm, bucket=BUCKET, colour="red")
        with pytest.raises(errors.UsageError, match="colour"):
            vmie.run_batch(vm, colour="red")  # type: ignore[call-arg]
        with pytest.raises(errors.UsageError, match="'sideways' is none of image, snapshot") as caught:
            vmie.check(vm, route="sideways")
        assert caught.value.fields == ("route",)
