"""What each client does: the operations of its own guide, as its users type them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.clients import environments
from tests.clients.bench import Bench

HERE = Path(__file__).parent
_MINE = ("--image-name", "new-image")


def aws_cli(bench: Bench) -> None:
    """AWS CLI v1: the walk through AWS's guide of VM Import/Export."""
    aws = environments.program("aws")
    container = json.dumps([{"Format": "raw", "UserBucket": {"S3Bucket": "aws-images", "S3Key": "disk.raw"}}])
    named = "ResourceType=import-image-task,Tags=[{Key=Name,Value=cli}]"
    bench.run("s3 mb", [aws, "s3", "mb", "s3://aws-images"])
    bench.run("s3 cp", [aws, "s3", "cp", "disk.raw", "s3://aws-images/disk.raw", "--no-progress"])
    shown = bench.run(
        "ec2 import-image",
        [aws, "ec2", "import-image", "--disk-containers", container, "--tag-specifications", named, "--output", "json"],
    )
    task = json.loads(shown)["ImportTaskId"] if shown.startswith("{") else "import-ami-00000000000000000"
    tasks = [aws, "ec2", "describe-import-image-tasks", "--output", "json"]
    bench.run("ec2 describe-import-image-tasks", [*tasks, "--filters", "Name=tag:Name,Values=cli"], expect=task)
    bench.run("ec2 cancel-import-task", [aws, "ec2", "cancel-import-task", "--import-task-id", task])
    one = json.dumps({"Format": "raw", "UserBucket": {"S3Bucket": "aws-images", "S3Key": "disk.raw"}})
    shown = bench.run(
        "ec2 import-snapshot", [aws, "ec2", "import-snapshot", "--disk-container", one, "--output", "json"]
    )
    task = json.loads(shown)["ImportTaskId"] if shown.startswith("{") else "import-snap-00000000000000000"
    bench.run("ec2 wait snapshot-imported", [aws, "ec2", "wait", "snapshot-imported", "--import-task-ids", task])
    bench.run("s3 rb", [aws, "s3", "rb", "s3://aws-images", "--force"])


def s5cmd(bench: Bench) -> None:
    """s5cmd: uploads in parts, copies, versions."""
    s5 = [environments.program("s5cmd"), "--endpoint-url", bench.url]
    for operation, argv, expect in (
        ("mb", ["mb", "s3://s5cmd-images"], ""),
        ("cp up, in parts", ["cp", "-p", "5", "disk.raw", "s3://s5cmd-images/disk.raw"], ""),
        ("ls", ["ls", "s3://s5cmd-images"], "12582912"),
        ("head", ["head", "s3://s5cmd-images/disk.raw"], '"size":12582912'),
        ("cp within", ["cp", "s3://s5cmd-images/disk.raw", "s3://s5cmd-images/copy.raw"], ""),
        ("mv", ["mv", "s3://s5cmd-images/copy.raw", "s3://s5cmd-images/a/moved.raw"], ""),
        ("cp down", ["cp", "s3://s5cmd-images/disk.raw", "back.raw"], ""),
        ("presign", ["presign", "s3://s5cmd-images/disk.raw"], "X-Amz-Signature"),
        ("bucket-version", ["bucket-version", "--set", "Enabled", "s3://s5cmd-images"], "Enabled"),
        ("ls --all-versions", ["ls", "--all-versions", "s3://s5cmd-images"], "disk.raw"),
        ("rm --all-versions", ["rm", "--all-versions", "s3://s5cmd-images/*"], ""),
        ("rb", ["rb", "s3://s5cmd-images"], ""),
    ):
        bench.run(operation, [*s5, *argv], expect=expect)
    bench.run("what came back is what was sent", ["cmp", "disk.raw", "back.raw"])


def rclone(bench: Bench) -> None:
    """rclone: with the provider Other, as for any endpoint without TLS."""
    program = environments.python("rclone") / "bin" / "rclone"
    settings = {"PROVIDER": "Other", "ENV_AUTH": "true", "ENDPOINT": bench.url, "REGION": "us-east-1"}
    more = {"RCLONE_CONFIG": "", **{f"RCLONE_S3_{name}": value for name, value in settings.items()}}
    parts = ["--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M"]
    (bench.folder / "tree").mkdir()
    (bench.folder / "tree" / "small").write_text("bytes")
    for operation, argv, expect in (
        ("mkdir", ["mkdir", ":s3:rclone-images"], ""),
        ("copyto, in parts", ["copyto", "disk.raw", ":s3:rclone-images/disk.raw", *parts], ""),
        ("sync", ["sync", "tree", ":s3:rclone-images/tree"], ""),
        ("lsl", ["lsl", ":s3:rclone-images"], "tree/small"),
        ("check", ["check", "tree", ":s3:rclone-images/tree"], ""),
        ("check --download", ["check", ".", ":s3:rclone-images", "--include", "disk.raw", "--download"], ""),
        ("copyto within", ["copyto", ":s3:rclone-images/disk.raw", ":s3:rclone-images/copy.raw"], ""),
        ("moveto", ["moveto", ":s3:rclone-images/copy.raw", ":s3:rclone-images/moved.raw"], ""),
        ("cat a range", ["cat", ":s3:rclone-images/tree/small", "--offset", "1", "--count", "3"], "yte"),
        ("deletefile", ["deletefile", ":s3:rclone-images/moved.raw"], ""),
        ("purge", ["purge", ":s3:rclone-images"], ""),
    ):
        bench.run(operation, [program, *argv], expect=expect, more=more)


