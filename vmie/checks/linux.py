"""LNX: what a Linux guest has to bring along to be reachable afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from vmie.checks import predicted_messages, sources
from vmie.checks.rule import Hit, Outcome, Rule, anyway, unprepared
from vmie.checks.sources import advised, follows, refused, seen
from vmie.checks.subject import Subject
from vmie.guest.linux_facts import CloudInit, Mount
from vmie.model import Route, Verdict

_DISABLED = frozenset({"cifs", "smbfs", "smb3", "vboxsf", "sshfs", "fuse.sshfs", "vmhgfs", "fuse.vmhgfs-fuse"})
_VM_SNAPSHOT = (Route.IMAGE, Route.INSTANCE, Route.SNAPSHOT)


def _fstab_read(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None:
        return None
    if root.fstab_read is None and not root.fstab:
        missing = Hit("there is no /etc/fstab", predicts=predicted_messages.NO_FSTAB)
        return [missing] if root.distribution != "unknown" else None
    return [Hit("/etc/fstab cannot be read")] if root.fstab_read is False else ()


def _mounts(subject: Subject) -> tuple[Mount, ...]:
    return subject.linux.fstab if subject.linux else ()


def _by_name(subject: Subject) -> Outcome:
    if not _mounts(subject):
        return None
    named = [mount for mount in _mounts(subject) if mount.by_name]
    if not named:
        return ()
    devices = ", ".join(mount.device for mount in named[:4])
    without: dict[Route, str] | None = None if any(map(_stops, named)) else {}
    return [Hit(f"{_who(named)} names devices that are called otherwise on EC2: {devices}", without=without)]


def _who(mounts: Sequence[Mount]) -> str:
    """What mounts them: fstab, or the first unit that does."""
    return "fstab" if any(mount.path == "/etc/fstab" for mount in mounts) else mounts[0].path


def _stops(mount: Mount) -> bool:
    """Whether boot ends in emergency mode without it; the root is mounted by then, and swap is not needed."""
    return mount.mountpoint.startswith("/") and mount.mountpoint != "/" and not mount.nofail and not mount.network


def _network_mounts(subject: Subject) -> Outcome:
    if not _mounts(subject):
        return None
    off = [f"{mount.mountpoint} ({mount.fstype})" for mount in _mounts(subject) if mount.fstype in _DISABLED]
    return [Hit(f"mounts that the service comments out: {', '.join(off[:4])}")] if off else ()


def _missing(subject: Subject) -> Outcome:
    if not _mounts(subject):
        return None
    absent = [mount for mount in _mounts(subject) if mount.target is False and not mount.nofail and not mount.network]
    gone = [f"{mount.mountpoint} ({mount.device})" for mount in absent]
    without: dict[Route, str] | None = None if any(map(_stops, absent)) else {}
    message = f"mounts what is not in the image: {', '.join(gone[:4])}"
    hits = [Hit(f"{_who(absent)} {message}", without=without)] if gone else []
    doubtful = [f"{mount.mountpoint} ({mount.device})" for mount in _mounts(subject) if mount.doubtful]
    if doubtful:
        message = f"whether what fstab mounts is in the image cannot be determined: {', '.join(doubtful[:4])}"
        hits.append(Hit(message, Verdict.UNKNOWN))
    return hits


def _waiting(subject: Subject) -> Outcome:
    if not _mounts(subject):
        return None
    waits = [
        mount.mountpoint
        for mount in _mounts(subject)
        if mount.network and not mount.nofail and mount.fstype not in _DISABLED
    ]
    return [Hit(f"boot waits for network file systems: {', '.join(waits[:4])}")] if waits else ()


def _sshd(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None:
        return None
    if not root.sshd.installed:
        return [Hit("no SSH server is installed")]
    return [Hit("the SSH server does not start at boot")] if root.sshd.enabled is False else ()


def _firewall(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or root.firewall.active is False:
        return None if root is None else ()
    if root.firewall.ssh_allowed is False:
        detail = f" ({root.firewall.detail[:100]})" if root.firewall.detail else ""
        return [Hit(f"the firewall ({root.firewall.kind}) does not let SSH in{detail}")]
    return ()


def _login(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None:
        return None
    users, cloud = root.users, root.cloud_init
    by_cloud = cloud is not None and cloud.ec2 and not users.cloud_shut_out
    if by_cloud or users.with_keys or users.with_ssh_password or users.others:
        return ()
    if cloud is not None and cloud.ec2:
        return [
            Hit(f"sshd's lists (AllowUsers …) keep out {users.cloud_shut_out[:40]}, who gets EC2's key, and all others")
        ]
    if users.shut_out:
        return [Hit(f"sshd's lists (AllowUsers …) keep out every account that has a key, and {_cloud_init(cloud)}")]
    if users.with_password:
        return [Hit(f"only the serial console takes a password, no account has a key, and {_cloud_init(cloud)}")]
    return [Hit(f"nobody can log in: no account has a password or a key, and {_cloud_init(cloud)}")]


def _cloud_init(cloud: CloudInit | None) -> str:
    """Why cloud-init brings no key in."""
    if cloud is None or not cloud.installed:
        return "cloud-init is not installed"
    if cloud.disabled:
        return f"cloud-init is disabled ({cloud.disabled})"
    if cloud.datasources is not None and "ec2" not in (name.lower() for name in cloud.datasources):
        names = ", ".join(name for name in cloud.datasources if name != "None")
        return f"cloud-init asks {names[:100] or 'nothing'} only, not EC2 ({cloud.why})"
    return f"cloud-init does not ask EC2: {cloud.why}"


def _tools(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or (root.vmware_tools is None and root.virtualbox_additions is None):
        return None
    found = [
        name
        for name, there in (
            ("VMware Tools", root.vmware_tools),
            ("VirtualBox Guest Additions", root.virtualbox_additions),
        )
        if there
    ]
    return [Hit(f"{' and '.join(found)} are installed")] if found else ()


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-LNX-001",
        title="fstab names file systems by UUID or label",
        judge=_by_name,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="use UUID= (see `blkid`); the service tries to, and adds nofail where it cannot",
        without=unprepared("boot"),
        evidence=(advised(sources.CHANGES, "device names in fstab become UUIDs, and where there is none get nofail"),),
    ),
    Rule(
        id="VMIE-LNX-002",
        title="fstab has no file systems that the service disables",
        judge=_network_mounts,
        verdict=Verdict.WARN,
        cure="mount them again after the import",
        evidence=(advised(sources.CHANGES, "lines with cifs, smbfs, vboxsf, sshfs and the like are disabled"),),
    ),
    Rule(
        id="VMIE-LNX-003",
        title="fstab can be read",
        judge=_fstab_read,
        predicts=predicted_messages.FSTAB,
        cure="restore /etc/fstab in the guest",
        evidence=(
            refused(sources.TROUBLE, "Invalid configuration - Could not read fstab"),
            seen(
                "https://github.com/nix-community/nixos-generators/issues/343",
                "Unable to find an etc directory with fstab",
            ),
        ),
    ),
    Rule(
        id="VMIE-LNX-004",
        title="All that fstab mounts is in the image",
        judge=_missing,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="give all disks of the machine together, or add nofail to these lines",
        without=unprepared("boot"),
        evidence=(
            advised(sources.CHANGES, "invalid lines of fstab are commented out"),
            follows(
                f"{sources.SYSTEMD}/systemd.mount.html",
                "a mount without nofail that fails stops the boot in emergency mode",
                allows=Verdict.WARN,
            ),
        ),
    ),
    Rule(
        id="VMIE-LNX-005",
        title="Boot waits for no network file system",
        judge=_waiting,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="add nofail,_netdev to these lines: the servers are not reachable from the import's first boot",
        evidence=(
            follows(
                f"{sources.SYSTEMD}/systemd.mount.html",
                "the boot waits for a mount without nofail",
                allows=Verdict.WARN,
            ),
        ),
    ),
    Rule(
        id="VMIE-LNX-006",
        title="An SSH server starts at boot",
        judge=_sshd,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="install openssh-server and enable it",
        without=anyway("login"),
        evidence=(advised(sources.PREPARE, "enable SSH for remote access"),),
    ),
    Rule(
        id="VMIE-LNX-007",
        title="The firewall lets SSH in",
        judge=_firewall,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="allow TCP port 22 in the guest",
        without=anyway("login"),
        evidence=(advised(sources.PREPARE, "the firewall has to let SSH in, else the instance cannot be reached"),),
    ),
    Rule(
        id="VMIE-LNX-008",
        title="Somebody can log in",
        judge=_login,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="create a user with a key or password, or let cloud-init ask EC2 (`datasource_list: [ Ec2 ]` in "
        "/etc/cloud/cloud.cfg.d/99-ec2.cfg): the service creates no ec2-user; ImportImage does install the SSM agent",
        without=anyway("login"),
        evidence=(
            advised(sources.PREPARE, "a user with a key must be there: the import makes no ec2-user"),
            follows(
                "https://docs.cloud-init.io/en/latest/reference/ds-identify.html",
                "cloud-init asks the datasources of its list alone, and is off where it finds none of them",
                allows=Verdict.WARN,
            ),
        ),
    ),
    Rule(
        id="VMIE-LNX-009",
        title="No tools of another hypervisor",
        judge=_tools,
        routes=_VM_SNAPSHOT,
        verdict=Verdict.WARN,
        cure="uninstall them before the export",
        evidence=(advised(sources.PREPARE, "uninstall VMware Tools"),),
    ),
)
