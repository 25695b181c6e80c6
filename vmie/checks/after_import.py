"""What the import changes in a guest, or is kept from changing, and what that leaves behind."""

from __future__ import annotations

from vmie.checks import sources
from vmie.checks.rule import MACHINE, VM, Hit, Outcome, Rule, unprepared
from vmie.checks.sources import advised, follows, seen
from vmie.checks.subject import Subject
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
