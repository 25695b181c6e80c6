"""One sandbox, put together: clock, gate, service, and moto mended to match.

moto's state belongs to the process, so there is one world at a time.
"""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from moto.core.base_backend import BackendDict

from vmie.model import TaskKind
from vmie.sandbox.clock import SandboxClock
from vmie.sandbox.front.fault_injection import Answer, Call, Faults
from vmie.sandbox.moto_fixes import ebs, ec2, kms, regions, s3
from vmie.sandbox.moto_fixes.patching import Patches
from vmie.sandbox.service import (
    account,
    account_state,
    actions,
    compute,
    conversion_actions,
    machines,
)
from vmie.sandbox.service.authorization import Admission
from vmie.sandbox.service.compute import Contents
from vmie.sandbox.service.content import Verdict
from vmie.sandbox.service.conversion_actions import ConversionActions
from vmie.sandbox.service.conversions import ConversionWork
from vmie.sandbox.service.durations import Durations
from vmie.sandbox.service.exports import ExportWork
from vmie.sandbox.service.imports import ImportWork
from vmie.sandbox.service.lifecycle import Limits, Service
from vmie.sandbox.service.role import RoleBook
from vmie.sandbox.service.tasks import SandboxTask
from vmie.sandbox.service.transfer import Web
from vmie.sandbox.stats import Stats

_only = threading.Lock()


class World:
    """Everything behind the API. `open` changes moto, `close` changes it back and forgets all state."""

    def __init__(
        self,
        *,
        clock: SandboxClock,
        limits: Limits,
        verdict: Verdict,
        seed: int,
        suffix: Callable[[], str] | None = None,
    ) -> None:
        self.clock = clock
        self.faults = Faults(random=random.Random(seed))  # noqa: S311 - which call fails is no secret
        self.stats = Stats()
        self.contents = Contents()
        self.suffix = suffix or (lambda: secrets.token_hex(9)[:17])
        self.service = Service(
            clock, self.faults, self.stats, self.suffix, limits, Durations(seed=seed), forgotten=_forget_tags
        )
        #: ``host:port`` of the servers in front of it
        self.addresses: set[str] = set()
        self._verdict = verdict
        self._patches = Patches()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vmie-sandbox-export")

    def open(self) -> None:
        """Take moto over; raises RuntimeError when another sandbox of this process has it."""
        if not _only.acquire(blocking=False):
            raise RuntimeError("a sandbox runs in this process already: moto's state cannot be shared")
        try:
            BackendDict.reset()
            s3.install(self._patches)
            ec2.install(self._patches, self.contents)
            ebs.install(self._patches, self.contents)
            kms.install(self._patches)
            regions.install(self._patches)
            account.install(self._patches)
            machines.install(self._patches)
            self.book = RoleBook(account_state.roles, clock=self.clock, faults=self.faults)
            admission = Admission(self.book)
            imports = ImportWork(admission, self.contents, verdict=self._verdict, suffix=self.suffix)
            exports = ExportWork(
                admission,
                self.contents,
                tasks=self.service.tasks,
                executor=self._executor,
                wait=self.clock.speed == 0,
            )
            conversions = ConversionWork(self.contents, web=self._web, verdict=self._verdict, suffix=self.suffix)
            self.service.works.update(
                {
                    TaskKind.IMPORT_IMAGE: imports,
                    TaskKind.IMPORT_SNAPSHOT: imports,
                    TaskKind.CONVERSION: conversions,
                    TaskKind.EXPORT_IMAGE: exports,
                    TaskKind.EXPORT_INSTANCE: exports,
                }
            )
            actions.install(self._patches, actions.Actions(self.service, imports, exports), self.service)
            conversion_actions.install(self._patches, ConversionActions(self.service, conversions), self.service)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give moto back, empty."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        BackendDict.reset()
        self._patches.undo()
        _only.release()

    def put_disk(self, bucket: str, key: str, size: int) -> None:
        """See `Sandbox.put_disk`."""
        found = (account_state.bucket(bucket, partition=partition) for partition in ("aws", "aws-cn", "aws-us-gov"))
        if (where := next(filter(None, found), None)) is None:
            raise ValueError(f"there is no bucket {bucket}")
        account_state.put_disk(where, key, size)

    def _web(self, partition: str) -> Web:
        return Web(partition, self.clock.now, frozenset(self.addresses))

    def before(self, call: Call) -> Answer | None:
        """Count `call` and bring the world up to date; the error to answer instead, if a fault says so."""
        self.stats.called(call)
        self.service.settle()
        answer = self.faults.before(call) or account.refused(call)
        if answer:
            self.stats.refused(answer.code)
        return answer

    def after(self, call: Call) -> str:
        """Note what `call` changed; how to lose its answer, "" to send it."""
        if call.service == "iam":
            self.book.record()
        return self.faults.after(call)


def _forget_tags(task: SandboxTask) -> None:
    """moto keeps tags beside what they are on."""
    compute.backend_of(task.account, task.region).tags.pop(task.id, None)
