"""Who can log in: accounts, and the keys that cloud-init brings in or does not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.guests import Link, tree
from vmie.guest.linux.cloud_init import cloud_init
from vmie.guest.linux.devices import Devices, names_of
from vmie.guest.linux.logins import users
from vmie.guest.linux.services import sshd
from vmie.guest.linux_facts import CloudInit, Sshd, Users

Tree = Mapping[str, str | bytes | Link | None]
CFG, D, IDENTIFY = "/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d", "/etc/cloud/ds-identify.cfg"
BOTH = ("NoCloud", "VMware")
FOREIGN = "datasource_list: [ NoCloud, VMware ]\n"
PROGRAM: dict[str, str | bytes | Link | None] = {"/usr/bin/cloud-init": ""}


def look(files: Tree, cmdline: str = "", devices: Devices | None = None) -> CloudInit:
    return cloud_init(tree({**PROGRAM, **files}), cmdline, devices or Devices())


def test_it_is_not_installed() -> None:
    assert cloud_init(tree({}), "", Devices()) == CloudInit()


@pytest.mark.parametrize(
    ("files", "ec2", "listed"),
    [
        ({}, True, None),
        ({CFG: "users:\n - default\n"}, True, None),
        ({CFG: "datasource_list: [ NoCloud, Ec2, None ]\n"}, True, ("NoCloud", "Ec2", "None")),
        ({CFG: FOREIGN}, False, BOTH),
        ({CFG: "datasource_list: ['NoCloud', \"ConfigDrive\"] # x\n"}, False, ("NoCloud", "ConfigDrive")),
        ({CFG: "datasource_list: [ NoCloud,\n  Ec2 ]\n"}, True, ("NoCloud", "Ec2")),
        ({CFG: "datasource_list:\n  - NoCloud\n  # none\n  - 'VMware'\nx: 1\n"}, False, BOTH),
        ({CFG: "datasource_list:\n- Ec2\n- None\n"}, True, ("Ec2", "None")),
        ({CFG: "#datasource_list: [ Ec2 ]\ndatasource_list: [ Azure ]\n"}, False, ("Azure",)),
        ({CFG: "datasource_list: [ None ]\n"}, False, ("None",)),
        # the later file counts, whatever the one before says
        ({CFG: "datasource_list: [ Ec2 ]\n", f"{D}/99.cfg": FOREIGN}, False, BOTH),
        ({CFG: FOREIGN, f"{D}/90_dpkg.cfg": "datasource_list: [ Ec2 ]\n"}, True, ("Ec2",)),
        ({f"{D}/90.cfg": FOREIGN, f"{D}/95.cfg": "x: 1\n"}, False, BOTH),
        ({f"{D}/90.cfg.disabled": FOREIGN}, True, None),
        ({IDENTIFY: "datasource: Azure\n"}, False, ("Azure",)),
        ({IDENTIFY: "datasource: Ec2 # here\n", CFG: FOREIGN}, True, ("Ec2",)),
        ({IDENTIFY: "policy: search,found=all,maybe=all,notfound=disabled\n"}, True, None),
    ],
)
def test_datasources(files: Tree, ec2: bool, listed: tuple[str, ...] | None) -> None:
    found = look(files)
    assert (found.installed, found.disabled, found.ec2, found.datasources) == (True, "", ec2, listed)


def test_ds_identify_reads_a_list_of_several_lines_as_none_at_all() -> None:
    files = {CFG: "datasource_list:\n  - NoCloud\n", "/usr/lib/cloud-init/ds-identify": ""}
    assert look(files).ec2 is True


@pytest.mark.parametrize(
    ("files", "cmdline", "by"),
    [
        ({"/etc/cloud/cloud-init.disabled": ""}, "", "/etc/cloud/cloud-init.disabled"),
        ({"/etc/cloud/cloud-init.disabled": ""}, "ro cloud-init=enabled", ""),
        ({"/etc/cloud/cloud-init.disabled": "", "/etc/cloud/cloud-init.enabled": ""}, "", ""),
        ({"/etc/cloud/cloud-init.enabled": ""}, "cloud-init=disabled", "the kernel's option cloud-init=disabled"),
        ({IDENTIFY: "policy: disabled\n"}, "", "the policy of ds-identify"),
        ({IDENTIFY: "policy: disabled\n"}, "ci.di.policy=enabled", ""),
        (
            {"/etc/systemd/system/cloud-init.target": Link("/dev/null")},
            "",
            "/etc/systemd/system/cloud-init.target is masked",
        ),
        (
            {"/etc/systemd/system-generators/cloud-init-generator": Link("/dev/null")},
            "",
            "/etc/systemd/system-generators/cloud-init-generator is masked",
        ),
        ({"/etc/systemd/system/cloud-init.service": Link("/usr/lib/x")}, "", ""),
    ],
)
def test_switched_off(files: Tree, cmdline: str, by: str) -> None:
    found = look(files, cmdline)
    assert (found.installed, found.disabled, found.ec2) == (True, by, not by)


@pytest.mark.parametrize(
    ("cmdline", "ec2"),
    [("ds=nocloud;s=http://x/", False), ("ds=ec2", True), ("ci.ds=Azure", False), ("ci.datasource=Ec2", True)],
)
def test_the_kernels_options_name_the_datasource(cmdline: str, ec2: bool) -> None:
    assert look({CFG: "datasource_list: [ Azure, Ec2 ]\n"}, cmdline).ec2 is ec2


SEED = {"/var/lib/cloud/seed/nocloud/meta-data": "x", "/var/lib/cloud/seed/nocloud/user-data": "x"}


def test_a_seed_that_is_found_first() -> None:
    first = look({**SEED, CFG: "datasource_list: [ NoCloud, Ec2 ]\n"})
    assert (first.ec2, first.why) == (False, "/var/lib/cloud/seed/nocloud is found first")
    assert look({**SEED, CFG: "datasource_list: [ Ec2, NoCloud ]\n"}).ec2 is True
    assert look(SEED).ec2 is False  # the list built in has NoCloud before EC2
    assert look({"/var/lib/cloud/seed/nocloud/meta-data": "x"}).ec2 is True


def test_a_volume_that_is_found_first() -> None:
    known = Devices()
    known.add(0, names_of(label="cidata"))
    assert look({}, devices=known).ec2 is False
    assert look({CFG: "datasource_list: [ Ec2 ]\n"}, devices=known).ec2 is True


def test_a_kept_instance() -> None:
    assert look({"/var/lib/cloud/instance/manual-clean": ""}).ec2 is False


@pytest.mark.parametrize(
    ("text", "writes"),
    [
        ("network: {config: disabled}\n", False),
        ("network:\n  config: disabled\n", False),
        ('network: { "config": "disabled" }\n', False),
        ("network:\n  config: 'disabled'\n", False),
        ("network:\n  version: 2\n", False),  # it writes that, and not what EC2 says
        ("system_info:\n  network:\n    renderers: [eni]\n", True),
        ("#network: {config: disabled}\n", True),
    ],
)
def test_whether_it_writes_the_network(text: str, writes: bool) -> None:
    assert look({f"{D}/99-net.cfg": text}).network is writes


PASSWD = (
    "root:x:0:0::/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\nadmin:x:1000:1000::/home/admin:/bin/bash\n"
    "keys:x:1001:1001::/home/keys:/bin/sh\nlocked:x:1002:1002::/home/l:/bin/sh\nbroken\n"
)
SHADOW = "root:!:1::\nadmin:$6$abc$def:1::\nkeys:!:1::\nlocked:!$6$x:1::\ndaemon:*:1::\n"
ACCOUNTS: dict[str, str | bytes | Link | None] = {"/etc/passwd": PASSWD, "/etc/shadow": SHADOW, "/usr/sbin/sshd": ""}
KEY = "ssh-ed25519 AAAA me\n"


def people(files: Tree, config: str = "") -> Users:
    found = tree({**ACCOUNTS, "/etc/ssh/sshd_config": config, **files})
    return users(found, sshd(found))


def test_users_are_counted_and_no_hash_is_kept() -> None:
    found = people({"/home/keys/.ssh/authorized_keys": KEY})
    assert found == Users(root_password=False, with_password=1, with_ssh_password=1, with_keys=1, non_root=2)
    assert "$6$" not in repr(found)


@pytest.mark.parametrize(
    ("config", "files", "keys"),
    [
        ("", {"/home/admin/.ssh/authorized_keys2": KEY}, 1),
        ("", {"/home/admin/.ssh/authorized_keys": "# none\n\n"}, 0),
        ("PubkeyAuthentication no\n", {"/home/admin/.ssh/authorized_keys": KEY}, 0),
        ("AuthorizedKeysFile /etc/ssh/keys/%u\n", {"/etc/ssh/keys/admin": KEY}, 1),
        ("AuthorizedKeysFile %h/.keys\n", {"/home/admin/.keys": KEY}, 1),
        ("AuthorizedKeysFile /etc/ssh/keys/%u\n", {"/home/admin/.ssh/authorized_keys": KEY}, 0),
        ("", {"/root/.ssh/authorized_keys": KEY}, 1),
        ("PermitRootLogin no\n", {"/root/.ssh/authorized_keys": KEY}, 0),
        ("", {"/root/.ssh/authorized_keys": 'no-pty,command="echo \'Please login as the user..." ' + KEY}, 0),
    ],
)
def test_keys(config: str, files: Tree, keys: int) -> None:
    assert people(files, config).with_keys == keys


@pytest.mark.parametrize(
    ("config", "over_ssh"),
    [
        ("", 2),
        ("PasswordAuthentication no\n", 0),
        ("PermitRootLogin prohibit-password\n", 1),
        ("PermitRootLogin yes\n", 2),
    ],
)
def test_passwords_over_ssh(config: str, over_ssh: int) -> None:
    found = people({"/etc/shadow": SHADOW.replace("root:!", "root:$6$x$y")}, config)
    assert (found.with_password, found.with_ssh_password) == (2, over_ssh)


GROUP = "wheel:x:10:admin\nstaff:x:1001:\n"


@pytest.mark.parametrize(
    ("config", "keys", "shut_out"),
    [
        ("AllowUsers admin keys\n", 2, 0),
        ("AllowUsers admin\nAllowUsers keys\n", 2, 0),  # each line adds
        ("AllowUsers nobody-here\n", 0, 2),
        ("AllowUsers a*n k?ys\n", 2, 0),
        ("AllowUsers [ak]*\n", 0, 2),  # a bracket is itself
        ("AllowUsers *@10.0.0.0/8\n", 2, 0),  # somebody may come from there
        ("AllowUsers * !keys\n", 1, 1),
        ("DenyUsers keys\n", 1, 1),
        ("DenyUsers keys@10.0.0.1\n", 2, 0),
        ("DenyUsers *\nAllowUsers admin\n", 0, 2),
        ("AllowGroups wheel\n", 1, 1),
        ("AllowGroups wheel staff\n", 2, 0),
        ("DenyGroups wheel\n", 1, 1),
        ("allowusers=admin\n", 1, 1),
        ("AllowUsers nobody-here\nMatch Address 10.*\n  AllowUsers admin\n", 2, 0),  # not known for whom
        (f"AllowUsers {'*a' * 5000}b\n", 0, 2),
    ],
)
def test_whom_the_lists_of_sshd_let_in(config: str, keys: int, shut_out: int) -> None:
    files = {f"/home/{name}/.ssh/authorized_keys": KEY for name in ("admin", "keys")}
    found = people({**files, "/etc/group": GROUP}, config)
    assert (found.with_keys, found.shut_out) == (keys, shut_out)


def test_the_user_that_cloud_init_makes() -> None:
    cfg = "system_info:\n  default_user:\n    lock_passwd: 1\n    name: debian # us\n  distro: debian\n  name: no\n"
    assert look({CFG: cfg}).user == "debian"
    assert look({CFG: cfg, f"{D}/50.cfg": "system_info:\n default_user:\n  name: 'ops'\n"}).user == "ops"
    assert look({CFG: "users:\n - name: x\n"}).user == ""
    found = tree({**ACCOUNTS, "/etc/ssh/sshd_config": "AllowUsers admin\n"})
    assert users(found, sshd(found), "debian").cloud_shut_out == "debian"
    assert users(found, sshd(found), "admin").cloud_shut_out == ""


def test_other_ways_in() -> None:
    wants = "/etc/systemd/system/multi-user.target.wants"
    files: Tree = {"/usr/bin/amazon-ssm-agent": "", "/etc/sssd/sssd.conf": "", "/usr/lib/systemd/systemd": ""}
    assert people(files).others == ("amazon-ssm-agent",)
    assert people({**files, f"{wants}/sssd.service": Link("/x")}).others == ("amazon-ssm-agent", "sssd")


def test_without_a_server_the_defaults_stand() -> None:
    assert sshd(tree({})) == Sshd()


@pytest.mark.parametrize(
    "text", ["[" * 9999, "datasource_list:\n" * 20_000, "network:" + "\n" * 200_000, "- \n" * 50_000, "\0"]
)
def test_garbage_in_its_configuration_ends(text: str) -> None:
    assert look({CFG: text, IDENTIFY: text, f"{D}/99.cfg": "datasource_list:\n" + text}).installed


@pytest.mark.parametrize(
    ("datasource", "files", "where"),
    [
        ("OVF", {"/var/lib/cloud/seed/ovf/ovf-env.xml": "x"}, "/var/lib/cloud/seed/ovf"),
        ("NoCloud", {"/writable/system-data/var/lib/cloud/seed/nocloud-net/meta-data": "x"}, ""),
        (
            "ConfigDrive",
            {"/var/lib/cloud/seed/config_drive/openstack/latest/meta_data.json": "{}"},
            "/var/lib/cloud/seed/config_drive",
        ),
        (
            "NoCloud",
            {"/etc/cloud/cloud.cfg": "datasource:\n  NoCloud:\n    user-data: |\n      x\n    meta-data: |\n      y\n"},
            "/etc/cloud/cloud.cfg",
        ),
        ("NoCloud", {"/etc/cloud/cloud.cfg": "datasource:\n  NoCloud:\n    seedfrom: http://x/\n"}, ""),
        ("OpenNebula", {"/var/lib/cloud/seed/opennebula/context.sh": "x"}, "/var/lib/cloud/seed/opennebula"),
        ("Azure", {"/var/lib/cloud/seed/ovf/ovf-env.xml": "x"}, ""),
    ],
)
def test_a_datasource_on_the_disk_comes_before_ec2s(datasource: str, files: dict[str, str], where: str) -> None:
    ours = {"/usr/bin/cloud-init": "x", "/etc/cloud/cloud.cfg.d/9.cfg": f"datasource_list: [ {datasource}, Ec2 ]"}
    found = cloud_init(tree({**files, **ours}), "", Devices())
    assert (found.ec2, found.why.removesuffix(" is found first")) == (
        not where,
        where or "/etc/cloud/cloud.cfg.d/9.cfg",
    )
