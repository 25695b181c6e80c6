"""Who can log in: accounts with keys and passwords, and what else lets somebody in. No secret is kept."""

from __future__ import annotations

import re
from dataclasses import replace

from vmie.guest.linux.services import enabled
from vmie.guest.linux.ssh_access import admits, groups_of
from vmie.guest.linux_facts import Sshd, Users
from vmie.guest.tree import Tree

_NO_PASSWORD = re.compile(r"[!*].*|x?|LK|NP")
_MAX_USERS = 2000
_KEY_BYTES = 64 << 10
#: cloud-init writes root's keys with a command that sends the caller away (disable_root)
_REFUSED_KEY = re.compile(r"""command="echo 'Please login as""")
#: agents and directories by which accounts that are not in /etc/passwd, or keys that are not in a file, get in
_AGENTS = (
    ("amazon-ssm-agent", ("/usr/bin/amazon-ssm-agent", "/snap/bin/amazon-ssm-agent.ssm-cli", "/snap/amazon-ssm-agent")),
    ("ec2-instance-connect", ("/usr/share/ec2-instance-connect", "/opt/aws/bin/eic_run_authorized_keys")),
)
_DIRECTORIES = (("sssd", "/etc/sssd/sssd.conf"), ("winbind", "/etc/samba/smb.conf"), ("nslcd", "/etc/nslcd.conf"))


def users(tree: Tree, sshd: Sshd, cloud_user: str = "") -> Users:
    """Who could log in: a shell, and a password or keys. Hashes are looked at for being there, no more.

    `cloud_user` is the account that cloud-init makes and gives EC2's key, "" when that is not known.
    """
    hashes = {}
    for line in (tree.text("/etc/shadow") or "").splitlines()[:_MAX_USERS]:
        name, _, rest = line.partition(":")
        hashes[name] = not _NO_PASSWORD.fullmatch(rest.partition(":")[0])
    groups = groups_of(tree)
    passwords = over_ssh = keys = people = shut_out = 0
    for line in (tree.text("/etc/passwd") or "").splitlines()[:_MAX_USERS]:
        fields = line.split(":")
        if len(fields) < 7 or fields[6].strip().endswith(("nologin", "false", "sync", "shutdown", "halt")):
            continue
        root = fields[0] == "root"
        if not root and (not fields[2].isdecimal() or not 500 <= int(fields[2][:10]) < 65534):
            continue
        password = hashes.get(fields[0], False)
        has_keys = _has_keys(tree, sshd, fields[0], fields[5]) and not (root and sshd.root_login == "no")
        passwords += password
        if not admits(sshd, fields[0], groups.get(fields[0], ())):
            shut_out += has_keys or password
            continue
        over_ssh += password and sshd.password_login is not False and (not root or sshd.root_login in ("", "yes"))
        keys += has_keys
        people += not root and (has_keys or password)
    return Users(
        root_password=hashes.get("root"),
        with_password=passwords,
        with_ssh_password=over_ssh,
        with_keys=keys,
        non_root=people,
        shut_out=shut_out,
        # its groups are not known before it is made
        cloud_shut_out=cloud_user if cloud_user and not admits(replace(sshd, allow_groups=()), cloud_user, ()) else "",
        others=_others(tree),
    )


def _has_keys(tree: Tree, sshd: Sshd, user: str, home: str) -> bool:
    if not sshd.key_login:
        return False
    for pattern in sshd.key_files:
        named = pattern.replace("%h", home).replace("%u", user).replace("%%", "%")
        path = named if named.startswith("/") else f"{home}/{named}"
        data = tree.read(path, limit=_KEY_BYTES) if path.startswith("/") else None
        if data and any(_usable(line.strip()) for line in data.decode("utf-8", "replace").splitlines()):
            return True
    return False


def _usable(line: str) -> bool:
    return bool(line) and not line.startswith("#") and not _REFUSED_KEY.search(line)


def _others(tree: Tree) -> tuple[str, ...]:
    found = [name for name, paths in _AGENTS if tree.first(*paths)]
    found += [name for name, path in _DIRECTORIES if tree.exists(path) and enabled(tree, name)]
    return tuple(found)
