"""Who calls, for how long, by which clock, and in a Region that is open to the account."""

from __future__ import annotations

from vmie import catalogue, limits, partitions
from vmie.aws import identity as caller
from vmie.errors import Run, VmieError
from vmie.model import Verdict
from vmie.ops.doctor.report import Case, Line, passed, refused
from vmie.policy.permissions import JobKind

#: AWS refuses requests that are signed further off than this (aws-facts 5.1, RequestExpired)
SKEW_SECONDS = 300.0
_WARN_SKEW_SECONDS = 60.0
#: seconds that credentials should still live: half an hour's import and its upload; a batch takes a night
_LIFETIME, _BATCH_LIFETIME = 3600.0, 8 * 3600.0
_CHECKS = {"clock-skew": "clock", "opt-in": "region", "network": "network", "tls": "network"}


def identity(case: Case) -> list[Line]:
    """The credentials are taken, and are not the root user's."""
    try:
        who = case.identity
    except VmieError as error:
        return [_refusal(case, error)]
    if who.root:
        return [
            Line(
                "identity",
                Verdict.WARN,
                f"you are the root user of account {who.account}",
                "imports as root were seen to be refused as if the role were missing, and root cannot be limited",
                ("use a user or role", Run(("vmie", "policy", "user"), "prints what it needs")),
            )
        ]
    return [passed("identity", f"you are {who.arn}")]


def _refusal(case: Case, error: VmieError) -> Line:
    """What the refusal of the very first call means."""
    known = catalogue.explain(error.message, error.code).id
    if known == "credentials-wrong" and (line := _region_closed(case)):
        return line
    return refused(_CHECKS.get(known, "credentials"), error)


def region(case: Case) -> list[Line]:
    """The Region is open to the account, and, for the legacy calls, one of theirs."""
    status = caller.opted_in(case.aws)
    if status == "not-opted-in":
        return [_closed(case)]
    if status is None:
        return [
            Line(
                "region",
                Verdict.UNKNOWN,
                f"whether {case.aws.region} is enabled cannot be asked",
                "ec2:DescribeRegions is not allowed to you",
                "calls in it are answered, so it should be",
            )
        ]
    old = " (ImportInstance and ImportVolume too)" if case.aws.region in limits.LEGACY_REGIONS else ""
    return [passed("region", f"{case.aws.region} is open to the account{old}")]


def _region_closed(case: Case) -> Line | None:
    """A Region that is not enabled refuses credentials that are right: another Region shows that."""
    home = partitions.named(case.aws.partition).home
    if home == case.aws.region:
        return None
    try:
        caller.identity(case.aws, region=home)
    except (VmieError, KeyError):
        return None
    return _closed(case) if caller.opted_in(case.aws) == "not-opted-in" else None


def _closed(case: Case) -> Line:
    name = case.aws.region
    return Line(
        "region",
        Verdict.FAIL,
        f"the Region {name} is not enabled for this account",
        "Regions opened after March 2019 are off until an account turns them on; until then they refuse every key",
        Run(
            ("aws", "account", "enable-region", "--region-name", name),
            "takes minutes to hours; then run this again",
        ),
        "RegionDisabled",
    )


def clock(case: Case) -> list[Line]:
    """This machine's clock agrees with AWS's."""
    theirs = case.identity.server_time
    if theirs is None:
        return [Line("clock", Verdict.UNKNOWN, "AWS's answer has no time in it")]
    skew = (case.clock.now() - theirs).total_seconds()
    if abs(skew) < _WARN_SKEW_SECONDS:
        return [passed("clock", "this machine's clock agrees with AWS's")]
    direction = "ahead of" if skew > 0 else "behind"
    return [
        Line(
            "clock",
            Verdict.FAIL if abs(skew) >= SKEW_SECONDS else Verdict.WARN,
            f"this machine's clock is {abs(skew) / 60:.0f} minutes {direction} AWS's",
            "AWS refuses requests that are signed more than five minutes off, and presigned URLs die early",
            Run(("timedatectl", "set-ntp", "true"), "or chronyc makestep"),
            "ClockSkew",
        )
    ]


def lifetime(case: Case) -> list[Line]:
    """The credentials live as long as the work takes."""
    facts = case.aws.credentials()
    if facts is None:
        return []
    if not facts.temporary:
        return [passed("lifetime", "the credentials do not expire")]
    if facts.expires is None:
        return [
            Line(
                "lifetime",
                Verdict.WARN if facts.source == "env" else Verdict.PASS,
                "the credentials are a session's, and do not say when it ends",
                "a task that is begun goes on in AWS, but presigned URLs and the upload end with the session",
                Run(("vmie", "resume", "JOB"), "goes on with new credentials"),
            )
        ]
    left = (facts.expires - case.clock.now()).total_seconds()
    hours = f"{left / 3600:.1f} hours" if left > 5400 else f"{left / 60:.0f} minutes"
    if left >= (_BATCH_LIFETIME if case.job is JobKind.BATCH else _LIFETIME):
        return [passed("lifetime", f"the session lasts another {hours}")]
    return [
        Line(
            "lifetime",
            Verdict.WARN,
            f"the session ends in {hours}",
            f"the {case.job} may take longer: the upload stops then, a task that is begun goes on in AWS",
            (Run(("aws", "sso", "login"), "renews it"), Run(("vmie", "resume", "JOB"), "goes on afterwards")),
        )
    ]
