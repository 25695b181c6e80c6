"""The real `aws` CLI drives the sandbox: whoever knows AWS finds everything in its place."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.conftest import bootable
from tests.tools import ROOT, find, need, run
from vmie import sandbox
from vmie.sandbox import Sandbox

BUCKET = "aws-cli-images"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    need("aws")
    # Two seconds of import are enough for a program that takes one to start.
    with sandbox.serve(speed=600) as box:
        yield Aws(box, tmp_path_factory.mktemp("aws"))


class Aws:
    """The program, pointed at the sandbox."""

    def __init__(self, box: Sandbox, folder: Path) -> None:
        self.box = box
        self.folder = folder
        (folder / "disk.raw").write_bytes(bootable())
        self._env = {
            **box.environment(),
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "AWS_PAGER": "",
            "AWS_CONFIG_FILE": str(folder / "config"),
        }

    def __call__(self, *arguments: str) -> Any:
        done = run(["aws", *arguments, "--output", "json"], env=self._env, cwd=self.folder)
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout

    def refused(self, *arguments: str) -> str:
        done = subprocess.run(
            [find("aws") or "aws", *arguments], env=self._env, cwd=self.folder, capture_output=True, text=True
        )
        assert done.returncode != 0
        return done.stderr


def test_the_guides_walk_through(aws: Aws) -> None:
    """Role, bucket, upload, imports, wait, export, cancel: in one test, for each call takes a second."""
    policies = ROOT / "policies"
    rights = (policies / "role-policy.json").read_text().replace("<disk-image-file-bucket>", BUCKET)
    (aws.folder / "role-policy.json").write_text(rights)
    container = {"Description": "disk", "Format": "raw", "UserBucket": {"S3Bucket": BUCKET, "S3Key": "disk.raw"}}
    (aws.folder / "containers.json").write_text(json.dumps([container]))
    (aws.folder / "container.json").write_text(json.dumps(container))

    aws("s3", "mb", f"s3://{BUCKET}")
    aws("s3", "cp", "--no-progress", "disk.raw", f"s3://{BUCKET}/disk.raw")

    imported = ("ec2", "import-image", "--description", "cli", "--disk-containers", "file://containers.json")
    assert "(InvalidParameter)" in aws.refused(*imported), "there is no role yet"
    trust = f"file://{policies / 'trust-policy.json'}"
    aws("iam", "create-role", "--role-name", "vmimport", "--assume-role-policy-document", trust)
    aws(
        *("iam", "put-role-policy", "--role-name", "vmimport", "--policy-name", "vmimport"),
        *("--policy-document", "file://role-policy.json"),
    )

    image_task = aws(*imported)["ImportTaskId"]
    snapshot_task = aws("ec2", "import-snapshot", "--disk-container", "file://container.json")["ImportTaskId"]
    image_id = _image_of(aws, image_task)
    # By now it is done: the waiter looks again only after fifteen seconds.
    aws("ec2", "wait", "snapshot-imported", "--import-task-ids", snapshot_task)
    (done,) = aws("ec2", "describe-import-snapshot-tasks", "--import-task-ids", snapshot_task)["ImportSnapshotTasks"]
    assert done["SnapshotTaskDetail"]["SnapshotId"].startswith("snap-")

    assert "InvalidParameter" in aws.refused(*_export(image_id)), "the seed's role may not write"
    grant = json.loads(rights)
    grant["Statement"][0]["Action"].append("s3:GetBucketAcl")
    grant["Statement"][1]["Action"].append("s3:PutObject")
    (aws.folder / "role-policy.json").write_text(json.dumps(grant))
    aws(
        *("iam", "put-role-policy", "--role-name", "vmimport", "--policy-name", "vmimport"),
        *("--policy-document", "file://role-policy.json"),
    )
    export_task = aws(*_export(image_id))["ExportImageTaskId"]

    _until(lambda: f"out/{export_task}.vmdk" in aws("s3", "ls", "--recursive", f"s3://{BUCKET}/out/"))
    aws("s3", "cp", "--no-progress", f"s3://{BUCKET}/out/{export_task}.vmdk", "back.vmdk")
    need("qemu-img")
    run(["qemu-img", "convert", "-O", "raw", aws.folder / "back.vmdk", aws.folder / "back.raw"])
    assert (aws.folder / "back.raw").read_bytes()[: 2 << 20] == bootable()

    aws.box.durations.median = 60_000  # a hundred seconds, in which any machine can start the program once more
    unwanted = aws(*imported)["ImportTaskId"]
    assert aws("ec2", "cancel-import-task", "--import-task-id", unwanted)["State"] == "deleting"
    assert aws.box.stats.tasks == {"import-image": 2, "import-snapshot": 1, "export-image": 1}


def _export(image_id: str) -> tuple[str, ...]:
    where = f"S3Bucket={BUCKET},S3Prefix=out/"
    return (
        *("ec2", "export-image", "--image-id", image_id, "--disk-image-format", "VMDK"),
        *("--s3-export-location", where),
    )


def _image_of(aws: Aws, task_id: str) -> str:
    seen: list[dict[str, Any]] = []

    def completed() -> bool:
        (task,) = aws("ec2", "describe-import-image-tasks", "--import-task-ids", task_id)["ImportImageTasks"]
        seen.append(task)
        return bool(task["Status"] == "completed")

    _until(completed)
    return str(seen[-1]["ImageId"])


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
