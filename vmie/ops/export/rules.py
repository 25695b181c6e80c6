"""What VM Export will not take, found before it is asked: facts in, findings out. Pure.

Sources: the 2016 prerequisites page ("known limitations when exporting a VM"), today's guide (aws-facts 3.8), and
messages seen in the field (aws-facts 5.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from vmie import limits
from vmie.checks.sources import Evidence, EvidenceKind
from vmie.errors import PYTHON, Action, Cure, Do, Run, Set, Terms, actions
from vmie.model import Finding, Verdict
from vmie.ops.export import judges
from vmie.ops.export.judges import ExportFacts

SEED = "2016 prerequisites page, known limitations when exporting a VM from Amazon EC2"
GUIDE = "https://docs.aws.amazon.com/vm-import/latest/userguide/vmexport.html"
GUIDE_IMAGE = "https://docs.aws.amazon.com/vm-import/latest/userguide/vmexport_image.html"

_NOT_EXPORTABLE = "NotExportable: This instance cannot be exported."
_CREATE_IMAGE = Run(
    ("aws", "ec2", "create-image", "--instance-id", "{id}", "--name", "NAME"), "makes an AMI of it; then:"
)
_BY_IMAGE = (_CREATE_IMAGE, Run(("vmie", "export", "AMI", "--format", "{format}")))
#: what stands for an export's own names where there is none
_ANY = {"id": "ID", "bucket": "BUCKET", "region": "REGION", "format": "vmdk"}
_GRANT = Run(("vmie", "setup-role", "--export-bucket", "{bucket}"))


@dataclass(frozen=True, slots=True)
class ExportRule:
    """One restriction. `judge` yields what trips it: a message, or a message and another verdict."""

    id: str
    title: str
    judge: Callable[[ExportFacts], Iterable[str | tuple[Verdict, str]]]
    source: str
    #: ``{id}``, ``{bucket}`` and ``{region}`` in it are those of the export
    cure: Cure = ()
    verdict: Verdict = Verdict.FAIL
    predicts: str = ""

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What it rests on."""
        return (Evidence(EvidenceKind.DOCUMENTED, self.source, self.title, self.verdict),)

    def as_json(self, terms: Terms = PYTHON) -> dict[str, Any]:
        """The contracted ``rule`` of `vmie explain`."""
        return {
            "id": self.id,
            "title": self.title,
            "verdict": self.verdict.value,
            "routes": [],
            "profiles": [],
            "predicts": self.predicts,
            "cure": [_filled(one, **_ANY).text(terms) for one in actions(self.cure)],
            "evidence": [one.as_json() for one in self.evidence],
        }

    def apply(self, facts: ExportFacts) -> list[Finding]:
        """One finding per hit, none when nothing trips."""
        return [self._finding(facts, hit) for hit in self.judge(facts)]

    def _finding(self, facts: ExportFacts, hit: str | tuple[Verdict, str]) -> Finding:
        verdict, message = (self.verdict, hit) if isinstance(hit, str) else hit
        bucket = facts.request.bucket or (facts.bucket.name if facts.bucket else "BUCKET")
        return Finding(
            rule=self.id,
            verdict=verdict,
            message=message,
            actions=tuple(
                _filled(one, id=facts.source.id, bucket=bucket, region=facts.region, format=facts.request.disk_format)
                for one in actions(self.cure)
            ),
            source=self.source,
            predicts=self.predicts if verdict is Verdict.FAIL else "",
            path=facts.source.id,
        )


def _filled(action: Action, **values: str) -> Action:
    match action:
        case Run(argv, note):
            return Run(tuple(word.format(**values) for word in argv), note)
        case Do(str(words)):
            return Do(words.format(**values))
        case _:
            return action


def judge(facts: ExportFacts) -> list[Finding]:
    """Every rule's findings, the blocking ones first."""
    found = [finding for rule in RULES for finding in rule.apply(facts)]
    order = [Verdict.FAIL, Verdict.UNKNOWN, Verdict.WARN, Verdict.PASS]
    return sorted(found, key=lambda finding: (order.index(finding.verdict), finding.rule))


