"""The rights of the caller, job by job: read from ``calls.toml``, the one record of what vmie calls. Pure.

jobs ──► calls ──► rights (action, kind of resource, condition)
                     ├── document(…)   the policy that allows exactly them
                     └── asks(…)       each on one resource, for whoever simulates them
"""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

from vmie.policy.compare import Document
from vmie.policy.evaluate import Access


class JobKind(StrEnum):
    """What rights are asked for; an `import` is one by image or snapshot, a `batch` many of them.

    `ebs` is what goes block by block, without a bucket and without the service role.
    """

    IMPORT = "import"
    IMPORT_IMAGE = "import-image"
    IMPORT_SNAPSHOT = "import-snapshot"
    IMPORT_INSTANCE = "import-instance"
    IMPORT_VOLUME = "import-volume"
    IMPORT_IMAGE_EBS = "import-image-ebs"
    IMPORT_SNAPSHOT_EBS = "import-snapshot-ebs"
    IMPORT_VOLUME_EBS = "import-volume-ebs"
    EBS = "ebs"
    EXPORT = "export"
    EXPORT_IMAGE = "export-image"
    EXPORT_INSTANCE = "export-instance"
    EXPORT_EBS = "export-ebs"
    READ_SNAPSHOT = "read-snapshot"
    BOOT = "boot"
    UPLOAD = "upload"
    BATCH = "batch"
    SETUP_ROLE = "setup-role"
    TASKS = "tasks"
    LIMITS = "limits"
    DOCTOR = "doctor"


@dataclass(frozen=True, slots=True)
class Right:
    """One action on one kind of resource; `when` is its condition as JSON, "" for none.

    Without a right that is not `needed` the job goes on, and sees less beforehand.
    """

    action: str
    on: str
    when: str = ""
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Scope:
    """What the resources of a policy are made of. Empty: any Region, any account; none of buckets, keys and sources.

    `object_keys` are the KMS keys (ARNs) of objects, `result_keys` those of what is made; `sources` are
    ``bucket/prefix`` of objects that are in S3 already.
    """

    partition: str = "aws"
    region: str = ""
    account: str = ""
    suffix: str = "amazonaws.com"
    buckets: tuple[str, ...] = ()
    prefix: str = ""
    export_prefix: str = ""
    role: str = "vmimport"
    object_keys: tuple[str, ...] = ()
    result_keys: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def values(self) -> Mapping[str, Sequence[str]]:
        """What each placeholder may be."""
        return {
            "partition": (self.partition,),
            "region": (self.region or "*",),
            "account": (self.account or "*",),
            "suffix": (self.suffix,),
            "bucket": self.buckets,
            "prefix": (self.prefix,),
            "export-prefix": (self.export_prefix,),
            "role": (self.role,),
            "object-key": self.object_keys,
            "result-key": self.result_keys,
            "source": self.sources,
            "source-bucket": tuple(dict.fromkeys(one.partition("/")[0] for one in self.sources)),
        }


def calls(job: JobKind) -> Mapping[str, bool]:
    """What a job calls (``service:Operation``), and whether it needs to."""
    found: dict[str, bool] = {}
    for call, needed in _called(job.value):
        name = call.partition(" ")[0]
        found[name] = found.get(name, False) or needed
    return found


def rights(jobs: Iterable[JobKind]) -> tuple[Right, ...]:
    """The rights that the jobs need together, each once; what one of them needs is needed."""
    found: dict[tuple[str, str, str], bool] = {}
    for job in jobs:
        for call, needed in _called(job.value):
            for atom in _rights_of(call):
                found[atom] = found.get(atom, False) or needed
    return tuple(Right(*atom, needed=needed) for atom, needed in found.items())


def wants_bucket(jobs: Iterable[JobKind]) -> bool:
    """Whether the jobs cannot be done without a bucket."""
    patterns = _table()["resources"]
    return any(right.needed and "<bucket>" in patterns[right.on] for right in rights(jobs))


