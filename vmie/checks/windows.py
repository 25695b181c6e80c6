"""WIN: which Windows AWS takes, and in what state."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from vmie.checks import predicted_messages, sources
from vmie.checks.oslist import edition_name, windows_release
from vmie.checks.rule import AS_SNAPSHOT, NOW, Hit, Outcome, Rule
from vmie.checks.sources import advised, follows, refused, seed
from vmie.checks.subject import Subject
from vmie.checks.systems import X86_32
from vmie.guest.facts import Firmware
from vmie.model import Profile, Verdict

#: aws-facts 0: support for 32-bit Windows ends with the day before
I386_END = dt.date(2026, 4, 1)


def _silent(subject: Subject) -> Verdict:
    """What the list does not name: 2016 to the letter, today not known."""
    return Verdict.FAIL if subject.profile is Profile.Y2016 else Verdict.UNKNOWN


def _release(subject: Subject) -> Outcome:
    windows, silent = subject.windows, _silent(subject)
    if windows is None:
        return None
    if not windows.release:
        if windows.product:
            return [Hit(f"{windows.product} (build {windows.build}) is on no list of VM Import", silent)]
        why = windows.unknown[0] if windows.unknown else "the registry does not say"
        return [Hit(f"the Windows version cannot be determined: {why[:200]}", Verdict.UNKNOWN)]
    if windows_release(windows.release, subject.profile) is None:
        return [Hit(f"Windows {windows.release} is not on the list", silent)]
    return [Hit("Nano Server is not supported")] if windows.nano else ()


def _edition(subject: Subject) -> Outcome:
    windows = subject.windows
    row = windows_release(windows.release, subject.profile) if windows else None
    if windows is None or row is None or not windows.edition:
        return None
    name = edition_name(windows.edition)
    if name in row.editions:
        return ()
    listed = ", ".join(sorted(row.editions))
    return [Hit(f"the edition {name} of Windows {windows.release} is not listed ({listed})", _silent(subject))]


def _service_pack(subject: Subject) -> Outcome:
    windows = subject.windows
    row = windows_release(windows.release, subject.profile) if windows else None
    if windows is None or row is None or not row.service_pack or windows.service_pack is None:
        return None
    if windows.service_pack >= row.service_pack:
        return ()
    return [Hit(f"Windows {windows.release} needs Service Pack {row.service_pack} or later")]


def _bits(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or windows.architecture not in X86_32:
        return None if windows is None else ()
    row = windows_release(windows.release, subject.profile)
    if row is not None and 32 not in row.bits:
        return [Hit(f"Windows {windows.release} is taken as 64-bit only")]
    if subject.profile is Profile.Y2016:
        return ()
    if subject.today >= I386_END:
        return [Hit(f"32-bit Windows: support ended on {I386_END.isoformat()}")]
    return [Hit(f"32-bit Windows: support ends on {I386_END.isoformat()}", Verdict.WARN)]


def _language(subject: Subject) -> Outcome:
    windows = subject.windows
    row = windows_release(windows.release, subject.profile) if windows else None
    if windows is None or row is None or not row.client or not windows.languages:
        return None
    spoken = [language.lower() for language in windows.languages]
    if spoken[0] == "en-us":
        return ()
    verdict = Verdict.WARN if "en-us" in spoken else Verdict.FAIL
    return [Hit(f"Windows {windows.release} speaks {windows.languages[0]}, the import needs US English", verdict)]


def _eleven(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or windows.release != "11" or subject.guest.firmware is Firmware.UNKNOWN:
        return None
    return [Hit("Windows 11 boots by UEFI only")] if subject.guest.firmware is Firmware.BIOS else ()


def _hyperv(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or windows.hyperv_role is None:
        return None
    if windows.kind == "workstation":
        # The pages speak of servers.
        return [Hit("Hyper-V is installed", Verdict.WARN)] if windows.hyperv_role else ()
    return [Hit("the Hyper-V role is installed")] if windows.hyperv_role else ()


def _hibernated(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or windows.hibernated is None:
        return None
    return [Hit("Windows is hibernated, or was shut down by fast start-up")] if windows.hibernated else ()


def _fast_startup(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or windows.fast_startup is None or windows.hibernated:
        return None
    return [Hit("fast start-up is on: a shut-down leaves a hibernated kernel")] if windows.fast_startup else ()


def _dirty(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None:
        return None
    if windows.dirty_volume:
        return [Hit("the Windows volume is marked dirty")]
    if windows.dirty_hives:
        return [Hit(f"registry hives were not written out ({', '.join(windows.dirty_hives)}): they may be stale")]
    return ()


def _directory(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or windows.kind != "domain-controller":
        return None
    place = windows.ad_database
    if place and not place.lower().startswith("c:"):
        return [Hit(f"a domain controller whose database is not on C: ({place[:100]})", Verdict.FAIL)]
    return [Hit("this is a domain controller: a copy beside the running one breaks replication")]


def _incomplete(subject: Subject) -> Iterator[Hit]:
    for windows in subject.guest.windows:
        for reason in windows.unknown[:5]:
            yield Hit(f"not everything could be read: {reason[:200]}")


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-WIN-001",
        title="The Windows release is on AWS's list",
        judge=_release,
        predicts=predicted_messages.UNKNOWN_OS,
        cure=("upgrade in place to a listed release", AS_SNAPSHOT),
        evidence=(
            advised(sources.PREREQUISITES, "the releases that can be imported; of others it says nothing"),
            refused(sources.PREREQUISITES, "Nano Server is not supported"),
            seed(17, 19, 21, 23, 25, 27, 29, 35, 41, 47),
        ),
    ),
    Rule(
        id="VMIE-WIN-002",
        title="The Windows edition is on AWS's list",
        judge=_edition,
        verdict=Verdict.UNKNOWN,
        predicts=predicted_messages.UNKNOWN_OS,
        cure="change the edition in the guest (`DISM /Set-Edition`)",
        evidence=(
            advised(sources.PREREQUISITES, "the editions that can be imported; of others it says nothing"),
            seed(17, 19, 21, 23, 25, 27, 29, 35, 41, 47),
        ),
    ),
    Rule(
        id="VMIE-WIN-003",
        title="The service pack is recent enough",
        judge=_service_pack,
        predicts=predicted_messages.UNKNOWN_OS,
        cure="install the service pack in the guest",
        evidence=(
            refused(sources.PREREQUISITES, "Windows Server 2003 with Service Pack 1 or later"),
            seed(17),
        ),
    ),
    Rule(
        id="VMIE-WIN-004",
        title="The release is taken in this width",
        judge=_bits,
        predicts=predicted_messages.UNKNOWN_OS,
        cure=("move to a 64-bit Windows", AS_SNAPSHOT),
        evidence=(
            refused(sources.PREREQUISITES, "which releases are taken as 64-bit only, and when 32-bit Windows ends"),
            seed(15, 23, 25, 27, 41, 47),
        ),
    ),
    Rule(
        id="VMIE-WIN-005",
        title="A client Windows speaks US English",
        judge=_language,
        predicts=predicted_messages.FIRST_BOOT,
        cure="add the en-US language and make it the default for the import; change it back afterwards",
        evidence=(
            refused(sources.PREREQUISITES, "client releases are US English during the import"),
            seed(33, 39, 45, 51),
        ),
    ),
    Rule(
        id="VMIE-WIN-006",
        title="Windows 11 boots by UEFI",
        judge=_eleven,
        profiles=NOW,
        predicts=predicted_messages.FIRST_BOOT,
        cure="convert the disk (`mbr2gpt /convert`) and set the machine to UEFI before the export",
        evidence=(refused(sources.PREREQUISITES, "Windows 11 needs the boot mode uefi"),),
    ),
    Rule(
        id="VMIE-WIN-007",
        title="The Hyper-V role is not installed",
        judge=_hyperv,
        predicts=predicted_messages.FIRST_BOOT,
        cure="remove the role (`Uninstall-WindowsFeature Hyper-V`) and restart",
        evidence=(
            refused(sources.LIMITATIONS, "a Windows Server with the Hyper-V role is not supported"),
            refused(sources.TROUBLE, "FirstBootFailure: among its causes is the Hyper-V role"),
        ),
    ),
    Rule(
        id="VMIE-WIN-008",
        title="Windows is shut down, not hibernated",
        judge=_hibernated,
        predicts=predicted_messages.FIRST_BOOT,
        cure="start it, `powercfg /h off`, `shutdown /s /t 0`, export again",
        evidence=(
            refused(sources.PREPARE, "the machine has to be shut down before it is exported"),
            follows(
                "https://manpages.debian.org/unstable/ntfs-3g/ntfs-3g.8.en.html",
                "a hibernated NTFS volume cannot be changed, and the import has to change it",
            ),
        ),
    ),
    Rule(
        id="VMIE-WIN-009",
        title="Fast start-up is off",
        judge=_fast_startup,
        verdict=Verdict.WARN,
        cure="`powercfg /h off` in the guest, then shut it down",
        evidence=(
            follows(
                "https://manpages.debian.org/unstable/ntfs-3g/ntfs-3g.8.en.html",
                "fast start-up leaves the volume hibernated when Windows shuts down",
                allows=Verdict.WARN,
            ),
        ),
    ),
    Rule(
        id="VMIE-WIN-010",
        title="The volume and the registry are clean",
        judge=_dirty,
        verdict=Verdict.WARN,
        cure="start Windows, `chkdsk C: /f`, shut it down in order and export again",
        evidence=(advised(sources.PREPARE, "shut the machine down before it is exported"),),
    ),
    Rule(
        id="VMIE-WIN-011",
        title="A domain controller keeps its database on C:",
        judge=_directory,
        verdict=Verdict.WARN,
        predicts=predicted_messages.FIRST_BOOT,
        cure="demote it, or move the database to C: (ntdsutil); better: install a new one in EC2 and replicate",
        evidence=(
            refused(sources.TROUBLE, "a domain controller cannot boot without its database, which has to be on C:"),
        ),
    ),
    Rule(
        id="VMIE-WIN-012",
        title="The registry was read whole",
        judge=_incomplete,
        verdict=Verdict.WARN,
        cure="start Windows and shut it down in order, then export again",
        evidence=(advised(sources.PREPARE, "shut the machine down before it is exported"),),
    ),
)
