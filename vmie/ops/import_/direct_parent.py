"""The snapshot that a new one is based on: which it is, whether it may be, and what its blocks hold.

A child has its parent's blocks, and those that were written over them: day 0 sends a disk, day 1 what changed since.
What a parent holds is known from the digests that were kept when it was written; else its blocks are read, once.
https://docs.aws.amazon.com/ebs/latest/userguide/writesnapshots.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from vmie import events
from vmie.aws import snapshots
from vmie.aws.ebs.client import EbsDirect
from vmie.aws.ebs.read import read_blocks
from vmie.aws.ebs.snapshots import SnapshotFacts, describe
from vmie.errors import Cure, Drop, PreflightError, Set, UsageError, says
from vmie.limits import GIB
from vmie.ops import block_hashes
from vmie.ops.block_hashes import BlockHashes
from vmie.ops.context import Context
from vmie.ops.import_.direct_blocks import DirectDisk
from vmie.options import ImportRequest

LAST = "last"
UNFIT = "ParentUnfit"


def hashes_path(state: Path, snapshot_id: str) -> Path:
    """Where the digests of the blocks are kept that were written to a snapshot."""
    return state / "blocks" / f"{snapshot_id}.sha256"


def _whole_path(state: Path, snapshot_id: str) -> Path:
    """Where the digests of all blocks are kept that a snapshot has, its parent's too."""
    return state / "blocks" / f"{snapshot_id}.whole"


def forget(state: Path, snapshot_id: str) -> None:
    """Remove what is known of a snapshot."""
    hashes_path(state, snapshot_id).unlink(missing_ok=True)
    _whole_path(state, snapshot_id).unlink(missing_ok=True)


def source_of(context: Context, request: ImportRequest, disk: DirectDisk) -> str:
    """Stands for a disk, whatever it holds today: by this `last` finds the snapshot that it was written to before."""
    aws = context.aws
    named = [aws.account, aws.region, str(disk.path), disk.index, request.machine]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def chosen(
    context: Context, request: ImportRequest, disks: Sequence[DirectDisk], *, encrypted: bool, kms_key: str
) -> tuple[tuple[DirectDisk, ...], bool]:
    """`disks` with the parents that were asked for, and whether the snapshots will be encrypted.

    `encrypted` and `kms_key` are as without a parent. Raises UsageError, PreflightError (ParentUnfit), AwsRefused.
    """
    if not request.parent:
        return tuple(disks), encrypted
    if request.parent != LAST and len(disks) > 1:
        raise UsageError(
            says(
                "{parent}: there are {_count} disks, and {_parent} is of one", _count=len(disks), _parent=request.parent
            ),
            cure=Set("parent", LAST, "the last snapshot of each of them"),
            fields=("parent",),
        )
    found = []
    for disk in disks:
        parent = request.parent if request.parent != LAST else _last(context, source_of(context, request, disk))
        if not parent:
            context.reporter(events.Note(f"{disk.label} has no earlier snapshot: all of it is sent"))
        else:
            facts = describe(context.aws, parent)
            _expect(context, request, facts, disk, encrypted=encrypted, kms_key=kms_key)
            encrypted = encrypted or facts.encrypted
        found.append(replace(disk, parent=parent))
    return tuple(found), encrypted


def _last(context: Context, source: str) -> str:
    """The newest completed snapshot that the disk was written to; "" where none is left."""
    if context.state is None:
        return ""
    paths = [path for path in (context.state / "blocks").glob("snap-*.sha256") if not path.is_symlink()]
    known = [(path, head) for path in paths if (head := block_hashes.described(path)) is not None]
    mine = [(path.stat().st_mtime_ns, str(head["snapshot"])) for path, head in known if head.get("source") == source]
    ids = [snapshot_id for _, snapshot_id in sorted(mine, reverse=True)]
    there = snapshots.look(context.aws, ids) if ids else {}
    return next((one for one in ids if one in there and there[one].state == "completed"), "")