def javascript(bench: Bench) -> None:
    """The AWS SDK for JavaScript, version 3."""
    home = environments.javascript()
    shutil.copy(HERE / "javascript" / "run.mjs", home)
    bench.lines([environments.program("node"), "--no-warnings", home / "run.mjs", bench.folder / "disk.raw"])


def ec2imgutils(bench: Bench) -> None:
    """SUSE's ec2imgutils, but for ec2uploadimg, which works in a running instance over SSH."""
    tools = environments.python("ec2imgutils") / "bin"
    (bench.folder / "conf").write_text("")
    key = ["--access-id", bench.environ["AWS_ACCESS_KEY_ID"], "-s", bench.environ["AWS_SECRET_ACCESS_KEY"]]
    usual = ["-f", "conf", "-r", "us-east-1", *key]
    bench.run("ec2listimg", [tools / "ec2listimg", *usual], expect="old-image")
    share = ["--share-with", "all", "--allow-copy", "none"]
    bench.run("ec2publishimg", [tools / "ec2publishimg", *usual, *_MINE, *share])
    old = ["--image-name", "old-image"]
    replaced = ["--replacement-name", "new-image", "--deprecation-period", "6"]
    bench.run("ec2deprecateimg", [tools / "ec2deprecateimg", *usual, *old, *replaced])
    bench.run("ec2removeimg", [tools / "ec2removeimg", *usual, *old, "--preserve-snap"])


def awspub(bench: Bench) -> None:
    """Canonical's awspub: create, list, publish in two Regions, cleanup of a temporary image."""
    program = environments.python("awspub") / "bin" / "awspub"
    shutil.copy(HERE / "awspub.yaml", bench.folder)
    convert = ["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "disk.raw", "disk.vmdk"]
    bench.run("(qemu-img makes a VMDK)", [environments.program("qemu-img"), *convert])
    bench.run("create", [program, "create", "awspub.yaml"], expect="ami-")
    bench.run("create again", [program, "create", "awspub.yaml"], expect="ami-")
    bench.run("list", [program, "list", "awspub.yaml"], expect="ami-")
    bench.run("publish", [program, "publish", "awspub.yaml"])
    bench.run("cleanup", [program, "cleanup", "awspub.yaml"])


def cloudimg(bench: Bench) -> None:
    """Red Hat's cloudimg: publish, publish again, delete."""
    bench.lines([environments.python("cloudimg") / "bin" / "python", HERE / "cloudimg_run.py"])


def ansible(bench: Bench) -> None:
    """Ansible's collection amazon.aws: one play."""
    home = environments.python("ansible")
    shutil.copytree(HERE / "ansible", bench.folder / "ansible")
    more = {
        "ANSIBLE_COLLECTIONS_PATH": str(environments.collection()),
        "ANSIBLE_CALLBACK_PLUGINS": str(bench.folder / "ansible" / "callbacks"),
        "ANSIBLE_STDOUT_CALLBACK": "lines",
        "ANSIBLE_LOCALHOST_WARNING": "false",
    }
    bench.lines([home / "bin" / "ansible-playbook", "-i", "localhost,", "ansible/play.yml"], more=more)


def terraform(bench: Bench) -> None:
    """Terraform's AWS provider: apply, a plan that finds nothing to change, destroy."""
    plugins, program = environments.terraform_plugins(), environments.program("terraform")
    shutil.copy(HERE / "terraform" / "main.tf", bench.folder)
    more = {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
    usual = ["-no-color", "-input=false"]
    bench.run("init", [program, "init", *usual, f"-plugin-dir={plugins}"], more=more)
    bench.run("apply", [program, "apply", *usual, "-auto-approve"], more=more, expect="Apply complete")
    bench.run("plan: no changes", [program, "plan", *usual, "-detailed-exitcode"], more=more, expect="No changes")
    bench.run("destroy", [program, "destroy", *usual, "-auto-approve"], more=more, expect="Destroy complete")


#: by the name in the table; the first ones are quick
CLIENTS = {
    "s5cmd": s5cmd,
    "rclone": rclone,
    "AWS SDK for JavaScript v3": javascript,
    "ec2imgutils": ec2imgutils,
    "AWS CLI v1": aws_cli,
    "awspub": awspub,
    "cloudimg": cloudimg,
    "Ansible amazon.aws": ansible,
    "Terraform AWS provider": terraform,
}
QUICK = ("s5cmd", "rclone", "AWS SDK for JavaScript v3")
