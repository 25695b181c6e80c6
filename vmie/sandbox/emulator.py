"""Everything behind the API: clock, fault injection, the VM Import/Export service, and moto patched to match.

moto's state belongs to the process, so there is one emulator at a time.
"""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from moto.core.base_backend import BackendDict

from vmie.model import TaskKind
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.clock import SandboxClock
from vmie.sandbox.fault_injection import ApiCall, FaultInjector
from vmie.sandbox.moto_fixes import compute, ebs, ec2, kms, regions, s3
from vmie.sandbox.moto_fixes.compute import SnapshotContents
from vmie.sandbox.patching import Patcher
from vmie.sandbox.service import (
    account_actions,
    account_state,
    legacy_instances,
    services,
    task_actions,
)
from vmie.sandbox.service.authorization import Authorization
from vmie.sandbox.service.durations import Durations
from vmie.sandbox.service.exports import ExportHandler
from vmie.sandbox.service.imports import ImportHandler
from vmie.sandbox.service.legacy_actions import LegacyActions
from vmie.sandbox.service.legacy_imports import LegacyImportHandler
from vmie.sandbox.service.role_history import RoleHistory
from vmie.sandbox.service.task_service import Quotas, TaskService
from vmie.sandbox.service.tasks import SandboxTask
from vmie.sandbox.service.url_client import UrlClient
from vmie.sandbox.service.validation import GuestVerdict
from vmie.sandbox.stats import Stats

_only = threading.Lock()


class Emulator:
    """`open` patches moto, `close` restores it and drops all state."""

    def __init__(
        self,
        *,
        clock: SandboxClock,
        limits: Quotas,
        verdict: GuestVerdict,
        seed: int,
        suffix: Callable[[], str] | None = None,
    ) -> None:
        self.clock = clock
        self.faults = FaultInjector(random=random.Random(seed))  # noqa: S311 - which call fails is no secret
        self.stats = Stats()
        self.contents = SnapshotContents()
        self.suffix = suffix or (lambda: secrets.token_hex(9)[:17])
        self.service = TaskService(
            clock, self.faults, self.stats, self.suffix, limits, Durations(seed=seed), forgotten=_forget_tags
        )
        #: ``host:port`` of the servers in front of it
        self.addresses: set[str] = set()
        self._verdict = verdict
        self._patcher = Patcher()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vmie-sandbox-export")

    def open(self) -> None:
        """Patch moto; raises RuntimeError when another sandbox of this process has it."""
        if not _only.acquire(blocking=False):
            raise RuntimeError("a sandbox runs in this process already: moto's state cannot be shared")
        try:
            BackendDict.reset()
            s3.install(self._patcher)
            ec2.install(self._patcher, self.contents)
            ebs.install(self._patcher, self.contents)
            kms.install(self._patcher)
            regions.install(self._patcher)
            account_actions.install(self._patcher)
            legacy_instances.install(self._patcher)
            self.role_history = RoleHistory(account_state.roles, clock=self.clock, faults=self.faults)
            authorization = Authorization(self.role_history)
            imports = ImportHandler(authorization, self.contents, verdict=self._verdict, suffix=self.suffix)
            exports = ExportHandler(
                authorization,
                self.contents,
                tasks=self.service.tasks,
                executor=self._executor,
                wait=self.clock.speed == 0,
            )
            conversions = LegacyImportHandler(self.contents, web=self._web, verdict=self._verdict, suffix=self.suffix)
            self.service.handlers.update(
                {
                    TaskKind.IMPORT_IMAGE: imports,
                    TaskKind.IMPORT_SNAPSHOT: imports,
                    TaskKind.CONVERSION: conversions,
                    TaskKind.EXPORT_IMAGE: exports,
                    TaskKind.EXPORT_INSTANCE: exports,
                }
            )
            task_actions.TaskActions(self.service, imports, exports).install(self._patcher)
            task_actions.allow_tags(self._patcher)
            LegacyActions(self.service, conversions).install(self._patcher)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Restore moto, empty."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        BackendDict.reset()
        self._patcher.undo()
        _only.release()

    def put_disk(self, bucket: str, key: str, size: int) -> None:
        """See `Sandbox.put_disk`."""
        found = (account_state.bucket(bucket, partition=partition) for partition in ("aws", "aws-cn", "aws-us-gov"))
        if (where := next(filter(None, found), None)) is None:
            raise ValueError(f"there is no bucket {bucket}")
        account_state.put_disk(where, key, size)

    def _web(self, partition: str) -> UrlClient:
        return UrlClient(partition, self.clock.now, frozenset(self.addresses))

    def before(self, call: ApiCall) -> ApiError | None:
        """Count `call` and bring the tasks up to date; the error to answer with instead, if any."""
        self.stats.called(call)
        self.service.advance_tasks()
        answer = services.refused(call) or self.faults.before(call) or account_actions.refused(call)
        if answer:
            self.stats.refused(answer.code)
        return answer

    def after(self, call: ApiCall) -> str:
        """Record what `call` changed; how to lose its answer, "" to send it."""
        if call.service == "iam":
            self.role_history.record()
        return self.faults.after(call)


def _forget_tags(task: SandboxTask) -> None:
    """moto keeps tags beside what they are on."""
    compute.backend_of(task.account, task.region).tags.pop(task.id, None)
