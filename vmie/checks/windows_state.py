"""WIN, second part: settings that keep an imported Windows from being reached, and licences (LIC)."""

from __future__ import annotations

from vmie.checks import predicted_messages, sources
from vmie.checks.oslist import NAMES, canonical, windows_release
from vmie.checks.rule import BOTH, NOW, Hit, Outcome, Rule, anyway, both
from vmie.checks.sources import advised, follows, refused, seed, seen
from vmie.checks.subject import GIB, Subject
from vmie.errors import Set
from vmie.model import Profile, Route, Verdict

_VM_SNAPSHOT = (Route.IMAGE, Route.INSTANCE, Route.SNAPSHOT)
#: Windows grows a page file that it manages up to 16 GiB on EC2 (aws-facts 8.5); 6 GiB more are needed anyway
_ROOM_FOR_PAGE_FILE = 22 * GIB


def _rdp(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or windows.rdp_enabled is None:
        return None
    if not windows.rdp_enabled:
        return [Hit("Remote Desktop is off")]
    return [Hit("no firewall rule lets Remote Desktop in")] if windows.rdp_firewall_open is False else ()


def _pending(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None:
        return None
    return [Hit(f"a restart is pending ({', '.join(windows.pending_reboot)})")] if windows.pending_reboot else ()


def _sysprep(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or not (windows.sysprep_state or windows.setup_in_progress is not None):
        return None
    state = windows.sysprep_state.upper()
    if state.endswith("UNDEPLOYABLE"):
        return both(Hit("Sysprep or Setup broke off half-way (image state undeployable)", Verdict.FAIL))
    if "RESEAL_TO_AUDIT" in state:
        return both(Hit("Windows is sealed into audit mode: it will not reach the log-on prompt", Verdict.FAIL))
    if windows.setup_in_progress and "GENERALIZE" not in state:
        return [Hit("Setup is not finished: the import needs a Windows that boots to the log-on prompt", without={})]
    return ()


def _dotnet(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or not windows.product:
        return None
    if any(version.startswith(("4.5", "4.6", "4.7", "4.8")) for version in windows.dotnet):
        return ()
    if subject.profile is Profile.Y2016 and any(version.startswith("3.5 SP1") for version in windows.dotnet):
        return ()
    newest = windows.dotnet[-1] if windows.dotnet else "none"
    return [Hit(f"the newest .NET Framework is {newest}; the EC2 services need 4.5 (3.5 SP1 for EC2Config)")]


def _autologon(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or windows.autologon is None:
        return None
    return [Hit("automatic log-on is on")] if windows.autologon else ()


def _security(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None:
        return None
    found = windows.security_products
    return [Hit(f"security software starts with Windows: {', '.join(found[:4])}")] if found else ()


def _page_file(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or windows.page_file_managed is None or windows.free_bytes is None:
        return None
    if windows.page_file_managed and windows.free_bytes < _ROOM_FOR_PAGE_FILE:
        return [Hit("Windows manages the page file's size: it may grow by 16 GiB and fill the volume")]
    return ()


def _clock(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or windows.universal_time is None or not windows.time_zone:
        return None
    zone = windows.time_zone.lower()
    if windows.universal_time or zone == "utc" or "coordinated universal" in zone:
        return ()
    return [Hit(f"the hardware clock is taken for {windows.time_zone}, EC2's runs in UTC")]


def _ems(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or windows.ems is None:
        return None
    return [Hit("Emergency Management Services are on: the import turns them off")] if windows.ems else ()


def _packs(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or not windows.languages:
        return None
    packs = windows.utf16_language_packs
    return [Hit(f"language packs that need UTF-16 are installed: {', '.join(packs[:4])}")] if packs else ()


def _tools(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None:
        return None
    return [Hit("VMware Tools are installed")] if windows.vmware_tools else ()


def _filters(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None or not windows.product:
        return None
    gone = windows.missing_filters
    return [Hit(f"filter drivers of the disks are not there: {', '.join(gone[:4])}")] if gone else ()


def _rhel(subject: Subject) -> Outcome:
    root = subject.linux
    name = canonical(root.distribution) if root else ""
    if name not in {"rhel", "sles"}:
        return None
    wording = "through Red Hat Cloud Access" if name == "rhel" else "as BYOS"
    return [Hit(f"{NAMES[name]} is imported with a licence of your own, {wording}")]


def _client_licence(subject: Subject) -> Outcome:
    windows = subject.windows
    row = windows_release(windows.release, subject.profile) if windows else None
    if row is None or not row.client:
        return None
    byol = f"Windows {row.release} runs with a licence of your own (BYOL), on Dedicated Hosts or Instances"
    return [
        Hit(byol, routes=(Route.IMAGE, Route.SNAPSHOT)),
        Hit(f"{byol}; ImportInstance takes no Windows BYOL", Verdict.FAIL, routes=(Route.INSTANCE,)),
    ]


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-WIN-013",
        title="Remote Desktop is on and let in",
        judge=_rdp,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="System Properties > Remote > allow connections, and allow it in Windows Firewall",
        without=anyway("login"),
        evidence=(advised(sources.PREPARE, "enable Remote Desktop, and let it through the firewall"),),
    ),
    Rule(
        id="VMIE-WIN-014",
        title="No restart is pending",
        judge=_pending,
        verdict=Verdict.WARN,
        cure="install what is pending and restart until nothing is left",
        evidence=(advised(sources.PREPARE, "no updates may be pending, and nothing be set to install at a restart"),),
    ),
    Rule(
        id="VMIE-WIN-015",
        title="Setup and Sysprep are finished",
        judge=_sysprep,
        verdict=Verdict.WARN,
        predicts=predicted_messages.FIRST_BOOT,
        cure="finish Setup, or run `sysprep /oobe /generalize /shutdown` to its end",
        without=anyway("login"),
        evidence=(
            refused(sources.TROUBLE, "FirstBootFailure: Windows has to boot to its log-on prompt"),
            follows(
                "https://learn.microsoft.com/windows-hardware/manufacture/desktop/windows-setup-states",
                "what the states of an image mean: undeployable ones and those sealed into audit mode",
            ),
        ),
    ),
    Rule(
        id="VMIE-WIN-016",
        title="A recent .NET Framework is installed",
        judge=_dotnet,
        verdict=Verdict.WARN,
        cure="install .NET Framework 4.5 or later (3.5 SP1 on Windows Server 2003)",
        evidence=(advised(sources.PREPARE, "install .NET Framework 4.5 or later; the import installs it as needed"),),
    ),
    Rule(
        id="VMIE-WIN-017",
        title="Automatic log-on is off",
        judge=_autologon,
        verdict=Verdict.WARN,
        cure="set AutoAdminLogon to 0 (netplwiz)",
        evidence=(advised(sources.PREPARE, "disable automatic log-on"),),
    ),
    Rule(
        id="VMIE-WIN-018",
        title="No security software interferes",
        judge=_security,
        verdict=Verdict.WARN,
        cure="disable or uninstall it for the import",
        evidence=(
            advised(sources.PREPARE, "disable antivirus and intrusion detection software"),
            advised(sources.TROUBLE, "FirstBootFailure: it can keep drivers and services from being installed"),
        ),
    ),
    Rule(
        id="VMIE-WIN-019",
        title="The page file has room",
        judge=_page_file,
        profiles=NOW,
        verdict=Verdict.WARN,
        cure="give the page file a fixed size",
        evidence=(advised(sources.LIMITATIONS, "configure a fixed page file: a managed one may take 16 GB"),),
    ),
    Rule(
        id="VMIE-WIN-020",
        title="The hardware clock is taken for UTC",
        judge=_clock,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="set RealTimeIsUniversal to 1 (after KB2922223 on Windows 7, 2008 R2 and older)",
        evidence=(advised(sources.PREPARE, "set RealTimeIsUniversal"),),
    ),
    Rule(
        id="VMIE-WIN-021",
        title="Emergency Management Services are off",
        judge=_ems,
        verdict=Verdict.WARN,
        cure="nothing to do, unless you use them: `bcdedit /ems on` afterwards",
        evidence=(advised(sources.LIMITATIONS, "Emergency Management Services are disabled in the imported image"),),
    ),
    Rule(
        id="VMIE-WIN-022",
        title="No UTF-16 language packs",
        judge=_packs,
        profiles=NOW,
        verdict=Verdict.WARN,
        cure="remove them for the import (`lpksetup /u`)",
        evidence=(advised(sources.LIMITATIONS, "language packs that use UTF-16 are not supported"),),
    ),
    Rule(
        id="VMIE-WIN-023",
        title="No tools of another hypervisor",
        judge=_tools,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="uninstall VMware Tools before the export",
        evidence=(advised(sources.PREPARE, "uninstall VMware Tools"),),
    ),
    Rule(
        id="VMIE-WIN-024",
        title="Every filter driver of the disks is there",
        judge=_filters,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="take their names out of UpperFilters and LowerFilters of the disk and volume classes",
        evidence=(
            follows(
                "https://learn.microsoft.com/en-us/troubleshoot/windows-client/performance/"
                "stop-error-7b-or-inaccessible-boot-device-troubleshooting",
                "a missing filter driver of the storage stack ends in stop error 7B",
            ),
            seen(
                "https://www.sysnative.com/forums/threads/debugging-stop-0x7b-inaccessible_boot_device.38312/",
                "a service was deleted and its filter driver left behind: 0x7B",
                allows=Verdict.WARN,
            ),
        ),
    ),
    Rule(
        id="VMIE-LIC-001",
        title="RHEL and SLES bring their own licence",
        judge=_rhel,
        routes=(Route.IMAGE, Route.INSTANCE, Route.SNAPSHOT),
        verdict=Verdict.WARN,
        cure="enrol the subscription for the cloud first (Red Hat Cloud Access; SUSE: BYOS)",
        evidence=(
            advised(sources.LICENCES, "Linux comes with its own licence"),
            seed(65, 309, 347),
        ),
    ),
    Rule(
        id="VMIE-LIC-002",
        title="A client Windows is BYOL",
        judge=_client_licence,
        verdict=Verdict.WARN,
        profiles=BOTH,
        predicts=predicted_messages.UNKNOWN_OS,
        cure=(
            Set("route", "image"),
            Set("license_type", "BYOL", "and launch on Dedicated Hosts or Instances"),
        ),
        evidence=(
            refused(sources.LICENCES, "client Windows is imported as BYOL, for dedicated hardware"),
            refused(f"{sources.API}/API_ImportInstance.html", "there is no licence type to give"),
            seed(131, 329, 331, 373),
        ),
    ),
)
