"""Distribution, point release and architecture, from the files of real releases."""

from __future__ import annotations

import pytest

from tests.guests import Link, elf, tree
from vmie.guest.linux.release import Release, architecture, release

RHEL79 = "Red Hat Enterprise Linux Server release 7.9 (Maipo)\n"


@pytest.mark.parametrize(
    ("files", "id_", "version"),
    [
        ({"/etc/os-release": 'ID=debian\nVERSION_ID="12"\n', "/etc/debian_version": "12.4\n"}, "debian", "12.4"),
        ({"/etc/os-release": "ID=debian\n", "/etc/debian_version": "trixie/sid\n"}, "debian", ""),
        ({"/etc/os-release": 'ID="rhel"\nVERSION_ID="7.9"\n', "/etc/redhat-release": RHEL79}, "rhel", "7.9"),
        (
            {
                "/etc/os-release": 'ID="centos"\nVERSION_ID="7"\n',
                "/etc/centos-release": "CentOS Linux release 7.9.2009 (Core)\n",
            },
            "centos",
            "7.9",
        ),
        (
            {"/etc/os-release": 'ID="centos"\nVERSION_ID="9"\n', "/etc/centos-release": "CentOS Stream release 9\n"},
            "centos",
            "9",
        ),
        (
            {
                "/etc/os-release": 'ID="ol"\nVERSION_ID="8.9"\n',
                "/etc/oracle-release": "Oracle Linux Server release 8.9\n",
                "/etc/redhat-release": "Red Hat Enterprise Linux release 8.9 (Ootpa)\n",
            },
            "ol",
            "8.9",
        ),
        ({"/etc/os-release": 'ID="rocky"\nVERSION_ID="9.4"\n'}, "rocky", "9.4"),
        ({"/etc/os-release": 'ID="almalinux"\nVERSION_ID="9.4"\n'}, "almalinux", "9.4"),
        ({"/etc/os-release": 'ID="amzn"\nVERSION_ID="2023"\n'}, "amzn", "2023"),
        ({"/etc/os-release": 'ID="sles"\nVERSION_ID="15.5"\n'}, "sles", "15.5"),
        ({"/etc/os-release": "ID=fedora\nVERSION_ID=40\n"}, "fedora", "40"),
        (
            {"/etc/os-release": 'ID=ubuntu\nVERSION_ID="22.04"\n', "/etc/debian_version": "bookworm/sid\n"},
            "ubuntu",
            "22.04",
        ),
        ({"/usr/lib/os-release": "ID=arch\n", "/etc/os-release": Link("../usr/lib/os-release")}, "arch", ""),
        # from before os-release
        ({"/etc/redhat-release": "Red Hat Enterprise Linux Server release 6.6 (Santiago)\n"}, "rhel", "6.6"),
        ({"/etc/redhat-release": "CentOS release 5.11 (Final)\n"}, "centos", "5.11"),
        ({"/etc/redhat-release": "CloudLinux Server release 6.8 (Oleg Makarov)\n"}, "cloudlinux", "6.8"),
        ({"/etc/redhat-release": "XenServer release 6.5.0-90233c (xenenterprise)\n"}, "xenserver", "6.5.0"),
        ({"/etc/redhat-release": "\x1b[31m release 6\n"}, "unknown", ""),
        (
            {
                "/etc/oracle-release": "Oracle Linux Server release 6.10\n",
                "/etc/redhat-release": "Red Hat Enterprise Linux Server release 6.10 (Santiago)\n",
            },
            "ol",
            "6.10",
        ),
        (
            {
                "/etc/enterprise-release": "Enterprise Linux Enterprise Linux Server release 5.5 (Carthage)\n",
                "/etc/redhat-release": "Red Hat Enterprise Linux Server release 5.5 (Tikanga)\n",
            },
            "ol",
            "5.5",
        ),
        ({"/etc/fedora-release": "Fedora release 20 (Heisenbug)\n"}, "fedora", "20"),
        ({"/etc/system-release": "Amazon Linux AMI release 2018.03\n"}, "amzn", "2018.03"),
        (
            {"/etc/SuSE-release": "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n"},
            "sles",
            "11.4",
        ),
        (
            {"/etc/SuSE-release": "SUSE Linux Enterprise Server 12 (x86_64)\nVERSION = 12\nPATCHLEVEL = 0\n"},
            "sles",
            "12",
        ),
        ({"/etc/SuSE-release": "openSUSE 13.1 (x86_64)\nVERSION = 13.1\nCODENAME = Bottle\n"}, "opensuse", "13.1"),
        ({"/etc/debian_version": "6.0.8\n"}, "debian", "6.0.8"),
        (
            {"/etc/lsb-release": 'DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.04\nDISTRIB_DESCRIPTION="Ubuntu"\n'},
            "ubuntu",
            "10.04",
        ),
        ({"/etc/alpine-release": "3.19.1\n"}, "alpine", "3.19.1"),
        ({"/etc/passwd": ""}, "unknown", ""),
        ({"/etc/os-release": "\0\xff garbage \n=\n"}, "unknown", ""),
    ],
)
def test_release(files: dict[str, str], id_: str, version: str) -> None:
    found = release(tree(files))
    assert (found.id, found.version) == (id_, version)


def test_quotes_and_escapes_in_os_release() -> None:
    text = 'NAME=\'Red Hat\'\nID="rhel" # the id\nVERSION_ID=9.3   # point\nPRETTY_NAME="A \\"quoted\\" name"\n'
    assert release(tree({"/etc/os-release": text})) == Release("rhel", "9.3", 'A "quoted" name')


def test_an_os_release_of_gigabytes_is_read_in_part() -> None:
    found = tree({"/etc/os-release": "ID=debian\n" + "x" * (1 << 20)})
    assert release(found).id == "debian"
    assert "in part" in found.problems[0].what


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (elf(0x3E), "x86_64"),
        (elf(0x03, wide=False), "i386"),
        (elf(0xB7), "arm64"),
        (elf(0x15), "ppc64le"),
        (elf(0x15, little=False), "ppc64"),
        (elf(0x16, little=False), "s390x"),
        (elf(0xF3), "riscv64"),
        (elf(0x3E, wide=False), "x32"),
        (elf(0x7777), "unknown"),
        (b"#!/bin/bash\n" * 4, "unknown"),
        (b"\x7fELF", "unknown"),
    ],
)
def test_architecture_from_an_elf_header(head: bytes, expected: str) -> None:
    assert architecture(tree({"/usr/bin/dash": head, "/usr/bin/sh": Link("dash"), "/bin": Link("usr/bin")})) == expected


def test_architecture_without_programs_is_unknown() -> None:
    assert architecture(tree({"/bin/sh": Link("/bin/sh")})) == "unknown"