def document(jobs: Iterable[JobKind], scope: Scope) -> Document:
    """The policy that allows what the jobs call, on what `scope` names, and no more.

    A statement whose Sid begins with Look holds what the jobs go on without.
    """
    kinds: dict[tuple[bool, str, str], list[str]] = {}
    for right in rights(jobs):
        if _resources(right.on, scope):
            kinds.setdefault((right.needed, right.action, _filled(right.when, scope)), []).append(right.on)
    actions: dict[tuple[bool, tuple[str, ...], str], list[str]] = {}
    for (needed, action, when), on in kinds.items():
        actions.setdefault((needed, tuple(sorted(on)), when), []).append(action)
    statements: dict[str, Document] = {}
    for (needed, on_, when), named in sorted(actions.items(), key=lambda group: not group[0][0]):
        sid = _sid(on_, needed=needed, taken=statements)
        statements[sid] = {
            "Sid": sid,
            "Effect": "Allow",
            "Action": sorted(named),
            "Resource": list(dict.fromkeys(one for kind in on_ for one in _resources(kind, scope))),
            **({"Condition": json.loads(when)} if when else {}),
        }
    return {"Version": "2012-10-17", "Statement": list(statements.values())}


@dataclass(frozen=True, slots=True)
class Asked:
    """One right on one resource, as a simulator takes it; `resource` is what a policy allows it on."""

    access: Access
    resource: str
    needed: bool


def asks(job: JobKind, scope: Scope, *, sample: str) -> tuple[Asked, ...]:
    """The job's rights, each on one resource of its kind and with its condition met.

    `sample` is what stands for all objects, roles and policies: the last part of a name.
    """
    samples = _table()["samples"]
    found = []
    for right in rights([job]):
        for resource in _resources(right.on, scope):
            concrete = resource if resource == "*" else re.sub(r"\*$", samples.get(right.on, sample), resource)
            met = _met(json.loads(_filled(right.when, scope) or "{}"), sample)
            found.append(Asked(Access(right.action, concrete, met), resource, right.needed))
    return tuple(found)


def rights_of(name: str) -> tuple[Right, ...]:
    """What a call (``service:Operation``) needs upon the usual kinds of resource. Raises KeyError for another."""
    return tuple(Right(*atom) for atom in _rights_of(name))


def _met(condition: Mapping[str, Mapping[str, str]], sample: str) -> dict[str, str]:
    """A request's keys that meet the condition; what is only to be there is `sample`."""
    return {
        key: sample if operator == "Null" else value.replace("*", sample)
        for operator, tests in condition.items()
        for key, value in tests.items()
    }


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(resources.files("vmie.policy").joinpath("calls.toml").read_text(encoding="utf-8"))


def _called(job: str) -> Iterator[tuple[str, bool]]:
    """The calls of a job and of those that are part of it, as the table writes them, and whether it needs them."""
    entry = _table()["jobs"][job]
    for other in entry.get("with", ()):
        yield from _called(other)
    for other in entry.get("may", ()):
        yield from ((call, False) for call, _ in _called(other))
    yield from ((call, True) for call in entry.get("needs", ()))
    yield from ((call, False) for call in entry.get("looks", ()))


def _rights_of(call: str) -> Iterator[tuple[str, str, str]]:
    """(action, kind of resource, condition) of a call; ``CALL @ KIND …`` is upon other kinds than usual."""
    name, _, instead = call.partition(" @ ")
    service, _, operation = name.partition(":")
    for right in _table()["calls"][name]:
        when = json.dumps(_table()["conditions"][right["when"]]) if "when" in right else ""
        own = right["action"].startswith(f"{service}:")
        for kind in instead.split() if instead and own else right["on"]:
            yield right["action"], kind, when.replace("<operation>", operation)


def _resources(kind: str, scope: Scope) -> list[str]:
    """The ARNs of a kind, each value of each placeholder in turn; [] where one has none."""
    pattern = _table()["resources"][kind]
    names = re.findall(r"<([a-z-]+)>", pattern)
    values = scope.values()
    found = []
    for chosen in itertools.product(*(values[name] for name in names)):
        filled = iter(chosen)
        found.append(re.sub(r"<[a-z-]+>", lambda _: next(filled), pattern))  # noqa: B023 - used at once
    return found


def _filled(when: str, scope: Scope) -> str:
    return when.replace("<region>", scope.region or "*").replace("<suffix>", scope.suffix)


def _sid(kinds: Iterable[str], *, needed: bool, taken: Iterable[str]) -> str:
    words = "".join(word.capitalize() for kind in kinds for word in kind.split("-"))
    name = words if needed else f"Look{words}"
    return next(one for one in (name, *(f"{name}{number}" for number in range(2, 99))) if one not in taken)
