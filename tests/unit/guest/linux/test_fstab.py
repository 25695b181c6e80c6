"""fstab lines: by which name, is the device there, is it a share."""

from __future__ import annotations

import pytest

from tests.guests import tree
from vmie.guest.linux.devices import Devices, names_of, names_of_volume
from vmie.guest.linux.fstab import read, root_device
from vmie.guest.linux_facts import Mount


def devices() -> Devices:
    found = Devices(disks=1)
    found.add(0, names_of(uuid="6F1E-D7D2", label="Root", partuuid="CAFE-01", partlabel="linux root"))
    found.add(1, names_of_volume("vg-a", "lv_x"))
    found.partitions = {(0, 1): 0, (0, 2): 1}
    return found


def line(text: str, files: dict[str, str] | None = None) -> Mount:
    mounts, could_be_read = read(tree({"/etc/fstab": text, **(files or {})}), devices())
    assert could_be_read is True
    assert len(mounts) == 1
    return mounts[0]


@pytest.mark.parametrize(
    ("device", "by_name", "target"),
    [
        ("UUID=6f1e-d7d2", False, True),
        ('UUID="6F1E-D7D2"', False, True),
        ("UUID=dead-beef", False, False),
        ("LABEL=Root", False, True),
        ("LABEL=root", False, False),
        ("PARTUUID=cafe-01", False, True),
        ("PARTLABEL=linux\\040root", False, True),
        ("/dev/disk/by-uuid/6f1e-d7d2", False, True),
        ("/dev/disk/by-partlabel/linux\\x20root", False, True),
        ("/dev/mapper/vg--a-lv_x", False, True),
        ("/dev/vg-a/lv_x", False, True),
        ("/dev/vg-b/lv_x", False, False),
        ("/dev/sda1", True, True),
        ("/dev/sda9", True, False),
        ("/dev/sdb1", True, False),
        ("/dev/vda2", True, True),
        ("/dev/xvda1", True, True),
        ("/dev/hda1", True, True),
        ("/dev/nvme0n1p2", True, True),
        ("/dev/nvme1n1p2", True, False),
        ("/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:0:0-part1", True, None),
        ("/dev/disk/by-id/scsi-36000c29-part1", True, None),
        ("/dev/disk/by-id/dm-uuid-LVM-abc", False, False),
        ("/dev/disk/by-id/dm-name-vg--a-lv_x", False, True),
        ("/dev/mapper/vg--a-lv_y", False, False),
        ("/dev/mapper/vg-a-lv_x", False, False),
        ("/dev/mapper/mpatha2", True, None),
        ("/dev/mapper/36000c298f2a9ed4b", True, None),
        ("/dev/md0", False, False),
        ("/dev/dm-0", False, False),
        ("tmpfs", False, None),
        ("proc", False, None),
        ("/swapfile", False, False),
    ],
)
def test_devices(device: str, by_name: bool, target: bool | None) -> None:
    found = line(f"{device} /data ext4 defaults 0 2")
    assert (found.by_name, found.target) == (by_name, target)


def test_a_name_that_may_be_inside_an_encrypted_volume_is_not_called_missing() -> None:
    known = devices()
    known.opaque = True
    mounts, _ = read(tree({"/etc/fstab": "UUID=dead-beef / ext4\n"}), known)
    assert mounts[0].target is None


def test_a_label_may_be_that_of_a_file_system_whose_label_is_not_read() -> None:
    known = devices()
    known.unlabelled = True
    assert read(tree({"/etc/fstab": "LABEL=data /d ntfs\n"}), known)[0][0].target is None
    assert read(tree({"/etc/fstab": "UUID=dead /d ntfs\n"}), known)[0][0].target is False


def test_software_raid_is_named_when_it_is_assembled() -> None:
    known = devices()
    known.arrays = True
    assert read(tree({"/etc/fstab": "/dev/md127 /d ext4\n"}), known)[0][0].target is None


