"""`vmie explain`: what a message of AWS means, and how a task ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from vmie import catalogue
from vmie.cli import completion, context, render
from vmie.cli.terms import TERMS
from vmie.model import Route

if TYPE_CHECKING:
    from vmie.catalogue import Explanation
    from vmie.checks import Rule
    from vmie.ops.explaining import Explained
    from vmie.ops.export.rules import ExportRule


def explain(
    ctx: typer.Context,
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="MESSAGE|TASK|ID...",
            help="A message of AWS, a task's id, or the id of a rule, message or limit.",
            autocompletion=completion.explained,
        ),
    ],
) -> None:
    """Explain a message of AWS, why a task failed, a rule of `vmie check`, or a limit.

    vmie explain "ClientError: No valid partitions. Not a valid volume."

    vmie explain import-ami-0123456789abcdef0

    vmie explain VMIE-OS-005

    vmie explain concurrent-imports

    A message, or a part of one, is explained from the catalogue, offline; so are rules and limits. For a task, its
    object, role and key are checked too, to name the actual cause among the possible ones.
    """
    from vmie.ops import explaining as op
    from vmie.poll import SystemClock

    run = context.of(ctx)
    text = " ".join(what)
    if op.is_task_id(text):
        found = op.task(run.aws(), text.strip(), settings=run.settings, clock=SystemClock())
    else:
        found = op.message(text)
    render.finish(
        run,
        "explain",
        found.as_json(TERMS),
        text="\n".join(
            _rule_lines(found.rule) if found.rule else _limit_lines(found) if found.limit else _lines(found)
        ),
    )


def _lines(found: Explained) -> list[str]:
    lines: list[str] = []
    task, known = found.task, found.explanation
    if task is not None:
        said = task.message or task.stage
        lines.append(f"{task.id} is {task.state.value}{f': {known.message if known else said}' if said else ''}")
    if known is None:
        return [*lines, "it did not fail: there is nothing to explain"]
    if task is not None and not task.message:
        return [*lines, "AWS gives no reason: it was cancelled, or its reason is gone"]
    if task is None:
        lines.append(known.message)
    lines.append(_known(known))
    lines += _block("in full" if known.known else "a part of", [catalogue.words(entry.id) for entry in found.like])
    if found.like and not known.known:
        return lines
    if found.near:
        return [
            *lines,
            *_block(
                "rules and limits about it (`vmie explain ID`)", [f"{name}  {title}" for name, title in found.near]
            ),
        ]
    culprit = found.culprit
    if culprit is not None:
        lines += _block("because", [culprit.what, *culprit.why.splitlines()])
        if culprit.statement:
            lines += _block("add this statement", json.dumps(dict(culprit.statement), indent=2).splitlines())
        lines += _block("cure", culprit.cure.splitlines())
    else:
        lines += _block("causes, most likely first" if len(known.causes) > 1 else "cause", list(known.causes))
        lines += _block("cure", [action.text(TERMS) for action in known.cure])
    if found.cleared:
        lines += _block("checked, and in order", [line.what for line in found.cleared])
    if unsure := [line for line in found.lines if line.verdict.value == "unknown"]:
        lines += _block("could not be checked", [line.what for line in unsure])
    if found.rules:
        lines += _block("`vmie check` predicts it", [", ".join(found.rules)])
    return [*lines, f"again? {_RETRY[known.retry]}", *([f"source: {known.source}"] if known.source else [])]


def _rule_lines(rule: Rule | ExportRule) -> list[str]:
    shown = rule.as_json(TERMS)
    profiles = f", profile {shown['profiles'][0]}" if len(shown["profiles"]) == 1 else ""
    routes = "every route" if len(shown["routes"]) == len(Route) else ", ".join(shown["routes"]) or "exports"
    return [
        f"{rule.id}: {rule.title}",
        f"when it trips: {rule.verdict.value}, unless what was seen says otherwise",
        f"looked at for: {routes}{profiles}",
        *_block("evidence", [one.line for one in rule.evidence]),
        *_block("AWS would say", [shown["predicts"]] if shown["predicts"] else []),
        *_block("cure", shown["cure"]),
    ]


def _limit_lines(found: Explained) -> list[str]:
    known, limit = found.explanation, found.limit
    if known is None or limit is None:
        return []
    was = [f"2016: {limit.seed:,} {limit.unit}"] if limit.seed is not None and limit.seed != limit.value else []
    return [
        f"{limit.id}: {known.message}",
        *was,
        *_block("note", list(known.causes)),
        *_block("cure", [action.text(TERMS) for action in known.cure]),
        f"source: {limit.source}",
    ]


def _known(known: Explanation) -> str:
    if not known.known:
        return "unknown message"
    return f"known as: {known.id}{', by its code: vmie does not know these words' if known.by_code else ''}"


_RETRY = {
    "retry": "yes, the same again may succeed",
    "propagation": "yes, within two minutes of a change: AWS may not have seen it yet",
    "wait-for-quota": "yes, when another task has ended; vmie waits by itself",
    "permanent": "not without a change",
}


def _block(title: str, items: list[str]) -> list[str]:
    return [f"{title}:", *(f"  {item}" for item in items)] if items else []
