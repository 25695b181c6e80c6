"""Everything behind the API: clock, fault injection, the VM Import/Export service, and moto patched to match.

moto's state belongs to the process, so there is one emulator at a time.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import replace

from vmie.model import TaskKind
from vmie.sandbox.access.callers import Callers
from vmie.sandbox.access.judge import AccessJudge
from vmie.sandbox.access.organization import Organization
from vmie.sandbox.access.request import ApiRequest
from vmie.sandbox.access.simulator import Simulator
from vmie.sandbox.api_errors import ApiError
from vmie.sandbox.clock import SandboxClock
from vmie.sandbox.fault_injection import ApiCall, FaultInjector
from vmie.sandbox.moto_fixes import (
    boundaries,
    bucket_policies,
    compute,
    iam,
    kms,
    managed_policies,
    regions,
    s3,
    state,
    visibility,
)
from vmie.sandbox.moto_fixes.compute import SnapshotContents
from vmie.sandbox.moto_fixes.sessions import Sessions
from vmie.sandbox.patching import Patcher
from vmie.sandbox.service import (
    account_actions,
    account_state,
    image_deprecation,
    images,
    launches,
    legacy_instances,
    services,
    tag_rules,
    task_actions,
    volumes,
)
from vmie.sandbox.service.authorization import RoleJudge
from vmie.sandbox.service.durations import Durations
from vmie.sandbox.service.ebs import http as ebs_http
from vmie.sandbox.service.ebs.actions import EbsActions
from vmie.sandbox.service.ebs.http import EbsRequest
from vmie.sandbox.service.exports import ExportHandler
from vmie.sandbox.service.imports import ImportHandler
from vmie.sandbox.service.legacy_actions import LegacyActions
from vmie.sandbox.service.legacy_imports import LegacyImportHandler
from vmie.sandbox.service.machines import Machines
from vmie.sandbox.service.role_history import RoleHistory
from vmie.sandbox.service.task_service import Quotas, TaskService
from vmie.sandbox.service.tasks import SandboxTask
from vmie.sandbox.service.url_client import UrlClient
from vmie.sandbox.service.validation import GuestVerdict
from vmie.sandbox.stats import Stats
from vmie.sandbox.world_lock import WorldLock

_only = threading.Lock()


@contextmanager
def only_one() -> Iterator[None]:
    """Hold moto and the environment; raises RuntimeError, and changes nothing, when another sandbox holds them."""
    if not _only.acquire(blocking=False):
        raise RuntimeError("a sandbox runs in this process already: moto's state cannot be shared")
    try:
        yield
    finally:
        _only.release()


class Emulator:
    """`open` patches moto, `close` restores it and drops all state, `reset` does both and leaves nothing of before.

    `populate` makes what the account begins with; it is called by both.
    """

    def __init__(
        self,
        *,
        clock: SandboxClock,
        limits: Quotas,
        verdict: GuestVerdict,
        seed: int,
        region: str = "us-east-1",
        suffix: Callable[[], str] | None = None,
        propagation: float = 0.0,
        appears_after: float = 0.0,
        populate: Callable[[Emulator], None] = lambda _: None,
    ) -> None:
        self.clock = clock
        self.region = region  #: where what it begins with is
        self.faults = FaultInjector(seed=seed, propagation=propagation, appears_after=appears_after)
        self.stats = Stats()
        self.contents = SnapshotContents()
        self.suffix = suffix or (lambda: secrets.token_hex(9)[:17])
        self.service = TaskService(
            clock, self.faults, self.stats, self.suffix, limits, Durations(seed=seed), forgotten=_forget_tags
        )
        self.ebs = EbsActions(self.contents, clock=clock, suffix=self.suffix, secret=secrets.token_bytes(16))
        #: ``host:port`` of the servers in front of it
        self.addresses: set[str] = set()
        self.organization = Organization()
        self._sessions = Sessions(clock.now)
        callers = Callers(self._sessions, self.organization.over)
        self._judge, self._simulator = AccessJudge(callers, clock.now), Simulator(callers)
        self._verdict = verdict
        self._populate = populate
        self._gate = WorldLock()
        self._patcher = Patcher()
        self._open = False
        self._begun_with = (deepcopy(limits), replace(self.service.durations))
        #: how many worlds there were before this one: who keeps something of moto's makes it anew with each
        self.world = 0

    def open(self) -> None:
        """Patch moto."""
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Restore moto, empty."""
        self._end()

    def reset(self, populate: Callable[[Emulator], None] | None = None) -> None:
        """Begin anew: tasks, storage, clock, faults, counts and settings are as they were when it was opened.

        With `populate` it begins, now and after later resets, with what that makes; if it fails, as before.
        """
        with self._gate.alone():
            before, self._populate = self._populate, populate or self._populate
            try:
                self._restart()
            except BaseException:
                self._populate = before
                self._restart()
                raise

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is answered and nothing changes in here."""
        with self._gate.alone():
            yield

    def _restart(self) -> None:
        self._end()
        limits, durations = self._begun_with
        vars(self.service.limits).update(vars(deepcopy(limits)))
        self.service.durations.restart(durations)
        for held in (self.clock, self.faults, self.stats, self.contents, self.service, self.ebs, self._sessions):
            held.restart()
        self.organization.clear()
        self.world += 1
        self._begin()

    def _begin(self) -> None:
        state.drop()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vmie-sandbox-export")
        self._open = False  # what it begins with has been there for long
        self._patch()
        self._populate(self)
        self._open = True
        self.role_history.restart()

    def _end(self) -> None:
        """Whatever goes wrong on the way: what begins next has nothing of this."""
        with ExitStack() as last_first:
            last_first.callback(self._patcher.undo)
            last_first.callback(state.drop)
            if hasattr(self, "_executor"):
                last_first.callback(self._executor.shutdown, wait=True, cancel_futures=True)

    def _patch(self) -> None:
        state.install(self._patcher)
        s3.install(self._patcher)
        iam.install(self._patcher)
        visibility.install(
            self._patcher, now=self.clock.elapsed, delay=lambda: self.faults.appears_after if self._open else 0.0
        )
        kms.install(self._patcher)
        boundaries.install(self._patcher)
        managed_policies.install(self._patcher)
        judge = self._judge
        bucket_policies.install(self._patcher, may_delete=judge.may_delete, open_to_all=judge.open_to_all)
        self._sessions.install(self._patcher)
        self._simulator.install(self._patcher)
        regions.install(self._patcher)
        account_actions.install(self._patcher)
        volumes.install(self._patcher, self.contents)
        images.install(self._patcher, self.contents)
        image_deprecation.install(self._patcher, self.clock)
        launches.install(self._patcher)
        Machines(self.contents, self.clock, self.faults).install(self._patcher)
        tag_rules.install(self._patcher)
        legacy_instances.install(self._patcher)
        self.role_history = RoleHistory(account_state.roles, clock=self.clock, faults=self.faults)
        authorization = RoleJudge(self.role_history)
        imports = ImportHandler(authorization, self.contents, verdict=self._verdict, suffix=self.suffix, web=self._web)
        exports = ExportHandler(
            authorization,
            self.contents,
            tasks=self.service.tasks,
            executor=self._executor,
            wait=self.clock.speed == 0,
        )
        conversions = LegacyImportHandler(self.contents, web=self._web, verdict=self._verdict)
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

    def _delay(self) -> float:
        return self.faults.appears_after if self._open else 0.0

    @contextmanager
    def answering(self) -> Iterator[None]:
        """One request is being answered: it is counted as work, and a reset waits for it."""
        with self._gate.inside(), self.stats.working():
            yield

    def put_disk(self, bucket: str, key: str, size: int) -> None:
        """See `Sandbox.put_disk`."""
        found = (account_state.bucket(bucket, partition=partition) for partition in ("aws", "aws-cn", "aws-us-gov"))
        if (where := next(filter(None, found), None)) is None:
            raise ValueError(f"there is no bucket {bucket}")
        account_state.put_disk(where, key, size)

    def _web(self, partition: str) -> UrlClient:
        return UrlClient(partition, self.clock.now, frozenset(self.addresses))

    def before(self, request: ApiRequest) -> ApiError | None:
        """Count the call and bring the tasks up to date; the error to answer with instead, if any."""
        call = request.call
        self.stats.called(call)
        self.service.advance_tasks()
        self.ebs.settle()
        answer = services.refused(call) or self.faults.before(call) or self._judge.refused(request)
        if answer:
            self.stats.refused(answer.code)
        return answer

    def ebs_direct(self, request: EbsRequest) -> ebs_http.Answer:
        """The answer to a request of the EBS direct API, which moto has no part in; raises ApiError."""
        try:
            return ebs_http.respond(self.ebs, request)
        except ApiError as error:
            self.stats.refused(error.code)
            raise

    def after(self, call: ApiCall) -> str:
        """Record what `call` changed; how to lose its answer, "" to send it."""
        if call.service == "iam":
            self.role_history.record()
        return self.faults.after(call)


def _forget_tags(task: SandboxTask) -> None:
    """moto keeps tags beside what they are on."""
    compute.backend_of(task.account, task.region).tags.pop(task.id, None)