@pytest.mark.parametrize(
    ("options", "lenient"),
    [
        ("defaults", False),
        ("nofail", True),
        ("noauto", True),
        ("x-systemd.automount", True),
        ("x-systemd.device-timeout=5s", False),
        ("x-systemd.wanted-by=web.service", True),
        ("rw,nobootwait", True),
    ],
)
def test_whether_boot_goes_on_without_a_mount(options: str, lenient: bool) -> None:
    assert line(f"UUID=dead-beef /data ext4 {options} 0 2").nofail is lenient


@pytest.mark.parametrize(
    ("device", "fstype"),
    [
        ("//server/share", "cifs"),
        ("//server/share", "auto"),
        ("nas.example.com:/export", "nfs"),
        ("10.0.0.1:/export", "auto"),
        ("[fe80::1]:/export", "nfs4"),
        ("shared", "vboxsf"),
        (".host:/", "fuse.vmhgfs-fuse"),
        ("user@host:/x", "fuse.sshfs"),
    ],
)
def test_shares(device: str, fstype: str) -> None:
    found = line(f"{device} /mnt {fstype} _netdev 0 0")
    assert (found.network, found.target) == (True, None)


def test_a_swap_file_in_the_tree_is_there() -> None:
    assert line("/swapfile none swap sw 0 0", {"/swapfile": "x"}).target is True


def test_options_spaces_and_comments() -> None:
    found = line("# comment\n\n  UUID=6f1e-d7d2\t/my\\040data\text4\tnofail,ro\t0 2\nnonsense\n")
    assert (found.mountpoint, found.fstype, found.options, found.nofail) == ("/my data", "ext4", ("nofail", "ro"), True)


def test_no_fstab_and_a_dangling_one() -> None:
    assert read(tree({}), devices()) == ((), None)
    from tests.guests import Link

    assert read(tree({"/etc/fstab": Link("/run/fstab")}), devices()) == ((), False)


def test_ten_thousand_lines_are_cut() -> None:
    found = tree({"/etc/fstab": "UUID=1 /a ext4\n" * 10_000})
    mounts, _ = read(found, devices())
    assert len(mounts) == 500
    assert found.problems


def test_root_of_a_command_line() -> None:
    assert root_device("ro root=LABEL=x quiet root=UUID=1-2") == "UUID=1-2"
    assert root_device("ro rootflags=x") == ""


def test_units_that_mount_are_read_as_lines_of_fstab() -> None:
    unit = "[Unit]\nDescription=x\n[Mount]\nWhat={}\nWhere={}\nType=ext4\n[Install]\nWantedBy=multi-user.target\n"
    base = "/etc/systemd/system"
    files = {
        f"{base}/data.mount": unit.format("/dev/disk/by-uuid/1111-2222", "/data"),
        f"{base}/local-fs.target.requires/data.mount": "",
        f"{base}/srv.mount": unit.format("/dev/disk/by-label/a\\x20b", "/srv"),
        f"{base}/multi-user.target.wants/srv.mount": "",
        f"{base}/snap-core-1.mount": unit.format("/var/lib/snapd/snaps/core_1.snap", "/snap/core/1"),
        f"{base}/multi-user.target.wants/snap-core-1.mount": "",
        "/var/lib/snapd/snaps/core_1.snap": "x",
        f"{base}/off.mount": unit.format("/dev/sdz", "/off"),
        f"{base}/swap.target.wants/dev-sdb1.swap": "",
        f"{base}/dev-sdb1.swap": "[Swap]\nWhat=/dev/sdb1\n",
        "/etc/fstab": "",
    }
    found, could_be_read = read(tree(files), Devices())
    assert could_be_read is True
    assert [(one.device, one.mountpoint, one.nofail, one.path) for one in found] == [
        ("/dev/disk/by-uuid/1111-2222", "/data", False, f"{base}/data.mount"),
        ("/dev/sdb1", "none", True, f"{base}/dev-sdb1.swap"),
        ("/var/lib/snapd/snaps/core_1.snap", "/snap/core/1", True, f"{base}/snap-core-1.mount"),
        ("/dev/disk/by-label/a b", "/srv", True, f"{base}/srv.mount"),
    ]
    assert [one.target for one in found if one.mountpoint.startswith("/snap")] == [True]
