"""An object that is in S3 already, brought into the import bucket by S3 itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

from vmie import events
from vmie.aws import copying, objects
from vmie.aws.upload import Uploaded, UploadOptions
from vmie.errors import VmieError
from vmie.model import S3Object
from vmie.ops.context import Context
from vmie.ops.upload_state import SOURCE, Sent


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """`source`, of which S3 said `found`, goes to `target`."""

    source: S3Object
    target: S3Object
    found: objects.ObjectFacts

    @property
    def token(self) -> str:
        """Stands for this version of the source."""
        identity = [self.source.url, self.found.etag, self.found.size]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def send(context: Context, plan: CopyPlan, *, step: str, options: UploadOptions) -> Uploaded:
    """Copy it, remembered under `step`; nothing is copied that is there already.

    Raises AwsRefused, VmieError (SourceChanged) when the source changes meanwhile.
    """
    aws, reporter = context.aws, context.reporter
    state = Sent(context.journal, step, plan.target, token=plan.token, more={"source": plan.source.url})
    there = objects.facts(aws, plan.target)
    if there is not None and there.metadata.get(SOURCE) == plan.token:
        reporter(events.Note(f"{plan.target.url} is already copied"))
        return state.done(Uploaded(plan.target, there.size, 0, there.etag))
    state.begin()
    reporter(events.Stage("copy", f"{plan.source.url} → {plan.target.url} (inside S3)"))
    options = replace(options, metadata={**options.metadata, SOURCE: plan.token})
    try:
        made = copying.copy(aws, plan.source, plan.target, plan.found, state=state, options=options, reporter=reporter)
    except VmieError as error:
        if error.code == "SourceChanged":
            state.give_up(aws)
        raise
    # What S3 copied crossed no wire of ours.
    return state.done(replace(made, bytes_sent=0))
