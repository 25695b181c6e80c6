"""What AWS said, explained: by the catalogue alone, or, for a task, weighed against what is really so."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmie import catalogue, limits
from vmie.aws.session import Aws
from vmie.catalogue import CatalogueEntry, Explanation
from vmie.checks import RULES, Rule
from vmie.errors import PYTHON, Run, Terms, UsageError, actions
from vmie.model import Task, TaskKind, TaskState, Verdict
from vmie.ops import doctor, tasks
from vmie.ops.doctor import Line, diagnosis
from vmie.ops.export import rules as export_rules
from vmie.ops.export.rules import ExportRule
from vmie.policy.permissions import JobKind
from vmie.poll import Clock
from vmie.settings import Settings

#: a longer text is a message, not what somebody looks for
_MOST_WORDS = 5
_MOST_NEAR = 10
_RULE = re.compile(r"(?:VMIE-)?([A-Z]{2,8}-\d{3})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Explained:
    """`explanation` is None for a task that did not fail. `lines` are what was looked at, failures first.

    `rule` or `limit` is set where one was asked for by its id. `like` are the messages of which the text may be a part:
    a single one is explained, several are named. `near` are rules and limits (id, what it says) about the
    words, where no message has them.
    """

    explanation: Explanation | None
    task: Task | None = None
    lines: tuple[Line, ...] = ()
    rule: Rule | ExportRule | None = None
    limit: limits.Limit | None = None
    like: tuple[CatalogueEntry, ...] = ()
    near: tuple[tuple[str, str], ...] = ()

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules of `vmie check` that foresee this message."""
        if self.rule is not None:
            return (self.rule.id,)
        return foreseen_by(self.explanation.id) if self.explanation else ()

    @property
    def culprit(self) -> Line | None:
        """The first cause that is really so."""
        return next((line for line in self.lines if line.verdict is Verdict.FAIL), None)

    @property
    def cleared(self) -> tuple[Line, ...]:
        """What was looked at and is well: none of these is the cause."""
        return tuple(line for line in self.lines if line.verdict is Verdict.PASS)

    def as_json(self, terms: Terms = PYTHON) -> dict[str, Any]:
        """The contracted ``result``."""
        found: Mapping[str, Any] = self.explanation.as_json(terms) if self.explanation else {"id": None, "known": True}
        return {
            **found,
            "rules": list(self.rules),
            "task": self.task.as_json() if self.task else None,
            "lines": [line.as_json() for line in self.lines],
            "rule": self.rule.as_json(terms) if self.rule else None,
            "limit": self.limit.as_json() if self.limit else None,
            "like": [{"id": entry.id, "message": catalogue.words(entry.id)} for entry in self.like],
            "near": [{"id": name, "title": title} for name, title in self.near],
        }


def message(text: str) -> Explained:
    """Explain what somebody's log says, a part of it, or a rule, message or limit by its id; nothing is asked of AWS.

    Raises UsageError for a rule that there is not.
    """
    if named := _RULE.fullmatch(text.strip()):
        return _rule(f"VMIE-{named[1].upper()}")
    if (name := text.strip().lower()) in catalogue.entries():
        return Explained(catalogue.explanation(catalogue.entries()[name], catalogue.words(name)))
    if name in limits.BY_ID:
        return _limit(limits.BY_ID[name])
    known = catalogue.explain(text)
    if known.known:
        return Explained(known)
    like = catalogue.containing(text)
    if len(like) == 1:
        return Explained(catalogue.explanation(like[0], text), like=like)
    return Explained(known, like=like, near=() if like else _about(text))


def _about(text: str) -> tuple[tuple[str, str], ...]:
    """The rules and limits that have every word of a short text in them; () for a long one."""
    wanted = {word.removesuffix("s") for word in re.findall(r"\w{3,}", text[:200].lower())}
    if not wanted or len(wanted) > _MOST_WORDS:
        return ()
    every = [(rule.id, rule.title) for rule in RULES]
    every += [(rule.id, rule.title) for rule in export_rules.RULES]
    every += [(one.id, f"{one.title}: {one.value:,} {one.unit} ({one.source})") for one in limits.ALL]
    found = (one for one in every if wanted <= _stems(" ".join(one)))
    return tuple(found)[:_MOST_NEAR]