RULES: tuple[ExportRule, ...] = (
    ExportRule(
        "VMIE-EXPORT-001",
        "one volume, the root",
        judges.several_volumes,
        f"{SEED} (data volumes, several virtual disks); {GUIDE}",
        _BY_IMAGE,
        predicts="UnsupportedOperation: This instance has multiple volumes attached. Please remove additional volumes.",
    ),
    ExportRule(
        "VMIE-EXPORT-002",
        "one network interface",
        judges.several_interfaces,
        f"{SEED} (several network interfaces); {GUIDE}",
        ("detach all but one, or:", *_BY_IMAGE),
        predicts=_NOT_EXPORTABLE,
    ),
    ExportRule(
        "VMIE-EXPORT-003",
        "EBS, not instance store",
        judges.instance_store,
        GUIDE,
        "copy the data to an EBS volume and export that; instance stores cannot be exported",
        predicts=_NOT_EXPORTABLE,
    ),
    ExportRule(
        "VMIE-EXPORT-004",
        "owned by this account",
        judges.shared,
        f"{SEED} (shared from another account); {GUIDE}",
        (Run(("aws", "ec2", "copy-image"), "into your account, where its owner allows it"), "or export as its owner"),
        predicts=_NOT_EXPORTABLE,
    ),
    ExportRule(
        "VMIE-EXPORT-005",
        "no encrypted volume",
        judges.encrypted,
        GUIDE,
        "no setting lifts this; read the volume from an instance (`dd`) instead, or rebuild it without encryption",
        predicts=_NOT_EXPORTABLE,
    ),
    ExportRule(
        "VMIE-EXPORT-006",
        "no software under AWS's licence",
        judges.licence,
        f"{GUIDE}; {SEED} (imported machines only)",
        "export a machine with your own licence (BYOL), or move the data instead of the machine",
        predicts=_NOT_EXPORTABLE,
    ),
    ExportRule(
        "VMIE-EXPORT-007",
        "no Marketplace product",
        judges.marketplace,
        GUIDE,
        "get the product from its maker for the other environment, and move the data",
        predicts=_NOT_EXPORTABLE,
    ),
    ExportRule(
        "VMIE-EXPORT-008",
        "an instance's format",
        judges.instance_raw,
        f"{SEED} (image formats); {GUIDE}; aws-sdk issue 535",
        (
            Set("format", "vmdk", "or vhd, or ova; else:"),
            _CREATE_IMAGE,
            Run(("vmie", "export", "AMI", "--format", "raw")),
        ),
        predicts="InvalidParameter",
    ),
    ExportRule(
        "VMIE-EXPORT-009",
        "an AMI's format",
        judges.image_ova,
        GUIDE_IMAGE,
        Set("format", "vmdk", "or vhd, or raw; or export an instance of it as OVA"),
        predicts="InvalidParameter",
    ),
    ExportRule(
        "VMIE-EXPORT-010",
        "at most 1 TiB a volume",
        judges.too_large,
        limits.EXPORT_VOLUME_BYTES.source,
        "move the data to smaller volumes and export those",
    ),
    ExportRule(
        "VMIE-EXPORT-011",
        "the bucket's Region",
        judges.bucket_region,
        GUIDE,
        (
            "name a bucket of {region}:",
            Set("bucket"),
            Run(("vmie", "setup-role", "--export-bucket", "BUCKET", "--create-bucket"), "makes one"),
        ),
        predicts="InvalidParameter: The given S3 object is not local to the region.",
    ),
    ExportRule(
        "VMIE-EXPORT-012",
        "the bucket's encryption",
        judges.bucket_kms,
        GUIDE,
        "use a bucket that encrypts with SSE-S3 (AES256), or switch {bucket} to it",
    ),
    ExportRule(
        "VMIE-EXPORT-013",
        "the bucket's grant",
        judges.bucket_grant,
        GUIDE,
        _GRANT,
        predicts="InternalError: An internal error has occurred",
    ),
    ExportRule(
        "VMIE-EXPORT-014",
        "one export of an AMI at a time",
        judges.one_at_a_time,
        limits.EXPORTS_PER_IMAGE.source,
        (Run(("vmie", "tasks", "watch"), "follows it"), Run(("vmie", "tasks", "cancel", "TASK"), "ends it")),
    ),
    ExportRule(
        "VMIE-EXPORT-015",
        "the instance's AMI",
        judges.instance_image_gone,
        GUIDE,
        ("if it was imported:", *_BY_IMAGE),
        verdict=Verdict.WARN,
    ),
    ExportRule(
        "VMIE-EXPORT-016",
        "the AMI's snapshots",
        judges.snapshot_gone,
        GUIDE,
        "make a new AMI from an instance of it, and export that",
    ),
    ExportRule(
        "VMIE-EXPORT-017",
        "the kind of VHD",
        judges.fixed_vhd,
        f"{SEED} (fixed VHD)",
        verdict=Verdict.PASS,
    ),
    ExportRule(
        "VMIE-EXPORT-018",
        "imported, or from an AMI of one's own",
        judges.instance_of_others,
        f"{SEED} (imported machines only); aws-cli issue 6779",
        ("if AWS answers NotExportable:", *_BY_IMAGE),
        verdict=Verdict.WARN,
    ),
    ExportRule(
        "VMIE-EXPORT-019",
        "the instance's state",
        judges.instance_state,
        GUIDE,
        Run(("aws", "ec2", "stop-instances", "--instance-ids", "{id}"), "first"),
    ),
    ExportRule("VMIE-EXPORT-020", "the AMI's state", judges.image_state, GUIDE_IMAGE, "wait until it is available"),
    ExportRule(
        "VMIE-EXPORT-021",
        "your own licence",
        judges.own_licence,
        f"{SEED} (BYOL); https://docs.aws.amazon.com/vm-import/latest/userguide/licensing.html",
        "ask whoever keeps the licences",
        verdict=Verdict.WARN,
    ),
    ExportRule(
        "VMIE-EXPORT-022",
        "the role's right to write",
        judges.role_grant,
        "https://docs.aws.amazon.com/vm-import/latest/userguide/required-permissions.html",
        _GRANT,
        predicts="InvalidParameter: The service role vmimport provided does not exist or does not have sufficient "
        "permissions",
    ),
)
