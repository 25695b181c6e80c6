"""Whether an object holds what would be sent, by the checksum that S3 keeps of it: reading is cheaper than sending."""

from __future__ import annotations

import hashlib
import re
from contextlib import closing

from vmie import events
from vmie.aws.objects import ObjectFacts
from vmie.aws.parts import Payload, b64, part_size_for
from vmie.errors import ImageError
from vmie.ops import payloads
from vmie.ops.upload_plan import UploadPlan

#: an ETag that is an MD5, with ``-PARTS`` behind one of the parts' MD5s; not of what a key of KMS encrypts
_MD5 = re.compile('"?([0-9a-f]{32})(?:-([0-9]+))?"?')


def same_content(plan: UploadPlan, found: ObjectFacts, *, reporter: events.Reporter = events.silent) -> bool:
    """Make what would be sent, unless its size tells, and compare; False too where S3 keeps nothing to compare with."""
    algorithm, (kept, _, count) = "sha256", found.sha256.partition("-")
    etag = _MD5.fullmatch(found.etag)
    if not kept and etag:
        algorithm, kept = "md5", b64(bytes.fromhex(etag[1]))
    # Some stand-ins leave the number of parts out of the checksum; a SHA-256 of a multipart object is always of those.
    parts = int(count) if count.isdigit() else int((etag and etag[2]) or 0)
    size = part_size_for(plan.bound)
    if not kept or found.size > plan.bound or (parts and -(-found.size // size) != parts):
        return False  # nothing to compare with, or cut otherwise: then the checksum shows nothing
    if plan.choice.method == "as-is" and found.size != plan.source_size:
        return False
    reporter(events.Stage("compare", f"{plan.path.name} with {plan.target.url}, which is there already"))
    try:
        with closing(
            payloads.payload(plan.path, plan, plan.choice, size=plan.source_size, index=plan.index, verify=False)
        ) as payload:
            return kept == _digest(payload, size, algorithm, most=found.size, in_parts=parts > 0)
    except (ValueError, ImageError):
        return False  # whoever sends it in earnest says why


def _digest(payload: Payload, part_size: int, algorithm: str, *, most: int, in_parts: bool) -> str:
    """The checksum of the payload, in base64; "" when it is not `most` bytes long."""
    whole = hashlib.new(algorithm, usedforsecurity=False)
    total = 0
    for part in payload.parts(part_size):
        total += part.size
        if total > most:
            return ""
        if in_parts:
            whole.update(part.digest(algorithm))
            continue
        for piece in part.chunks():
            whole.update(piece)
    return b64(whole.digest()) if total == most else ""
