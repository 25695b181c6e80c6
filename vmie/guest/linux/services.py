"""Services and software: what starts at boot (systemd, SysV, upstart), sshd, hypervisors' tools, SELinux."""

from __future__ import annotations

import re

from vmie.guest.linux.shell import variables
from vmie.guest.linux.ssh_access import access_lists
from vmie.guest.linux_facts import Sshd
from vmie.guest.tree import Tree

SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/bin/systemd")
_WANTS = tuple(
    f"{base}/{target}.wants"
    for base in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
    for target in ("multi-user.target", "sockets.target", "basic.target", "sysinit.target", "network-online.target")
)
_RUNLEVELS = ("/etc/rc3.d", "/etc/rc2.d", "/etc/rc.d/rc3.d", "/etc/init.d/rc3.d", "/etc/runlevels/default")


def enabled(tree: Tree, *names: str) -> bool | None:
    """Whether a service of one of `names` starts at boot; None when the init system cannot be determined."""
    if tree.first(*SYSTEMD):
        return any(_systemd(tree, name) for name in names) or any(_sysv(tree, name) for name in names)
    if tree.first(*_RUNLEVELS, "/etc/init", "/etc/inittab"):
        return any(_sysv(tree, name) or _upstart(tree, name) for name in names)
    return None


def _systemd(tree: Tree, name: str) -> bool:
    units = (f"{name}.service", f"{name}.socket")
    if all(tree.link(f"/etc/systemd/system/{unit}") == "/dev/null" for unit in units[:1]):
        return False
    return any(unit in tree.listdir(folder) for folder in _WANTS for unit in units)


def _sysv(tree: Tree, name: str) -> bool:
    pattern = re.compile(rf"S\d\d{re.escape(name)}|{re.escape(name)}")
    return any(pattern.fullmatch(entry) for folder in _RUNLEVELS for entry in tree.listdir(folder))


def _upstart(tree: Tree, name: str) -> bool:
    manual = "manual" in tree.lines(f"/etc/init/{name}.override")
    return tree.exists(f"/etc/init/{name}.conf") and not manual


def sshd(tree: Tree) -> Sshd:
    """The SSH server and what its configuration says; included files count."""
    if not tree.first("/usr/sbin/sshd", "/sbin/sshd", "/usr/local/sbin/sshd", "/usr/sbin/dropbear"):
        return Sshd()
    folder = "/etc/ssh/sshd_config.d"
    included = [f"{folder}/{name}" for name in tree.listdir(folder) if name.endswith(".conf")]
    # the first value of a keyword counts, and Debian and Red Hat include the folder at the top
    files_read = [tree.lines(path) for path in (*included[:50], "/etc/ssh/sshd_config")]
    lines = [line for one in files_read for line in _global(one)]
    said: dict[str, str] = {}
    for line in lines:
        key, _, value = line.replace("=", " ").replace("\t", " ").partition(" ")
        said.setdefault(key.lower(), value.strip().strip('"'))
    port = said.get("port", "")
    password = said.get("passwordauthentication")
    files = said.get("authorizedkeysfile", "").split()
    everything = access_lists(line for one in files_read for line in one)
    lists = access_lists(lines)
    if lists != everything:  # a Match block says otherwise for some: who that is cannot be known here
        lists = {}
    return Sshd(
        installed=True,
        enabled=enabled(tree, "ssh", "sshd", "dropbear"),
        port=int(port) if port.isdecimal() and len(port) < 6 else 22,
        password_login=None if password is None else password.lower() == "yes",
        root_login=said.get("permitrootlogin", "").lower(),
        key_login=said.get("pubkeyauthentication", "yes").lower() != "no",
        key_files=tuple(files[:10]) or Sshd().key_files,
        allow_users=lists.get("allowusers", ()),
        deny_users=lists.get("denyusers", ()),
        allow_groups=lists.get("allowgroups", ()),
        deny_groups=lists.get("denygroups", ()),
    )


def _global(lines: list[str]) -> list[str]:
    """The lines before the first Match block."""
    end = next((index for index, line in enumerate(lines) if line.lower().startswith("match ")), len(lines))
    return lines[:end]


def vmware_tools(tree: Tree) -> bool:
    """VMware's own tools or open-vm-tools."""
    return bool(
        tree.first(
            "/usr/bin/vmtoolsd",
            "/usr/sbin/vmtoolsd",
            "/usr/bin/vmware-toolbox-cmd",
            "/usr/sbin/vmware-guestd",
            "/usr/bin/vmware-config-tools.pl",
        )
    )


def virtualbox_additions(tree: Tree) -> bool:
    """VirtualBox Guest Additions."""
    if tree.first("/usr/sbin/VBoxService", "/usr/bin/VBoxService", "/sbin/VBoxService"):
        return True
    return any(name.startswith("VBoxGuestAdditions") for name in tree.listdir("/opt"))


def selinux(tree: Tree) -> str:
    """enforcing, permissive, disabled, or "" without SELinux."""
    assigned = variables(tree.text("/etc/selinux/config")).get("SELINUX", "").lower()
    return assigned if assigned in ("enforcing", "permissive", "disabled") else ""