def _expect(
    context: Context, request: ImportRequest, facts: SnapshotFacts, disk: DirectDisk, *, encrypted: bool, kms_key: str
) -> None:
    """Raise PreflightError where the disk cannot become a child of the snapshot."""
    parent, anew = facts.snapshot_id, Drop(("parent",), "sends all blocks")
    if facts.owner and facts.owner != context.aws.account:
        raise _unfit(f"{parent} is account {facts.owner}'s", "a parent is the account's own", anew)
    if facts.state != "completed" or facts.tier == "archive":
        what = "archived" if facts.tier == "archive" else facts.state
        raise _unfit(f"{parent} is {what}", "a parent is completed, and of the standard tier", anew)
    if facts.size > disk.gib * GIB:
        why = f"it is of {facts.size // GIB:,} GiB, and {disk.label} of {disk.gib:,}: a child may only be larger"
        raise _unfit(f"{parent} is too large to be its parent", why, anew)
    asked = request.encrypted or bool(request.kms_key)
    if encrypted and not facts.encrypted:
        why = "it was asked to be encrypted" if asked else "the account encrypts all that is new"
        copy = f"aws ec2 copy-snapshot --encrypted --source-region {context.aws.region} --source-snapshot-id {parent}"
        raise _unfit(
            f"{parent} is not encrypted, and its child would have to be",
            f"{why}, and a child is as its parent is: EBS takes no other",
            (anew, f"or base it on an encrypted copy: {copy}"),
        )
    if kms_key and facts.kms_key and kms_key != facts.kms_key:
        raise _unfit(
            f"{parent} is encrypted with another key",
            f"its key is {facts.kms_key}, and a child has its parent's",
            (Drop(("kms_key",), "takes the parent's key"), anew),
        )


def _unfit(message: str, cause: str, cure: Cure) -> PreflightError:
    return PreflightError(message, cause=cause, cure=cure, code=UNFIT, fields=("parent",))


def needed_by(context: Context, parent: str, *, but: str) -> str:
    """A pending snapshot of this machine's jobs that is based on `parent`, other than `but`; "" where there is none."""
    if context.state is None:
        return ""
    heads = (block_hashes.described(path) for path in (context.state / "blocks").glob("snap-*.sha256"))
    ids = [str(head["snapshot"]) for head in heads if head is not None and head.get("parent") == parent]
    there = snapshots.look(context.aws, [one for one in ids if one != but])
    return next((one for one, found in there.items() if found.state == "pending"), "")


def kept_at(state: Path, snapshot_id: str) -> Path | None:
    """Where the digests of all blocks are kept that a completed snapshot has; None where they are not."""
    written = block_hashes.described(hashes_path(state, snapshot_id))
    # what was written to a snapshot without a parent is all that it has
    whole = written is None or bool(written.get("parent"))
    path = (_whole_path if whole else hashes_path)(state, snapshot_id)
    found = block_hashes.described(path)
    return path if found is not None and found["snapshot"] == snapshot_id else None


def content(context: Context, client: EbsDirect, snapshot_id: str, *, count: int) -> BlockHashes:
    """The digests of all blocks that a completed snapshot of `count` blocks has. Close them.

    Raises AwsRefused, VmieError where its blocks have to be read and cannot be.
    """
    state = context.state
    known = BlockHashes.existing(path) if state and (path := kept_at(state, snapshot_id)) else None
    if known is not None:
        return known
    text = f"what the blocks of {snapshot_id} hold is not known here: they are read, once"
    context.reporter(events.Note(text))
    read = read_blocks(client, snapshot_id, client.blocks(snapshot_id))
    digests = ((index, hashlib.sha256(data).digest()) for index, data in read)
    if state is None:
        found = BlockHashes(None, snapshot_id=snapshot_id, count=count)
        found.fill(digests)
        return found
    return _kept(_whole_path(state, snapshot_id), snapshot_id, count, digests)


def keep_whole(context: Context, written: BlockHashes, parent: BlockHashes) -> None:
    """Remember what a completed snapshot has: its own blocks, and its parent's where it has none."""
    if context.state is None:
        return
    inherited = ((index, digest) for index, digest in parent.digests() if index not in written)
    path = _whole_path(context.state, written.snapshot_id)
    with suppress(OSError):  # without it the next child reads the blocks
        _kept(path, written.snapshot_id, written.count, chain(inherited, written.digests())).close()


def _kept(path: Path, snapshot_id: str, count: int, digests: Iterable[tuple[int, bytes]]) -> BlockHashes:
    """`digests` at `path`: all of them, or none."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    found = BlockHashes(partial, snapshot_id=snapshot_id, count=count)
    try:
        found.fill(digests)
        partial.replace(path)
    except BaseException:
        found.close()
        partial.unlink(missing_ok=True)
        raise
    return found
