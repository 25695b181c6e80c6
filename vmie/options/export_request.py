"""The options of `vmie export`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator

from vmie.errors import Drop, Set, UsageError, says
from vmie.options.base import OneOf, Options, option
from vmie.options.reasons import either
from vmie.options.shared import judged_description, judged_tags
from vmie.options.spelling import ARGUMENTS, FLAGS
from vmie.options.types import Bucket, ClientToken, ExportFormat, LocalPath, Role, Tags, Target, Text, Texts

_EXPORT = ("export",)


def _source(text: str) -> str:
    if not re.fullmatch(r"(i|ami|snap|vol)-[0-9a-zA-Z]+", text):
        wanted = "name an instance (i-…) or an AMI (ami-…); by EBS direct also a snapshot (snap-…) or a volume (vol-…)"
        raise ValueError(f"{text!r} is nothing that can be exported", wanted)
    return text


#: what only AWS's own export has, and what only an export by EBS direct has
_OF_TASKS = ("bucket", "prefix", "description", "target", "role_name", "client_token", "download", "skip_check")
_OF_BLOCKS = ("file", "since", "base", "force")
_BLOCKS: dict[str, Any] = {"group": "By EBS direct", "in_plans": False}


class ExportRequest(Options):
    """One export: `source` is an instance or an AMI, by EBS direct also a snapshot or a volume.

    "" and None leave an option to vmie or AWS.
    """

    source: Annotated[Text, AfterValidator(_source)] = option(
        ...,
        "An instance or an AMI; by EBS direct also a snapshot or a volume.",
        argument=True,
        metavar=ARGUMENTS["source"],
        in_plans=False,
    )
    format: ExportFormat = option(
        ...,
        "The form to make: vmdk, vhd, ova (instances only) or raw (AMIs only). By EBS direct each, qcow2 and vhdx too.",
    )
    via: Annotated[str, OneOf("s3", "ebs")] = option(
        "s3",
        "s3: AWS writes objects into a bucket. ebs: the snapshots' blocks are read (EBS direct) into a local file.",
        **_BLOCKS,
    )
    file: LocalPath = option(
        "",
        "The new file, with {via=ebs}; a number is put into its name for each of several disks.",
        argument=True,
        metavar=ARGUMENTS["file"],
        in_plans=False,
    )
    since: Text = option(
        "",
        "Read only the blocks that changed since this earlier snapshot, whose disk {base} is. As qcow2 the new file "
        "holds these alone, over {base}; in the other formats it is whole.",
        metavar="snap-…",
        **_BLOCKS,
    )
    base: LocalPath = option("", "The file with the disk of {since}; it stays as it is.", metavar="FILE", **_BLOCKS)
    force: bool = option(False, "Replace the file where it exists.", **_BLOCKS)
    bucket: Bucket | None = option(
        None,
        "S3 bucket, in the same Region. Default: the settings', or what the role may use.",
        group="Where to",
    )
    prefix: Text | None = option(
        None,
        "Put before the task's id as it is; ends with / for a folder.",
        group="Where to",
        bounds={"max_length": 500},
    )
    description: Text = option("", "Of the task.", bounds={"max_length": 255})
    tags: Tags = option({}, "On the task.", flags=FLAGS["tags"], metavar="K=V")
    target: Target = option(
        "",
        "Virtualisation environment of an instance's export. Default: the one that goes with the format.",
        routes=_EXPORT,
        guesses=("target_environment",),
    )
    role_name: Role | None = option(None, "The service role (default vmimport).", group="Where to")
    client_token: ClientToken = option("", "Idempotency token; made from the job by default.", in_plans=False)
    download: LocalPath = option(
        "",
        "Then fetch the objects into this folder; it is made if need be.",
        metavar="DIR",
        group="Where to",
        routes=_EXPORT,
        guesses=("output",),
    )
    skip_check: Texts = option((), "Rules that shall not block, all for every rule.", metavar="RULE")

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

    def conflicts(self) -> Iterator[UsageError]:
        """See `Options.conflicts`."""
        yield from judged_tags(self.tags, others=1)
        yield from self._judged_way()
        yield from judged_description(self.description, marked=not self.is_image)
        if self.via == "ebs":
            return
        if self.target and self.is_image:
            yield UsageError(
                says("{target} is for instances"),
                cause="ExportImage knows no target environment",
                cure=Drop(("target",)),
            )
        wanted = ["citrix", "microsoft"] if self.format == "vhd" else ["vmware"]
        if self.target and self.format != "raw" and self.target not in wanted:
            yield UsageError(
                says("{format}: {_form} is not a format of {_target}", _form=self.format, _target=self.target),
                cure=says("choose {_wanted} as {target}, or leave it out", _wanted=either(wanted)),
            )

    def _judged_way(self) -> Iterator[UsageError]:
        """What does not go with the way that was chosen."""
        strange = tuple(one for one in (_OF_TASKS if self.via == "ebs" else _OF_BLOCKS) if one in self.model_fields_set)
        if strange:
            other = "s3" if self.via == "ebs" else "ebs"
            yield UsageError(
                says(f"{', '.join(f'{{{name}}}' for name in strange)}: only with {{via={other}}}"),
                cause="no task is asked for: blocks are read" if self.via == "ebs" else "AWS writes the objects itself",
                cure=Drop(strange),
                fields=strange,
            )
        if self.via == "s3":
            if self.source.startswith(("snap-", "vol-")):
                cure = Set("via", "ebs", "reads the blocks")
                yield UsageError(says("{source}: AWS exports instances and AMIs only"), cure=cure, fields=("source",))
            if self.format in ("qcow2", "vhdx"):
                yield UsageError(
                    says("{format}: AWS makes no {_form}", _form=self.format),
                    cure=(says("choose vmdk, vhd, raw or ova"), Set("via", "ebs", "makes it from the blocks")),
                    fields=("format",),
                )
            return
        if not self.file:
            yield UsageError(says("{file} is missing"), cause="blocks are read into a file", cure="name the new file")
        if bool(self.since) != bool(self.base):
            lacking = "base" if self.since else "since"
            yield UsageError(
                says("{since} and {base} need each other"),
                cause="what did not change is taken from the file with the earlier disk",
                cure=Set(lacking),
                fields=(lacking,),
            )
        if self.since and not (re.fullmatch(r"snap-[0-9a-f]+", self.since) and self.source.startswith("snap-")):
            yield UsageError(
                says("{since}: changes are between two snapshots"),
                cure="name the later snapshot, then the earlier one, of the same volume",
                fields=("since",),
            )

    def lasting(self) -> dict[str, Any]:
        """What makes two exports different ones."""
        return {name: value for name, value in self.as_json().items() if name not in ("skip_check", "force")}
