"""One disk into one snapshot: begun once, written block by block, completed; it goes on after whatever stopped it.

    StartSnapshot ──► blocks that AWS does not have ──► CompleteSnapshot
         ▲                     │ journalled one by one
         └── given up by EBS ──┘ (no block within its timeout: another snapshot is begun)

The journal's step ``snapshot N`` of disk N names the snapshot; which of its blocks AWS has is in a file of their own
(`block_hashes`), since a pending snapshot cannot be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

from vmie import events, poll
from vmie.aws import snapshots
from vmie.aws.ebs.client import BLOCK, EbsDirect, Started
from vmie.aws.ebs.send import send_blocks
from vmie.disk.reading import DAMAGED
from vmie.errors import AwsRefused, Cancel, ImageError, PreflightError, VmieError
from vmie.limits import GIB
from vmie.ops import payloads
from vmie.ops.block_hashes import BlockHashes
from vmie.ops.context import Context
from vmie.ops.import_ import direct_parent
from vmie.ops.import_.direct_blocks import DiskBlocks
from vmie.ops.import_.direct_plan import DirectPlan, expect_zeros
from vmie.ops.import_.direct_progress import LEAST, BlocksSent, paced, timeout
from vmie.ops.upload_plan import SOURCE_CHANGED, source_changed

#: how often one run begins a snapshot anew: EBS gave it up, or somebody deleted it
_TRIES = 3
_PER_GIB = GIB // BLOCK
#: seconds: 100 snapshots may be pending, and those of others end in minutes
_QUOTA_WITHIN, _QUOTA_PAUSE = 3600.0, 5.0
#: reasons with which EBS says that nothing more can be written to a snapshot
_OVER = ("WRITE_REQUEST_TIMEOUT", "INVALID_SNAPSHOT_ID", "SNAPSHOT_NOT_FOUND")


def step_of(number: int) -> str:
    """The journal's step of the snapshot of disk `number`."""
    return f"snapshot {number}"


def dropped(context: Context, snapshot_id: str) -> bool:
    """Delete a snapshot and what is known of its blocks; False when it was gone already. Raises AwsRefused."""
    if context.state is not None:
        direct_parent.forget(context.state, snapshot_id)
    return snapshots.delete(context.aws, snapshot_id)


