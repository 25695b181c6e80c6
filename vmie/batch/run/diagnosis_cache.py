"""Why AWS refused an item, read from the account once for the five hundred items that meet the same refusal."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, TypeVar

from vmie.aws.session import Aws
from vmie.batch.model import Item
from vmie.errors import VmieError
from vmie.ops import operations
from vmie.ops.context import Context
from vmie.ops.doctor import Case, Check, bucket, looked
from vmie.ops.doctor.diagnosis import case_for, diagnosed
from vmie.ops.doctor.report import Line
from vmie.poll import Clock
from vmie.settings import Settings

T = TypeVar("T")

#: what is checked for every item: it is about the item's own object
_OWN: frozenset[Check] = frozenset((bucket.objects_there,))


class DiagnosisCache:
    """Threads share it, and wait for each other: the first reads the account, the others use what it found.

    What was found is used for `good_for` seconds, so that a retry after the account was fixed reads it again.
    """

    def __init__(self, *, settings: Settings, clock: Clock, good_for: float = 300.0) -> None:
        self._settings = settings
        self._clock = clock
        self._good_for = dt.timedelta(seconds=good_for)
        self._lock = threading.Lock()
        self._seen: dict[tuple[Any, ...], tuple[dt.datetime, Any]] = {}

    def explain(self, error: VmieError, item: Item, connect: Callable[[Item], Aws]) -> VmieError:
        """The same failure, with the account's own reason where that can be found."""
        with self._lock:
            return diagnosed(error, lambda: self._case(item, connect(item)), look=self._look)

    def _case(self, item: Item, aws: Aws) -> Case | None:
        context = Context(aws, self._settings, clock=self._clock)
        subject = operations.read(context, item.kind.verb, item.request).subject()
        if subject is None:
            return None
        where = (item.kind, aws.account, aws.region, replace(subject, keys=()))
        found = self._once(where, lambda: case_for(context, subject))
        return replace(found, keys=subject.keys) if found is not None else None

    def _look(self, case: Case, name: str, check: Check) -> list[Line]:
        if check in _OWN:
            return looked(case, name, check)
        # A role may be allowed to read one folder and not another.
        folders = frozenset(str(PurePosixPath(key).parent) for key in case.keys)
        seen = (name, case.aws.account, case.aws.region, case.job, case.bucket, case.role_name, case.key, folders)
        return self._once(seen, lambda: looked(case, name, check))

    def _once(self, what: tuple[Any, ...], look: Callable[[], T]) -> T:
        now = self._clock.now()
        kept = self._seen.get(what)
        if kept is None or now - kept[0] > self._good_for:
            kept = self._seen[what] = (now, look())
        found: T = kept[1]
        return found
