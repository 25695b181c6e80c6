"""Options that several operations share: how bytes are sent, tags and descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from vmie.errors import Drop, UsageError, says
from vmie.limits import DESCRIPTION_CHARACTERS
from vmie.options import aws_names
from vmie.options.base import OneOf, Options, option
from vmie.options.reasons import brief
from vmie.options.types import KmsKey, Rate, StorageClass

#: what vmie adds to a description where the API takes no token: a space and ``[vmie 0123456789abcdef]``
MARKER_CHARACTERS = 24

SSE_HELP = "Encrypt the uploaded object; by default as the bucket says."
KEY_HELP = "Encrypt the uploaded object with this key."
_SENDS: dict[str, Any] = {"group": "Sending", "routes": ("image", "snapshot", "instance", "volume")}
_OBJECT: dict[str, Any] = {**_SENDS, "via": "s3"}
#: the way and the pace that bytes take; what is made is the same
_PASSING = ("max_rate", "accelerate", "skip_verify")


class TransferOptions(Options):
    """How bytes are sent and kept; "" for the bucket's own ways. `max_rate` is bytes per second."""

    sse: Annotated[str, OneOf("AES256", "aws:kms", "aws:kms:dsse")] = option("", SSE_HELP, **_OBJECT)
    sse_kms_key: KmsKey = option("", KEY_HELP, **_OBJECT)
    storage_class: StorageClass = option("", "Of the uploaded object, such as STANDARD_IA.", **_OBJECT)
    max_rate: Rate | None = option(
        None, "Send at most this: bytes per second, such as 20M or 1.5G.", metavar="RATE", **_SENDS
    )
    accelerate: bool = option(False, "Send by S3 Transfer Acceleration; the bucket must have it enabled.", **_OBJECT)

    skip_verify: bool = option(
        False,
        "Send a file without looking for damage in it, nor comparing an appliance with its manifest.",
        guesses=("no_verify",),
        **_SENDS,
    )

    keep_free: bool = option(
        False,
        "Send what lies in free space too. Without it, deleted files and all else that the file systems call free go "
        "as zeros, where a disk is streamed and its file system is clean.",
        via="s3",
        guesses=("keep_deleted", "no_sparsify"),
        **_SENDS,
    )

    def conflicts(self) -> Iterator[UsageError]:
        """See `Options.conflicts`."""
        if self.sse_kms_key and self.sse == "AES256":
            yield UsageError(
                says("{sse_kms_key} and {sse=AES256} exclude each other"),
                cure=Drop(("sse",), "the key says it already"),
            )

    def lasting(self) -> dict[str, Any]:
        """What makes two operations different ones: what is made, not how fast or by which way it is sent."""
        return {name: value for name, value in self.as_json().items() if name not in _PASSING}


def judged_selection(*, machine: str, empty_disks: bool, as_is: bool) -> Iterator[UsageError]:
    """What is wrong with the choice of an appliance's machine and disks."""
    chosen = tuple(name for name, given in (("machine", machine), ("empty_disks", empty_disks)) if given)
    if as_is and chosen:
        listed = " and ".join(f"{{{name}}}" for name in chosen)
        yield UsageError(
            says(f"{listed} cannot be given with {{as_is}}"),
            cause="a file that is sent as it is goes with all that is in it",
            cure=(Drop(("as_is",), "or:"), Drop(chosen)),
        )


def judged_tags(tags: Mapping[str, str], *, others: int) -> Iterator[UsageError]:
    """What is wrong with tags; `others` are those that vmie adds."""
    for key, why in aws_names.tags(tags, others=others):
        at = f"{brief(key)}: " if key else ""
        yield UsageError(says("{tags}: {_why}", _why=f"{at}{why}"), cure="" if key else "leave some out")


def judged_description(text: str, *, marked: bool) -> Iterator[UsageError]:
    """What is wrong with a description; `marked`: vmie adds the marker by which it finds the task again."""
    most = DESCRIPTION_CHARACTERS.value - (MARKER_CHARACTERS if marked else 0)
    if len(text) > most:
        yield UsageError(
            says("{description}: {_why}", _why=f"{len(text)} characters are too many, at most {most}"),
            cause=f"{DESCRIPTION_CHARACTERS.value}, of which vmie needs {MARKER_CHARACTERS} to find the task again"
            if marked
            else "",
            cure="shorten it",
        )
