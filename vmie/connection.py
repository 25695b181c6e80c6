"""What a command or a call of the library works with: the account, the folder of jobs, the settings, the reporter."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vmie import events, posix
from vmie.settings import Settings, state_path

if TYPE_CHECKING:
    from vmie.aws.ebs.snapshot_disk import SnapshotDisk
    from vmie.aws.session import Aws
    from vmie.batch.context import BatchContext
    from vmie.ops.context import Context


@dataclass(frozen=True)
class Connection:
    """Connects to AWS when that is first asked for; `settings` name the profile, the Region and the endpoint.

    `one_account` ignores the profiles that a batch's items name: the sandbox has one account only.
    """

    settings: Settings
    state: Path = field(default_factory=state_path)
    reporter: events.Reporter = events.silent
    one_account: bool = False

    @cached_property
    def aws(self) -> Aws:
        """The account, in the settings' Region."""
        return self._connect(self.settings.region)

    def to(self, region: str, profile: str = "", /) -> Aws:
        """Another Region, or the account of another profile; "" for the connection's own."""
        if region in ("", self.aws.region) and not profile:
            return self.aws
        return self._connect(region or self.aws.region, profile)

    def context(self) -> Context:
        """What an operation works with."""
        posix.require("jobs")
        from vmie.ops.context import Context  # noqa: PLC0415 - boto3 is imported with it

        return Context(self.aws, self.settings, self.reporter, state=self.state)

    def snapshot(self, snapshot_id: str) -> SnapshotDisk:
        """The disk of a snapshot, read by blocks; says what reading costs. Raises AwsRefused, PreflightError."""
        from vmie.aws.ebs.snapshots import open_snapshot  # noqa: PLC0415

        return open_snapshot(self.aws, snapshot_id, reporter=self.reporter)

    def batches(self, url: str = "", *, uploads: int | None = None) -> BatchContext:
        """What batches need; `url` is the database that keeps them, "" for the folder of jobs."""
        posix.require("batches")
        from vmie.batch.context import BatchContext  # noqa: PLC0415
        from vmie.batch.store.locations import Locations  # noqa: PLC0415

        return BatchContext(Locations(self.state, url), self.to, self.settings, reporter=self.reporter, uploads=uploads)

    def _connect(self, region: str | None, profile: str = "") -> Aws:
        from vmie.aws.session import connect  # noqa: PLC0415

        return connect(
            profile=None if self.one_account else profile or self.settings.profile,
            region=region,
            endpoint_url=self.settings.endpoint_url,
            reporter=self.reporter,
            stall=self.settings.stall_seconds,
        )
