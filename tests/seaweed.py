"""A real S3 server for tests and benchmarks: SeaweedFS on loopback, with credentials, data in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.tools import find

KEY, SECRET = "seaweedkey", "seaweedsecret"
#: its STS has accounts of its own making; the region is whatever the client says
REGION = "us-east-1"
_START_SECONDS = 60.0


@dataclass(frozen=True)
class Seaweed:
    """A running server. `url` is its S3 endpoint, `pid` the process."""

    url: str
    pid: int

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def environ(self) -> dict[str, str]:
        """What points the AWS CLI, s5cmd and vmie at it."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str = "s3") -> Any:
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 3}, read_timeout=30)
        session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
        return session.client(service, endpoint_url=self.url, config=config)


@contextmanager
def serve(folder: Path) -> Iterator[Seaweed]:
    """Start it, wait until it takes an object, and stop it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "s3.json"
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config.write_text(json.dumps({"identities": [identity]}))
    data = folder / "data"
    data.mkdir(exist_ok=True)
    names = ("master", "volume", "filer", "s3")
    ports = _free_ports(2 * len(names))
    options = [f"-{name}.port={ports[2 * i]}" for i, name in enumerate(names)]
    options += [f"-{name}.port.grpc={ports[2 * i + 1]}" for i, name in enumerate(names)]
    argv = [
        find("weed") or "weed",
        "-v=0",
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        f"-s3.config={config}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.localSocket={folder}/s3.sock",
        f"-filer.localSocket={folder}/filer.sock",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=1024",
        "-volume.max=200",
        *options,
    ]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder, env={**os.environ, "HOME": str(folder)})
    try:
        server = Seaweed(f"http://127.0.0.1:{ports[6]}", process.pid)
        _wait(server, process, folder / "weed.log")
        yield server
    finally:
        process.kill()  # its data goes too
        process.wait()


def _wait(server: Seaweed, process: subprocess.Popen[bytes], log: Path) -> None:
    client = server.client()
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(ClientError, BotoCoreError):
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="ready", Body=b"ready")
            return
        time.sleep(0.2)
    raise AssertionError(f"SeaweedFS did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


@contextmanager
def shared(folder: Path) -> Iterator[Seaweed]:
    """`serve`, with a bucket `images` in it."""
    with serve(folder) as server:
        server.client().create_bucket(Bucket="images")
        yield server