class SnapshotWriter:
    """Writes the snapshot of disk `number` of a plan; every method may be repeated."""

    def __init__(self, context: Context, plan: DirectPlan, number: int, *, tags: Mapping[str, str]) -> None:
        self._context = context
        self._plan = plan
        self._disk = plan.disks[number]
        self._step = step_of(number)
        self._number = number
        self._tags = tags
        self._mistaken = False

    @property
    def known(self) -> dict[str, Any]:
        """What the journal keeps of the snapshot."""
        return self._context.journal.get(self._step) or {}

    @property
    def snapshot_id(self) -> str:
        """Its id, "" before it was begun."""
        return str(self.known.get("snapshot_id") or "")

    @property
    def completed(self) -> bool:
        """Whether AWS has all blocks, and was told so."""
        return bool(self.known.get("completed"))

    def send(self, *, tries: int = _TRIES) -> None:
        """Write what AWS does not have yet, and complete the snapshot; begun anew, it has `tries` in all.

        Raises ImageError for a file that is another than the snapshot was begun with, changes meanwhile
        (SourceChanged) or is damaged (DamagedImage): then no snapshot stays. Raises AwsRefused, VmieError.
        """
        if self.completed:
            return
        identity = self._disk.identity.as_json()
        if self.known.get("identity", identity) != identity:
            again = Cancel(self._context.journal.job, "then begin anew")
            raise source_changed(self._disk.path, "since the upload began", again)
        client = EbsDirect(self._context.aws, clock=self._context.clock, reporter=self._context.reporter)
        try:
            self._write(client, self.snapshot_id or self._start(client))
        except VmieError as error:
            if not self._is_over(error) or tries <= 1:
                self._clear_after(error)
                if isinstance(error, AwsRefused) and not error.passing and not self.snapshot_id:
                    self.begin_anew()  # there is none, and the next run may have another parent
                raise
            self._context.reporter(events.Note(f"{self._ended(error)}: another snapshot is begun", "warning"))
            self.begin_anew()
            self.send(tries=tries - 1)

    def begin_anew(self) -> None:
        """Nothing can come of the snapshot any more: remove it, and let the next one be another."""
        left, attempt = self.snapshot_id, int(self.known.get("attempt", 1))
        self._keep(attempt=attempt + 1, snapshot_id="", completed=False, parent=None, timeout=0)
        self._mistaken = False
        if left:
            with suppress(VmieError):  # it may be gone
                dropped(self._context, left)

    def remove(self) -> str:
        """Delete the snapshot, begun or whole; its id, "" when there was none. Raises AwsRefused."""
        left = self.snapshot_id
        if left and dropped(self._context, left):
            self._keep(snapshot_id="", completed=False)
            return left
        return ""

    def delete_parent(self) -> None:
        """Delete the snapshot that a completed one is based on; where that cannot be, it is said and all is well."""
        parent, own = str(self.known.get("parent") or ""), self.snapshot_id
        if not parent or not self.completed or self.known.get("parent_deleted"):
            return
        report, why = self._context.reporter, ""
        try:
            if other := direct_parent.needed_by(self._context, parent, but=own):
                why = f"{other} is being written, and based on it too"
            else:
                dropped(self._context, parent)
        except VmieError as error:
            why = error.message
        if why:
            report(events.Note(f"{parent} is not deleted: {why}", "warning"))
            return
        self._keep(parent_deleted=True)
        report(events.Note(f"{parent} deleted: {own} has all that is needed of it"))

    # --- the steps ------------------------------------------------------------------------------------

    def _start(self, client: EbsDirect) -> str:
        plan, request, journal = self._plan, self._plan.request, self._context.journal
        attempt = int(self.known.get("attempt", 1))
        token = hashlib.sha256(f"{journal.job}/{self._number}/{attempt}/snapshot".encode()).hexdigest()[:40]
        # Before the call: whatever becomes of its answer, the same token gives the same snapshot.
        kept = self.known.get("parent")
        parent = self._disk.parent if kept is None else str(kept)
        minutes = int(self.known.get("timeout", 0)) or timeout(
            self._disk.blocks, self.known, rate=self._plan.request.max_rate
        )
        self._keep(attempt=attempt, identity=self._disk.identity.as_json(), parent=parent, timeout=minutes)

        def start() -> Started:
            return client.start(
                volume_size=self._disk.gib,
                description=request.description or f"vmie {journal.job}",
                tags=self._tags,
                token=f"vmie-{token}",
                parent=parent,
                # a child is encrypted as its parent is, and nothing may be said of it
                encrypted=(plan.encrypted or None) if not parent else None,
                kms_key=plan.kms_key if not parent else "",
                timeout=minutes,
            )

        first = self._context.settings.poll_seconds or _QUOTA_PAUSE
        note = "as many snapshots are pending as may be"
        patience = {"full": poll.Patience(within=_QUOTA_WITHIN, first=first, most=10 * first, note=note)}
        started = poll.retrying(
            start, clock=self._context.clock, classify=_full, patience=patience, report=self._context.reporter
        )
        self._keep(snapshot_id=started.snapshot_id)
        try:
            # The account may encrypt by default, and not have let us see that.
            expect_zeros(request, encrypted=started.encrypted)
        except PreflightError:
            self.remove()
            raise
        return started.snapshot_id

    def _write(self, client: EbsDirect, snapshot_id: str) -> None:
        context, request, disk = self._context, self._plan.request, self._disk
        context.reporter(events.Stage("upload", f"{disk.path.name} → {snapshot_id}"))
        with ExitStack() as opened:
            inherited = self._inherited(client, opened)
            hashes = opened.enter_context(self._hashes(snapshot_id))
            verify = not request.skip_verify
            blocks = opened.enter_context(DiskBlocks(disk, request, zeros=request.zeros, verify=verify))
            for note in blocks.notes:
                context.reporter(events.Note(note, "warning"))
            sent = BlocksSent(hashes, disk.size, context, within=float(self.known.get("timeout") or LEAST))
            try:
                wanted = blocks.wanted(hashes, sent.behind, parent=inherited, due=sent.due)
                if request.max_rate:
                    wanted = paced(wanted, request.max_rate, context.clock)
                send_blocks(client, snapshot_id, wanted, done=sent.done, total=disk.blocks)
            finally:
                hashes.sync()
                self._count(sent)
            blocks.settle()
            self._complete(client, snapshot_id, hashes)
            if inherited is not None:
                direct_parent.keep_whole(context, hashes, inherited)
            self._keep(completed=True)

    def _count(self, sent: BlocksSent) -> None:
        bytes_, seconds = (
            int(self.known.get("sent", 0)) + sent.bytes,
            float(self.known.get("seconds", 0)) + sent.seconds,
        )
        self._keep(sent=bytes_, seconds=round(seconds, 3))

    def _inherited(self, client: EbsDirect, opened: ExitStack) -> BlockHashes | None:
        """What the snapshot has of its parent before a block was written."""
        parent = str(self.known.get("parent") or "")
        if not parent:
            return None
        return opened.enter_context(
            direct_parent.content(self._context, client, parent, count=self._disk.gib * _PER_GIB)
        )

    def _hashes(self, snapshot_id: str) -> BlockHashes:
        state, disk, parent = self._context.state, self._disk, str(self.known.get("parent") or "")
        return BlockHashes(
            direct_parent.hashes_path(state, snapshot_id) if state else None,
            snapshot_id=snapshot_id,
            # a parent may have blocks behind the end of the disk
            count=disk.gib * _PER_GIB if parent else -(-disk.size // BLOCK),
            about={
                "source": direct_parent.source_of(self._context, self._plan.request, disk),
                **({"parent": parent} if parent else {}),
            },
        )

    def _complete(self, client: EbsDirect, snapshot_id: str, hashes: BlockHashes) -> None:
        try:
            client.complete(snapshot_id, blocks=hashes.written, checksum=hashes.aggregate())
        except VmieError as error:
            # What it holds is not what we know of it, as when another machine wrote some: nothing comes of it.
            if error.code == "ValidationException" and error.reason not in _OVER:
                error.add_cause("EBS does not hold the blocks, and only those, that are known to have been written")
                self._mistaken = True
            # Completed before, by a call whose answer was lost.
            if error.code != "ConflictException":
                raise
        count = -(-self._disk.size // BLOCK)
        self._keep(written=hashes.written, skipped=max(0, count - hashes.written))

    # --- when it stops --------------------------------------------------------------------------------

    def _ended(self, error: VmieError) -> str:
        if error.reason != "WRITE_REQUEST_TIMEOUT":
            return f"{self.snapshot_id} takes no more blocks ({error.code})"
        minutes = int(self.known.get("timeout", 0))
        within = f"{minutes / 60:.1f} hours" if minutes else "its timeout"
        return f"EBS gave {self.snapshot_id} up with what was written to it, since no block came for {within}"

    def _is_over(self, error: VmieError) -> bool:
        """Whether nothing more can be written to the snapshot, so that another one is to be begun."""
        return bool(self.snapshot_id) and (error.reason in _OVER or self._mistaken)

    def _clear_after(self, error: VmieError) -> None:
        """Leave no snapshot behind that nothing can come of, nor one that no other process could go on with."""
        changed = isinstance(error, ImageError) and (error.code in (SOURCE_CHANGED, DAMAGED))
        if not changed and self._disk.identity.touched(self._disk.path):
            changed = True
        if changed or self._context.state is None:
            # The first failure is the one to report; what stays behind is found by `vmie cancel`.
            with suppress(VmieError):
                if left := self.remove():
                    error.result = {**error.result, "removed": [left]}
        if error.code == DAMAGED:
            error.add_cure(payloads.UNVERIFIED if not self._plan.request.skip_verify else ())
        elif error.code == SOURCE_CHANGED:
            error.add_cure("stop what writes to it, then run the command again")

    def _keep(self, **values: Any) -> None:
        self._context.journal.put(self._step, {**self.known, **values})


def _full(error: BaseException) -> str:
    return "full" if isinstance(error, VmieError) and error.code == "ServiceQuotaExceededException" else ""
