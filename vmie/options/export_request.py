"""The options of `vmie export`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator

from vmie.errors import Drop, UsageError, says
from vmie.options.base import Options, option
from vmie.options.reasons import either
from vmie.options.shared import judged_description, judged_tags
from vmie.options.spelling import ARGUMENTS, FLAGS
from vmie.options.types import Bucket, ClientToken, ExportFormat, LocalPath, Role, Tags, Target, Text, Texts

_EXPORT = ("export",)


def _source(text: str) -> str:
    if not re.fullmatch(r"(i|ami)-[0-9a-zA-Z]+", text):
        raise ValueError(f"{text!r} is neither an instance (i-…) nor an AMI (ami-…)", "name what to export")
    return text


class ExportRequest(Options):
    """One export: `source` is an instance or an AMI. "" and None leave an option to vmie or AWS."""

    source: Annotated[Text, AfterValidator(_source)] = option(
        ..., "An instance, or an AMI.", argument=True, metavar=ARGUMENTS["source"], in_plans=False
    )
    format: ExportFormat = option(..., "The form to make: vmdk, vhd, ova (instances only) or raw (AMIs only).")
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
        yield from judged_description(self.description, marked=not self.is_image)
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

    def lasting(self) -> dict[str, Any]:
        """What makes two exports different ones."""
        return {name: value for name, value in self.as_json().items() if name != "skip_check"}
