"""What the import changes in a guest, or is kept from changing, and what that leaves behind."""

from __future__ import annotations

from dataclasses import replace

from vmie.checks import sources
from vmie.checks.filesystems import boots, encrypted_volumes
from vmie.checks.rule import MACHINE, VM, Hit, Outcome, Rule, unprepared
from vmie.checks.sources import advised, follows, seen
from vmie.checks.subject import Subject
from vmie.errors import Set
from vmie.guest.encryption import CLEAR, TANG, TPM
from vmie.model import Route, Verdict


def _cloud_init(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or root.cloud_init is None or not root.cloud_init.installed or root.cloud_init.disabled:
        return None
    left = [mount.device for mount in root.fstab if any("cloudconfig" in option for option in mount.options)]
    if left:
        return [Hit(f"fstab keeps a line that cloud-init wrote on another machine: {', '.join(left[:4])}")]
    message = (
        "the import starts the guest once, and cloud-init with it: its traces are in the AMI, "
        "such as a line for /dev/xvdb on /mnt in fstab"
    )
    return [Hit(message, Verdict.PASS)]


def _selinux(subject: Subject) -> Outcome:
    root = subject.linux
    if root is None or not root.selinux:
        return None
    rewritten = sorted({nic.path for nic in root.network.interfaces if "/network-scripts/" in nic.path})
    if root.selinux != "enforcing" or not rewritten:
        return ()
    return [Hit(f"SELinux is enforcing, and the import writes {rewritten[0]} without its label")]


def _unopened(subject: Subject) -> Outcome:
    if not subject.guest.disks:
        return None
    encrypted = encrypted_volumes(subject)
    if not encrypted or not (subject.guest.roots or boots(subject)):
        return ()
    hits = [_closed(where, how) for where, how in encrypted.items() if CLEAR not in how]
    # beside a system that can be read it holds data
    return [replace(hit, without={}) for hit in hits] if subject.guest.roots else hits


def _closed(where: str, how: str) -> Hit:
    if TPM in how:
        return Hit(f"{where} is encrypted ({how}): the old machine's TPM is not in EC2, nothing else opens it")
    if TANG in how:
        return Hit(f"{where} is encrypted ({how}): it stays closed where that server cannot be reached")
    return Hit(f"{where} is encrypted ({how}): its key is asked for at the console at every start")


def _policy(subject: Subject) -> Outcome:
    windows = subject.windows
    if windows is None:
        return None
    found = windows.driver_restrictions
    return [Hit(f"a policy forbids the installation of drivers: {', '.join(found)[:200]}")] if found else ()


RULES: tuple[Rule, ...] = (
    Rule(
        id="VMIE-LNX-010",
        title="cloud-init leaves no traces of another machine",
        judge=_cloud_init,
        routes=VM,
        verdict=Verdict.WARN,
        cure=(
            "in the first instance: look at /etc/fstab, then `cloud-init clean` before an AMI is made of it",
            "or keep cloud-init from mounts: `mounts: []` in /etc/cloud/cloud.cfg.d",
        ),
        evidence=(
            seen(
                "https://github.com/ManageIQ/manageiq-appliance-build/pull/191",
                "the import's own boot ran cloud-init, which put /dev/xvdb on /mnt into the AMI's fstab",
                allows=Verdict.WARN,
            ),
        ),
    ),
    Rule(
        id="VMIE-LNX-011",
        title="What the import writes keeps its SELinux label",
        judge=_selinux,
        routes=(Route.IMAGE,),
        verdict=Verdict.WARN,
        cure=(
            "in the first instance: `restorecon -R /etc`",
            "or `touch /.autorelabel` in the guest before the export: the first boot then labels all files anew",
        ),
        evidence=(
            seen(
                "https://github.com/AlmaLinux/cloud-images/issues/23",
                "ifcfg-eth0 of imported AMIs is unlabeled_t, and NetworkManager may not write it",
                allows=Verdict.WARN,
            ),
            seen(
                "https://github.com/RedHatEMEA/demobuilder/issues/156",
                "the import moved ifcfg-eth0, and its label was wrong",
                allows=Verdict.WARN,
            ),
        ),
    ),
    Rule(
        id="VMIE-FS-010",
        title="No encrypted volume waits for a key",
        judge=_unopened,
        routes=(Route.SNAPSHOT,),
        verdict=Verdict.WARN,
        cure=(
            "decrypt the volume in the guest before the export (BitLocker: `manage-bde -off C:`)",
            Set("encrypted", note="EBS encrypts instead"),
        ),
        without=unprepared("boot"),
        evidence=(
            follows(
                f"{sources.SYSTEMD}/systemd-cryptenroll.html",
                "a key that is enrolled with a TPM opens by that TPM alone",
                allows=Verdict.WARN,
            ),
            follows(
                "https://learn.microsoft.com/windows/security/operating-system-security/data-protection/bitlocker/",
                "another TPM, or none, makes BitLocker ask for the recovery password at the console",
                allows=Verdict.WARN,
            ),
            follows(
                f"{sources.EC2_GUIDE}/nitrotpm.html",
                "an instance has a TPM only where its AMI says so, and it is a new one",
                allows=Verdict.WARN,
            ),
        ),
    ),
    Rule(
        id="VMIE-WIN-025",
        title="No policy forbids the installation of drivers",
        judge=_policy,
        routes=MACHINE,
        verdict=Verdict.WARN,
        cure="lift it for the import: Group Policy, System > Device Installation > Device Installation Restrictions",
        without=unprepared("network"),
        evidence=(
            advised(sources.TROUBLE, "FirstBootFailure: hardening can prevent that EC2's drivers are installed"),
            follows(
                "https://learn.microsoft.com/windows/client-management/mdm/policy-csp-deviceinstallation",
                "Windows does not install devices that the policy denies, even where the driver is there",
                allows=Verdict.WARN,
            ),
        ),
    ),
)
