"""Descriptors of every exporter are understood; hostile ones and what cannot be opened are refused."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest

from tests.unit.disk import appliances
from vmie import disk
from vmie.disk import envelope
from vmie.disk.appliance_model import VirtualMachine
from vmie.disk.units import in_bytes
from vmie.errors import ImageError

GIB = 1 << 30


def parse(text: str) -> VirtualMachine:
    return envelope.parse(text.encode(), name="vm.ovf")


def test_a_vsphere_export() -> None:
    machine = parse(appliances.vmware("web01-1.vmdk", "web01-2.vmdk"))
    assert (machine.name, machine.ovf_version, machine.hardware_version) == ("web 01", "1", "vmx-13")
    assert (machine.cpus, machine.memory_mib) == (2, 4096)
    assert (machine.firmware, machine.secure_boot) == ("efi", True)
    assert [disk_.file for disk_ in machine.disks] == ["web01-1.vmdk", "web01-2.vmdk"]
    first, second = machine.disks
    assert first.capacity == 16 * GIB
    assert first.populated_size == 805306368
    assert first.file_size == 1000
    assert first.format == appliances.SPARSE
    assert (first.attached, first.controller, first.controller_type, first.bus, first.unit) == (
        True, "scsi", "VirtualSCSI", 0, 0,
    )  # fmt: skip
    assert (first.boot_order, second.boot_order, second.unit) == (1, None, 1)
    assert [(nic.name, nic.network, nic.type) for nic in machine.nics] == [
        ("Network adapter 1", "VM Network", "VmxNet3")
    ]
    assert [(drive.name, drive.file, drive.controller) for drive in machine.cdroms] == [
        ("CD/DVD drive 1", "tools.iso", "sata")
    ]
    system = machine.os_section
    assert system is not None
    assert (system.id, system.version, system.os_type) == (96, "10", "debian10_64Guest")
    assert system.description == "Debian GNU/Linux 10 (64-bit)"
    assert json.loads(json.dumps(machine.as_json()))["disks"][0]["chunked"] is False


@pytest.mark.parametrize("generation", [1, 2])
def test_a_virtualbox_export(generation: int) -> None:
    machine = parse(appliances.virtualbox("jessie-disk001.vmdk", generation=generation))
    assert machine.ovf_version == f"{generation}.0"
    assert (machine.name, machine.hardware_version) == ("jessie", "virtualbox-2.2")
    assert (machine.cpus, machine.memory_mib, machine.firmware) == (1, 1024, "bios")
    (only,) = machine.disks
    assert (only.capacity, only.controller, only.controller_type) == (20 * GIB, "sata", "AHCI")
    assert machine.nics[0].type == "E1000"
    assert machine.nics[0].name == "Ethernet adapter on 'NAT'"


def test_virtualbox_says_its_firmware_in_its_own_words() -> None:
    efi = appliances.virtualbox("d.vmdk", firmware='<Firmware type="EFI"/><NVRAM><SecureBoot enabled="true"/></NVRAM>')
    assert (parse(efi).firmware, parse(efi).secure_boot) == ("efi", True)
    assert parse(appliances.virtualbox("d.vmdk", firmware="<Firmware/>")).firmware == "bios"


def test_a_xenserver_export() -> None:
    machine = parse(appliances.xenserver("disk.vhd"))
    (only,) = machine.disks
    assert (only.file, only.capacity, only.attached, only.controller) == ("disk.vhd", 8 * GIB, True, "ide")
    assert (machine.memory_mib, machine.cpus, machine.firmware) == (2048, 4, "unknown")


@pytest.mark.parametrize(("bios", "firmware", "secure"), [(1, "bios", False), (3, "efi", False), (4, "efi", True)])
def test_an_ovirt_export(bios: int, firmware: str, secure: bool) -> None:
    machine = parse(appliances.ovirt("a-b-c", bios=bios))
    assert (machine.name, machine.firmware, machine.secure_boot) == ("ovirt vm", firmware, secure)
    (only,) = machine.disks
    assert (only.file, only.capacity, only.controller, only.boot_order) == ("a-b-c", 10 * GIB, "scsi", 1)
    assert only.parent == ""
    assert machine.os_section is not None
    assert machine.os_section.description == "rhel_8x64"
    assert machine.nics[0].mac == "56:6f:00:00:00:01"


def test_utf16_and_older_vmware_namespaces() -> None:
    text = appliances.vmware("d.vmdk").replace(
        "http://schemas.dmtf.org/ovf/envelope/1", "http://www.vmware.com/schema/ovf/1/envelope"
    )
    assert parse(text).ovf_version == "0.9"
    wide = appliances.vmware("d.vmdk").replace('encoding="UTF-8"', 'encoding="UTF-16"').encode("utf-16")
    assert envelope.parse(wide, name="x").disks[0].file == "d.vmdk"


def test_the_default_configuration_is_the_one_told() -> None:
    options = (
        '<DeploymentOptionSection><Info/><Configuration ovf:id="small"/>'
        '<Configuration ovf:id="large" ovf:default="true"/></DeploymentOptionSection>'
    )
    large = appliances.item(4, "2", VirtualQuantity="65536", AllocationUnits="byte * 2^20")
    large = large.replace("<Item>", '<Item ovf:configuration="large">')
    small = large.replace("65536", "1").replace('"large"', '"small"')
    text = appliances.vmware("d.vmdk").replace("<VirtualSystem ", options + "<VirtualSystem ", 1)
    text = text.replace("<vmw:Config ", small + large + "<vmw:Config ", 1)
    assert parse(text).memory_mib == 65536


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        ("byte * 2^30", GIB),
        ("byte*2^20", 1 << 20),
        ("byte * 10^9", 10**9),
        ("byte * 1024 * 1024", 1 << 20),
        ("GigaBytes", GIB),
        ("MB", 1 << 20),
        ("byte", 1),
        ("", 1),
    ],
)
def test_units(unit: str, size: int) -> None:
    assert in_bytes(unit) == size


@pytest.mark.parametrize("unit", ["parsec", "byte * 2^", "byte * x", "byte * 999999^99", "byte * 0", "byte 2^30", "²"])
def test_units_that_are_none(unit: str) -> None:
    with pytest.raises(ValueError, match=r"unit|proportion"):
        in_bytes(unit)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('ovf:id="iso"', 'ovf:id="file1"'),
        ("</Envelope>", ""),
        ("<Envelope ", "<Envelop "),
        ('encoding="UTF-8"', 'encoding="EBCDIC-X"'),
    ],
)
def test_damaged_descriptors(old: str, new: str) -> None:
    text = appliances.vmware("d.vmdk").replace(old, new)
    assert text != appliances.vmware("d.vmdk")
    with pytest.raises(ImageError) as caught:
        parse(text)
    assert caught.value.cure


def test_entities_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for doctype in (
        "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;'>]>",
        f"<!DOCTYPE x [<!ENTITY a SYSTEM 'file://{secret}'>]>",
        "<!DOCTYPE x SYSTEM 'http://127.0.0.1:9/x.dtd'>",
    ):
        text = appliances.vmware("d.vmdk").replace("<Envelope ", doctype + "<Envelope ", 1).replace("web 01", "&b;")
        with pytest.raises(ImageError, match="not a safe"):
            parse(text)


def test_xml_made_to_fill_memory_is_refused_at_once() -> None:
    for filling in ("<a>" * 1_000_000, "<a/>" * 1_000_000, "<a " + 'b="" ' * 600_000 + "/>", "x" * (11 << 20)):
        begun = time.process_time()
        with pytest.raises(ImageError):
            parse(appliances.vmware("d.vmdk").replace("<References>", f"{filling}<References>"))
        assert time.process_time() - begun < 10


def test_the_largest_xml_taken_is_read_in_a_second() -> None:
    begun = time.process_time()
    filling = appliances.item(17, "9", HostResource="ovf:/disk/x") * 5_000
    parse(appliances.vmware(*(f"d{n}.vmdk" for n in range(200))).replace("<vmw:Config ", filling + "<vmw:Config ", 1))
    assert time.process_time() - begun < 10


def bare(folder: Path, text: str, **files: bytes) -> Path:
    (folder / "vm.ovf").write_text(text)
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    return folder / "vm.ovf"


def test_a_bare_ovf_opens_the_files_beside_it(tmp_path: Path) -> None:
    path = bare(tmp_path, appliances.vmware("one.raw", "two disk.raw"), one_raw=b"1" * 1024)
    (tmp_path / "two disk.raw").write_bytes(b"2" * 2048)
    with disk.open(path) as first, disk.open(path, index=1) as second:
        assert first.read(0, 4) == b"1111"
        assert (second.read(0, 4), second.size) == (b"2222", 2048)
        assert first.facts["appliance"]["name"] == "web 01"
        assert first.facts["appliance"]["package"] == "ovf"
    with disk.appliance(path) as machine:
        assert machine.open_disk(1).read(0, 2) == b"22"
        assert not machine.manifest.present


def test_names_written_as_uri_are_found(tmp_path: Path) -> None:
    path = bare(tmp_path, appliances.vmware("my%20disk.raw"))
    (tmp_path / "my disk.raw").write_bytes(b"x" * 512)
    with disk.open(path) as opened:
        assert opened.size == 512


@pytest.mark.parametrize(
    "name",
    [
        "../secret.raw",
        "/etc/hostname",
        "a/../../b.raw",
        "a//b.raw",
        "..%2fsecret.raw",
        "..\\secret.raw",
        "C:\\..\\secret.raw",
        "..",
        ".",
        "%2e%2e%2fsecret.raw",
        "http://host/d.vmdk",
        "file:///etc/hostname",
    ],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.raw").write_bytes(b"secret" * 512)
    (tmp_path / "in").mkdir()
    path = bare(tmp_path / "in", appliances.vmware(name))
    with pytest.raises(ImageError) as caught:
        disk.open(path)
    assert caught.value.cure


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(b"secret" * 512)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "disk.raw").symlink_to(tmp_path / "secret.raw")
    path = bare(tmp_path / "in", appliances.vmware("disk.raw"))
    with pytest.raises(ImageError, match="link out of its folder"):
        disk.open(path)


def test_a_link_to_a_descriptor_finds_the_disks_beside_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "disk.raw").write_bytes(b"content " * 512)
    path = bare(tmp_path / "store", appliances.vmware("disk.raw"))
    (tmp_path / "web.ovf").symlink_to(path)
    with disk.open(tmp_path / "web.ovf") as opened:
        assert opened.read(0, 8) == b"content "


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = bare(tmp_path, appliances.vmware("gone.vmdk"))
    with pytest.raises(ImageError) as caught:
        disk.open(path)
    assert "gone.vmdk" in caught.value.cause
    with pytest.raises(ImageError, match="no disk 7"):
        disk.open(path, index=7)


def test_delta_disks_are_refused_by_name(tmp_path: Path) -> None:
    delta = appliances.vmware("d.raw").replace('ovf:fileRef="file1"', 'ovf:fileRef="file1" ovf:parentRef="base"')
    with pytest.raises(ImageError, match="delta disk"):
        disk.open(bare(tmp_path, delta, d_raw=b"x" * 512))


def test_a_descriptor_without_a_folder_still_tells_its_facts() -> None:
    source = io.BytesIO(appliances.vmware("d.vmdk").encode())
    with pytest.raises(ImageError, match="without a folder"):
        disk.open(source)


def test_an_appliance_is_not_a_disk_of_an_appliance(tmp_path: Path) -> None:
    path = bare(tmp_path, appliances.vmware("vm.ovf"))
    with pytest.raises(ImageError, match="within an appliance"):
        disk.open(path)


def test_chunks_are_joined(tmp_path: Path) -> None:
    text = appliances.vmware("d.raw").replace('ovf:size="1000"', 'ovf:size="2560" ovf:chunkSize="1024"')
    path = bare(tmp_path, text)
    for number, size in enumerate((1024, 1024, 512)):
        (tmp_path / f"d.raw.{number:09d}").write_bytes(bytes([65 + number]) * size)
    with disk.open(path) as opened:
        assert opened.size == 2560
        assert opened.read(1000, 1100) == b"A" * 24 + b"B" * 1024 + b"C" * 52
        assert opened.facts["appliance"]["disks"][0]["chunked"] is True
    (tmp_path / "d.raw.000000000").write_bytes(b"short")
    with pytest.raises(ImageError) as caught:
        disk.open(path)
    assert "chunk 0" in caught.value.cause


def test_what_is_no_appliance_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(bytes(1024))
    with pytest.raises(ImageError, match="neither an OVA nor an OVF"):
        disk.appliance(tmp_path / "x.raw")
