"""The options of `vmie upload`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator

from vmie.errors import Drop, UsageError, says
from vmie.model import S3Object
from vmie.options import aws_names
from vmie.options.base import option
from vmie.options.help_texts import EMPTY_DISKS_HELP, MACHINE_HELP
from vmie.options.shared import KEY_HELP, TransferOptions, judged_selection
from vmie.options.spelling import ARGUMENTS
from vmie.options.types import KmsKey, LocalPath, Text, UploadFormat


def _url(text: str) -> str:
    found = re.fullmatch(r"s3://([^/]+)/(.*)", text, re.DOTALL)
    if not found:
        raise ValueError(f"{text!r} names no object", "s3://BUCKET/KEY, or s3://BUCKET/ for the file's own name")
    return f"s3://{aws_names.bucket(found[1])}/{found[2]}"


class UploadRequest(TransferOptions):
    """An upload as the user asks for it: `url` is ``s3://bucket/key``, or a folder with a / at its end."""

    path: LocalPath = option(
        ..., "A disk in any format that vmie reads, or an OVA.", argument=True, metavar=ARGUMENTS["path"]
    )
    url: Annotated[Text, AfterValidator(_url)] = option(
        ..., "A key that ends in / gets the file's name.", argument=True, metavar=ARGUMENTS["url"]
    )
    disk: int | None = option(None, "Which disk of an OVA, from 0.", bounds={"ge": 0}, metavar="N")
    machine: Text = option("", MACHINE_HELP, bounds={"min_length": 1, "max_length": 256}, metavar="NAME")
    empty_disks: bool = option(False, EMPTY_DISKS_HELP)
    as_is: bool = option(False, "Send the file as it is, whatever it is.")
    format: UploadFormat | None = option(None, "Send in this form.")
    force: bool = option(False, "Replace an object that is there and holds something else.")
    sse_kms_key: KmsKey = option("", KEY_HELP, flags=("--sse-kms-key", "--kms-key"), group="Sending")

    @property
    def repair_of(self) -> tuple[str, ...]:
        """Nothing is mended on the way of an upload."""
        return ()

    @property
    def object(self) -> S3Object:
        """Where it goes; the key of a folder is "" or ends in /, and is completed by what is sent."""
        bucket, _, key = self.url.removeprefix("s3://").partition("/")
        return S3Object(bucket, key)

    def conflicts(self) -> Iterator[UsageError]:
        """See `Options.conflicts`."""
        yield from super().conflicts()
        yield from judged_selection(machine=self.machine, empty_disks=self.empty_disks, as_is=self.as_is)
        if self.as_is and self.format:
            yield UsageError(
                says("{as_is} and {format} cannot both be given"),
                cure=(Drop(("as_is",), "or:"), Drop(("format",))),
            )
