"""What the user asks of an export, as a value that a job file can keep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vmie.errors import UsageError
from vmie.limits import DESCRIPTION_CHARACTERS, TAGS_PER_RESOURCE

FORMATS = ("vmdk", "vhd", "raw", "ova")
TARGETS = ("vmware", "microsoft", "citrix")

_SOURCE = re.compile(r"(i|ami)-[0-9a-zA-Z]+")
#: room for what tells an instance export from every other (see `marker`)
_MARKER = 32


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """One export. `source` is an instance or an AMI; `format` vmdk, vhd, raw or ova.

    `prefix` is put before the task id as it is, as AWS does. `target` is the virtualisation environment of an
    instance export, "" for the one that goes with the format. `download` is a folder, "" for no download.
    `skip_check` names rules that shall not block, "all" for every one.
    """

    source: str
    format: str
    bucket: str | None = None
    prefix: str | None = None
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    role_name: str | None = None
    client_token: str = ""
    download: str = ""
    skip_check: tuple[str, ...] = ()

    @property
    def is_image(self) -> bool:
        """An AMI (ExportImage), not an instance (CreateInstanceExportTask)."""
        return self.source.startswith("ami-")

    @property
    def environment(self) -> str:
        """The target environment of an instance export: the format's own unless one was chosen."""
        return self.target or ("microsoft" if self.format == "vhd" else "vmware")

    @property
    def container(self) -> str:
        """``ova`` or "" for a bare disk."""
        return "ova" if self.format == "ova" else ""

    @property
    def disk_format(self) -> str:
        """The format of the disk itself: an OVA holds a VMDK."""
        return "vmdk" if self.format == "ova" else self.format

    def validate(self) -> None:
        """Raise UsageError for options that cannot be meant together."""
        if not _SOURCE.fullmatch(self.source):
            raise UsageError(
                f"{self.source!r} is neither an instance (i-…) nor an AMI (ami-…)",
                cure="name the instance or AMI to export",
            )
        if self.format not in FORMATS:
            raise UsageError(f"--format {self.format!r}: choose {', '.join(FORMATS)}")
        if self.target and self.target not in TARGETS:
            raise UsageError(f"--target {self.target!r}: choose {', '.join(TARGETS)}")
        if self.target and self.is_image:
            raise UsageError(
                "--target is for instances", cause="ExportImage knows no target environment", cure="leave it out"
            )
        wanted = ("citrix", "microsoft") if self.format == "vhd" else ("vmware",)
        if self.target and self.format != "raw" and self.target not in wanted:
            raise UsageError(
                f"--format {self.format} is not a format of {self.target}",
                cure=f"choose --target {' or '.join(wanted)}, or leave it out",
            )
        most = DESCRIPTION_CHARACTERS.value - (0 if self.is_image else _MARKER)
        if len(self.description) > most:
            raise UsageError(f"the description is longer than {most} characters", cure="shorten --description")
        if len(self.tags) > TAGS_PER_RESOURCE.value - 1:
            raise UsageError(f"more than {TAGS_PER_RESOURCE.value - 1} tags", cure="give fewer --tag")

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads back."""
        return asdict(self)

    def lasting(self) -> dict[str, Any]:
        """What makes two exports different ones."""
        return {name: value for name, value in self.as_json().items() if name != "skip_check"}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ExportRequest:
        """The request of a job; raises UsageError for one of another version."""
        try:
            return cls(**{**data, "skip_check": tuple(data.get("skip_check", ()))})
        except TypeError as error:
            raise UsageError(f"the job's request cannot be read: {error}", cure="start the export again") from error
