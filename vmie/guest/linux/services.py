"""Services and software: what starts at boot (systemd, SysV, upstart), sshd, cloud-init, hypervisors' tools, users."""

from __future__ import annotations

import re

from vmie.guest.linux.shell import variables
from vmie.guest.linux_facts import Sshd, Users
from vmie.guest.tree import Tree

_SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/bin/systemd")
_WANTS = tuple(
    f"{base}/{target}.wants"
    for base in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
    for target in ("multi-user.target", "sockets.target", "basic.target", "sysinit.target", "network-online.target")
)
_RUNLEVELS = ("/etc/rc3.d", "/etc/rc2.d", "/etc/rc.d/rc3.d", "/etc/init.d/rc3.d", "/etc/runlevels/default")
_NO_PASSWORD = re.compile(r"[!*].*|x?|LK|NP")
_MAX_USERS = 2000


def enabled(tree: Tree, *names: str) -> bool | None:
    """Whether a service of one of `names` starts at boot; None when the init system cannot be determined."""
    if tree.first(*_SYSTEMD):
        return any(_systemd(tree, name) for name in names) or any(_sysv(tree, name) for name in names)
    if tree.first(*_RUNLEVELS, "/etc/init", "/etc/inittab"):
        return any(_sysv(tree, name) or _upstart(tree, name) for name in names)
    return None


def _systemd(tree: Tree, name: str) -> bool:
    units = (f"{name}.service", f"{name}.socket")
    if all(tree.link(f"/etc/systemd/system/{unit}") == "/dev/null" for unit in units[:1]):
        return False
    return any(tree.there(f"{folder}/{unit}") for folder in _WANTS for unit in units)


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
    port, password = 22, None
    folder = "/etc/ssh/sshd_config.d"
    included = [f"{folder}/{name}" for name in tree.listdir(folder) if name.endswith(".conf")]
    # the first value of a keyword counts, and Debian and Red Hat include the folder at the top
    lines = [line for path in (*included[:50], "/etc/ssh/sshd_config") for line in _global(tree.lines(path))]
    for line in reversed(lines):
        key, _, value = line.replace("=", " ").replace("\t", " ").partition(" ")
        value = value.strip().strip('"')
        if key.lower() == "port" and value.isdecimal() and len(value) < 6:
            port = int(value)
        elif key.lower() == "passwordauthentication":
            password = value.lower() == "yes"
    return Sshd(installed=True, enabled=enabled(tree, "ssh", "sshd", "dropbear"), port=port, password_login=password)


def _global(lines: list[str]) -> list[str]:
    """The lines before the first Match block."""
    end = next((index for index, line in enumerate(lines) if line.lower().startswith("match ")), len(lines))
    return lines[:end]


def cloud_init(tree: Tree) -> bool:
    """Whether cloud-init is installed and not switched off."""
    there = tree.first("/usr/bin/cloud-init", "/usr/local/bin/cloud-init", "/etc/cloud/cloud.cfg")
    return bool(there) and not tree.exists("/etc/cloud/cloud-init.disabled")


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


def users(tree: Tree) -> Users:
    """Who could log in: a shell, and a password or keys. Hashes are looked at for being there, no more."""
    hashes = {}
    for line in (tree.text("/etc/shadow") or "").splitlines()[:_MAX_USERS]:
        name, _, rest = line.partition(":")
        hashes[name] = not _NO_PASSWORD.fullmatch(rest.partition(":")[0])
    passwords = keys = people = 0
    for line in (tree.text("/etc/passwd") or "").splitlines()[:_MAX_USERS]:
        fields = line.split(":")
        if len(fields) < 7 or fields[6].strip().endswith(("nologin", "false", "sync", "shutdown", "halt")):
            continue
        if fields[0] != "root" and (not fields[2].isdecimal() or not 500 <= int(fields[2][:10]) < 65534):
            continue
        home = fields[5] if fields[5].startswith("/") else ""
        has_keys = bool(home) and bool((tree.read(f"{home}/.ssh/authorized_keys", limit=64) or b"").strip())
        passwords += hashes.get(fields[0], False)
        keys += has_keys
        people += fields[0] != "root" and (has_keys or hashes.get(fields[0], False))
    return Users(root_password=hashes.get("root"), with_password=passwords, with_keys=keys, non_root=people)