def _stems(text: str) -> set[str]:
    return {word.removesuffix("s") for word in re.findall(r"[^\W_]+", text.lower())}


def ids() -> tuple[str, ...]:
    """Every id that can be explained: of rules, messages and limits."""
    rules = (*(rule.id for rule in RULES), *(rule.id for rule in export_rules.RULES))
    return (*rules, *catalogue.entries(), *limits.BY_ID)


def _limit(limit: limits.Limit) -> Explained:
    """What a limit is, and what can be done about it."""
    ask = ("ask for more: Service Quotas",) if limit.adjustable else ()
    explanation = Explanation(
        id=limit.id,
        message=f"{limit.title}: {limit.value:,} {limit.unit}",
        causes=(limit.note,) if limit.note else (),
        cure=actions((*ask, Run(("vmie", "limits"), "shows what is in use"))),
        kind="limit",
        source=limit.source,
    )
    return Explained(explanation, limit=limit)


def _rule(rule_id: str) -> Explained:
    every: dict[str, Rule | ExportRule] = {rule.id: rule for rule in RULES}
    every |= {rule.id: rule for rule in export_rules.RULES}
    rule = every.get(rule_id)
    if rule is None:
        near = difflib.get_close_matches(rule_id, every, n=3, cutoff=0.5)
        raise UsageError(
            f"there is no rule {rule_id}",
            cure=(Run(("vmie", "explain", one), "one like it") for one in near),
            code="NoSuchRule",
        )
    explanation = Explanation(
        id=rule.id,
        message=rule.title,
        causes=(),
        cure=actions(rule.cure),
        kind="rule",
        source="; ".join(dict.fromkeys(one.source for one in rule.evidence)),
    )
    return Explained(explanation, rule=rule)


def task(aws: Aws, task_id: str, *, settings: Settings, clock: Clock) -> Explained:
    """Explain how a task ended: its message, its object, the role and the key, as they are now.

    Raises UsageError for no task id, VmieError (TaskNotFound) when AWS shows it no more.
    """
    shown = tasks.show(aws, task_id)
    if not shown.state.failed and shown.state is not TaskState.UNKNOWN:
        return Explained(None, shown)
    explanation = catalogue.explain(shown.message)
    if not shown.message:
        return Explained(explanation, shown)
    case = doctor.case_of(
        aws,
        settings=settings,
        clock=clock,
        job=_JOBS.get(shown.kind, JobKind.IMPORT_INSTANCE if shown.instance_id else JobKind.IMPORT_VOLUME),
        bucket=shown.bucket or "",
        key=_key(shown),
        role_name=str(shown.raw.get("RoleName") or ""),
        keys=[shown.prefix_or_key] if shown.bucket and shown.prefix_or_key and _reads(shown) else [],
    )
    return Explained(explanation, shown, tuple(diagnosis.weigh(explanation.id, case)))


def is_task_id(text: str) -> bool:
    """Whether `text` is a task's id rather than a message."""
    try:
        TaskKind.of(text)
    except ValueError:
        return False
    return " " not in text.strip()


def foreseen_by(entry: str) -> tuple[str, ...]:
    """The ids of the rules whose failure the service would word as catalogue entry `entry`."""
    return tuple(sorted(rule.id for rule in RULES if rule.predicts == entry))


#: what a task is of, where its kind says it
_JOBS = {
    TaskKind.IMPORT_IMAGE: JobKind.IMPORT_IMAGE,
    TaskKind.IMPORT_SNAPSHOT: JobKind.IMPORT_SNAPSHOT,
    TaskKind.EXPORT_IMAGE: JobKind.EXPORT_IMAGE,
    TaskKind.EXPORT_INSTANCE: JobKind.EXPORT_INSTANCE,
}


def _reads(shown: Task) -> bool:
    return shown.kind in (TaskKind.IMPORT_IMAGE, TaskKind.IMPORT_SNAPSHOT)


def _key(shown: Task) -> str:
    detail = shown.raw.get("SnapshotTaskDetail") or {}
    return str(shown.raw.get("KmsKeyId") or detail.get("KmsKeyId") or "")
