"""cloud-init asks EC2, and the services of another hypervisor do not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guests import Link
from tests.unit.repair.linux_files import guest, mended
from vmie.repair.cloud_init import CLOUD_INIT
from vmie.repair.hypervisor_services import HYPERVISOR_SERVICES

_EC2 = "datasource_list: [ Ec2, None ]\n"


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("a: b\ndatasource_list: [ NoCloud, None ]\nc: d\n", f"a: b\n{_EC2}c: d\n"),
        ("datasource_list:\n  - NoCloud\n  - None\nc: d\n", f"{_EC2}c: d\n"),
        ("datasource_list: [ NoCloud,\n  None ]\nc: d\n", f"{_EC2}c: d\n"),
    ],
)
def test_the_last_list_of_datasources_becomes_ec2s(tmp_path: Path, text: str, after: str) -> None:
    path = guest(tmp_path, {"/etc/cloud/cloud.cfg": _EC2, "/etc/cloud/cloud.cfg.d/90.cfg": text})
    _, texts = mended(path, [CLOUD_INIT])
    assert texts == {"/etc/cloud/cloud.cfg.d/90.cfg": after}


def test_a_seed_and_the_kernels_option_are_passed_over(tmp_path: Path) -> None:
    path = guest(
        tmp_path,
        {
            "/etc/cloud/cloud.cfg": "users: [default]",
            "/etc/cloud/ds-identify.cfg": "policy: search\ndatasource: NoCloud\n",
            "/boot/grub/grub.cfg": "menuentry 'a' {\n  linux /boot/vmlinuz-6.1.0-25-amd64 root=/dev/sda1"
            " ds=nocloud;s=/x\n}\n",
        },
    )
    _, texts = mended(path, [CLOUD_INIT])
    assert texts["/etc/cloud/cloud.cfg"] == f"users: [default]\n{_EC2}"
    assert texts["/etc/cloud/ds-identify.cfg"] == "policy: search\ndatasource: Ec2\n"
    assert "root=/dev/sda1\n" in texts["/boot/grub/grub.cfg"]


def test_what_is_disabled_stays_so_with_the_command_for_it(tmp_path: Path) -> None:
    path = guest(tmp_path, {"/etc/cloud/cloud.cfg": "a: b\n", "/etc/cloud/cloud-init.disabled": "x"})
    done, _ = mended(path, [CLOUD_INIT])
    assert not done.changes
    assert done.left[0].by_hand == "rm -f /etc/cloud/cloud-init.disabled"


def test_services_of_another_hypervisor_are_masked_by_the_kernels_options(tmp_path: Path) -> None:
    wants = "/etc/systemd/system/multi-user.target.wants"
    path = guest(
        tmp_path,
        {
            "/lib/systemd/systemd": "x",
            f"{wants}/open-vm-tools.service": Link("/lib/systemd/system/open-vm-tools.service"),
        },
    )
    done, texts = mended(path, [HYPERVISOR_SERVICES])
    assert " systemd.mask=open-vm-tools.service\n" in texts["/boot/grub/grub.cfg"]
    assert [(one.rule, one.by_hand) for one in done.left] == [
        ("VMIE-LNX-009", "apt-get purge open-vm-tools || dnf remove open-vm-tools")
    ]
