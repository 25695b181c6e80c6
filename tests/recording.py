"""Every call that vmie's clients make, with its parameters: presigned URLs are calls too, of whoever opens them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from vmie.aws import chain
from vmie.policy.evaluate import Access
from vmie.policy.permissions import Right, rights_of

ACCOUNT, REGION = "123456789012", "us-east-1"


@dataclass(frozen=True)
class Call:
    """One call as it was asked for. `service` is IAM's name of it (its endpoint's)."""

    service: str
    operation: str
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.service}:{self.operation}"


class Recorder:
    """The calls of every session that `vmie` opens."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._paused = False
        self._lock = threading.Lock()

    def listen(self, session: boto3.Session) -> None:
        """Record the calls of all clients that the session makes from now on."""
        # emitted for each call and for each URL that is signed, before anything is sent
        session.events.register("provide-client-params", self._called)
        # blocks go by a way of their own, which asks for no parameters; first, since whoever answers ends it
        for operation in ("PutSnapshotBlock", "GetSnapshotBlock"):
            session.events.register_first(f"before-send.ebs.{operation}", self._sent)

    def _called(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        with self._lock:
            if self._paused:
                return
            self._calls.append(Call(model.service_model.endpoint_prefix, model.name, dict(params)))

    def _sent(self, request: Any, event_name: str, **_: Any) -> None:
        with self._lock:
            if not self._paused:
                snapshot_id = urlsplit(request.url).path.split("/")[2]
                self._calls.append(Call("ebs", event_name.rpartition(".")[2], {"SnapshotId": snapshot_id}))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Record nothing meanwhile: what is done only gets things ready."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def take(self) -> list[Call]:
        """The calls since the last time."""
        with self._lock:
            taken, self._calls = self._calls, []
        return taken


@contextmanager
def recorded() -> Iterator[Recorder]:
    """Record the calls of every session that vmie opens meanwhile."""
    recorder, opened = Recorder(), chain.session_of

    def session_of(profile: str | None, region: str | None) -> tuple[boto3.Session, str]:
        session, chosen = opened(profile, region)
        recorder.listen(session)
        return session, chosen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "session_of", session_of)
        yield recorder


@dataclass(frozen=True)
class Keys:
    """The KMS keys of a recorded world: of the objects in `bucket`, and of results, which `alias` means."""

    object: str
    result: str
    bucket: str = "encrypted"
    alias: str = "alias/recorded"


def accesses(calls_: Iterable[Call], keys: Keys) -> Iterator[Access]:
    """What each call asks of IAM: its rights by the table, upon what its parameters name."""
    tagged: set[str] = set()
    for call in calls_:
        for right in _rights_of(call):
            for resource in _named(call, right.on, keys):
                yield Access(right.action, resource, _context(call, right, tagged, resource))
        if call.name == "ec2:CreateTags":
            tagged |= set(call.parameters["Resources"])


def _rights_of(call: Call) -> Iterable[Right]:
    if call.name == "ec2:CreateTags":  # of whatever it names
        return [Right(call.name, kind) for kind in PREFIXES]
    return rights_of(call.name)


def _named(call: Call, kind: str, keys: Keys) -> list[str]:
    """The ARNs of a kind that a call is about; what it makes has an id of that kind."""
    given = call.parameters
    if kind == "any":
        return ["*"]
    if kind in ("bucket", "object", "source"):
        return [f"arn:aws:s3:::{one}" for one in _in_s3(kind, given)]
    if kind in ("object-key", "result-key"):
        return _on_key(call, kind, keys)
    if kind in ("role", "roles", "users", "groups", "policies", "aws-policies"):
        return _in_iam(kind, given)
    account = "" if kind in ("image", "snapshot") else ACCOUNT
    found = [one for one in _texts(given) if one.startswith(PREFIXES[kind])]
    if call.operation not in ("CreateTags", "CancelImportTask", "CancelExportTask"):  # upon one of several kinds
        found = found or [f"{PREFIXES[kind]}new"]
    return [f"arn:aws:ec2:{REGION}:{account}:{kind}/{one}" for one in found]


def _in_s3(kind: str, given: Mapping[str, Any]) -> list[str]:
    if kind == "bucket":
        return [given["Bucket"]]
    if kind == "source":
        return [f"{given['CopySource']['Bucket']}/{given['CopySource']['Key']}"]
    deleted = given.get("Delete", {}).get("Objects")
    return [f"{given['Bucket']}/{one['Key']}" for one in deleted or [given]]


def _on_key(call: Call, kind: str, keys: Keys) -> list[str]:
    if call.service == "s3":
        return [keys.object] if call.parameters["Bucket"] == keys.bucket else []
    if call.name in ("ec2:CreateVolume", "ec2:RunInstances", "ebs:GetSnapshotBlock"):  # with the key of its snapshot
        return [keys.result] if kind == "result-key" else []
    name = call.parameters.get("KeyId") or call.parameters.get("KmsKeyArn")
    found = keys.result if name == keys.alias else name
    return [found] if found == (keys.object if kind == "object-key" else keys.result) else []


def _in_iam(kind: str, given: Mapping[str, Any]) -> list[str]:
    if kind in ("policies", "aws-policies"):
        return [given["PolicyArn"]] if (":aws:policy/" in given["PolicyArn"]) == (kind == "aws-policies") else []
    one = kind.removesuffix("s")
    name = given.get(f"{one.capitalize()}Name")
    arn = f"arn:aws:iam::{ACCOUNT}:{one}/{name}" if name else str(given["PolicySourceArn"])
    return [arn] if f":{one}/" in arn else []


PREFIXES = {
    "import-image-task": "import-ami-",
    "import-snapshot-task": "import-snap-",
    "export-image-task": "export-ami-",
    "export-instance-task": "export-i-",
    "image": "ami-",
    "snapshot": "snap-",
    "instance": "i-",
    "volume": "vol-",
    "network-interface": "eni-",
    "security-group": "sg-",
    "subnet": "subnet-",
}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


_TAGGED = {
    "ec2:DeleteSnapshot": "vmie:job",
    **dict.fromkeys(("ec2:TerminateInstances", "ec2:GetConsoleOutput", "ec2:GetConsoleScreenshot"), "vmie:proof"),
}


def _context(call: Call, right: Right, tagged: set[str], resource: str) -> dict[str, str]:
    if right.action.startswith("kms:") and call.service == "s3":
        return {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    if call.name == "ec2:CreateTags":
        return {f"aws:RequestTag/{one['Key']}": one["Value"] for one in call.parameters["Tags"]}
    if right.action == "kms:CreateGrant":
        return {"kms:GrantIsForAWSResource": "true"}
    if right.action in _TAGGED:  # by the call that made it
        return {f"aws:ResourceTag/{_TAGGED[right.action]}": "job"}
    if right.action == "ec2:CreateTags":
        return {"ec2:CreateAction": call.operation}
    return {"aws:ResourceTag/vmie:job": "job"} if resource.rpartition("/")[2] in tagged else {}
