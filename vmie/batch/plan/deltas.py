"""A plan whose disks go ahead of the day of the move: first whole, then again and again what changed.

synced ─► all blocks ─► synced ─► what changed ─► … ─► cut_over ─► what changed since, then all that the plan says
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vmie.batch.model import BatchPlan, ItemKind, PlanItem
from vmie.errors import UsageError
from vmie.model import Route
from vmie.ops.import_.direct_parent import LAST
from vmie.options import ImportRequest
from vmie.options.base import extra, fields_of
from vmie.options.import_conflicts import UNNEEDED_BY_EBS


def synced(plan: BatchPlan) -> BatchPlan:
    """`plan` as snapshots alone, each based on the disk's last one. Raises UsageError for an item that cannot be."""
    return replace(plan, items=tuple(_synced(item) for item in plan.items))


def cut_over(plan: BatchPlan) -> BatchPlan:
    """`plan` as it is, each disk based on its last snapshot. Raises UsageError for an item that cannot be."""
    return replace(plan, items=tuple(replace(item, request=_based(item, _given(item))) for item in plan.items))


def _synced(item: PlanItem) -> PlanItem:
    given = {name: value for name, value in _given(item).items() if _of_snapshots(name)}
    return replace(item, kind=ItemKind.SNAPSHOT, request=_based(item, {**given, "route": Route.SNAPSHOT.value}))


def _of_snapshots(name: str) -> bool:
    """Whether an option says something of a snapshot: what that route alone takes is of the AMI that is made of it."""
    routes = extra(fields_of(ImportRequest)[name]).routes
    return name not in UNNEEDED_BY_EBS and (not routes or (Route.SNAPSHOT in routes and len(routes) > 1))


def _given(item: PlanItem) -> dict[str, Any]:
    """What the plan says of an item, without what is the default anyway. Raises UsageError for one of another way."""
    if item.kind is ItemKind.EXPORT or item.request.get("via") != "ebs":
        raise UsageError(
            f"{item.key} does not go block by block",
            cause="only what differs from the last snapshot is sent, and a snapshot is written by EBS direct",
            cure="give it `via: ebs`, or leave it to a plan of its own",
            code="PlanRefused",
        )
    usual = ImportRequest(sources=("/",)).as_json()
    return {name: value for name, value in item.request.items() if value != usual.get(name)}


def _based(item: PlanItem, given: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return ImportRequest(**{"parent": LAST, **given}).as_json()
    except UsageError as error:
        error.add_cause(f"the item {item.key}")
        raise
