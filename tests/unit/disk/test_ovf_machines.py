"""Which disks are a machine's: those that its own hardware holds, boot disk first, sized as DSP0243 means."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests.unit.disk.appliances import SPACES, item, pack
from vmie import disk
from vmie.disk import envelope
from vmie.disk.appliance_model import VirtualMachine
from vmie.disk.base import ObjectSource
from vmie.errors import ImageError
from vmie.model import Extent, ExtentKind
from vmie.ops.file_identity import FileIdentity

GIB = 1 << 30


def hard_disk(key: str, instance: str, *, parent: str = "3", at: str = "0", **more: str) -> str:
    return item(17, instance, HostResource=f"ovf:/disk/{key}", Parent=parent, AddressOnParent=at, **more)


SCSI = item(6, "3", Address="0", ResourceSubType="lsilogic")


def system(key: str, *items: str, name: str = "", more: str = "") -> str:
    named = f"<Name>{name}</Name>" if name else ""
    return (
        f'<VirtualSystem ovf:id="{key}"><Info/>{named}{more}<VirtualHardwareSection><Info/>'
        f"{''.join(items)}</VirtualHardwareSection></VirtualSystem>"
    )


def envelope_of(*systems: str, disks: str = "", files: str = "") -> str:
    """Disks a, b, c of 1, 2 and 3 MiB with a file each, unless said otherwise."""
    listed = disks or "".join(
        f'<Disk ovf:diskId="{key}" ovf:fileRef="f{key}" ovf:capacity="{size}" '
        f'ovf:capacityAllocationUnits="byte * 2^20"/>'
        for size, key in enumerate("abc", 1)
    )
    references = files or "".join(f'<File ovf:id="f{key}" ovf:href="{key}.raw"/>' for key in "abc")
    return (
        f"<Envelope {SPACES}><References>{references}</References><DiskSection><Info/>{listed}</DiskSection>"
        f"{''.join(systems)}</Envelope>"
    )


def parse(text: str, **options: object) -> VirtualMachine:
    return envelope.parse(text.encode(), name="vm.ovf", **options)  # type: ignore[arg-type]


def names(machine: VirtualMachine) -> list[str]:
    return [one.id for one in machine.disks]


def folder(tmp_path: Path, text: str, **files: bytes) -> Path:
    for name, data in (files or {key: key.encode() * 512 for key in "abc"}).items():
        (tmp_path / f"{name}.raw").write_bytes(data)
    (tmp_path / "vm.ovf").write_text(text)
    return tmp_path / "vm.ovf"


# --- several machines -------------------------------------------------------------------------------------------

WEB = system("web", SCSI, hard_disk("a", "10"), name="Web server")
DB = system("db", SCSI, hard_disk("b", "10"), hard_disk("c", "11", at="1"), name="Database")
NESTED = (
    f'<VirtualSystemCollection ovf:id="app"><Info/>{WEB}'
    f'<VirtualSystemCollection ovf:id="tier2"><Info/>{DB}</VirtualSystemCollection></VirtualSystemCollection>'
)


def test_several_machines_are_refused_by_name_with_the_option_that_chooses() -> None:
    with pytest.raises(ImageError, match=r"holds 2 machines: web \(Web server\), db \(Database\)") as caught:
        parse(envelope_of(NESTED))
    assert caught.value.code == "SeveralMachines"
    assert caught.value.fields == ("machine",)
    assert "machine='web'" in caught.value.cure


@pytest.mark.parametrize(("machine", "disks"), [("web", "a"), ("Web server", "a"), ("db", "bc"), ("Database", "bc")])
def test_a_chosen_machine_has_its_own_disks_only(tmp_path: Path, machine: str, disks: str) -> None:
    path = folder(tmp_path, envelope_of(NESTED))
    with disk.appliance(path, machine=machine) as chosen:
        assert names(chosen) == list(disks)
        assert chosen.machines == ("web", "db")
        assert chosen.left_out == ()
    for index, key in enumerate(disks):
        with disk.open(path, machine=machine, index=index) as opened:
            assert opened.read(0, 3) == key.encode() * 3
    with pytest.raises(ImageError, match=f"no disk {len(disks)}"):
        disk.open(path, machine=machine, index=len(disks))


def test_an_unknown_machine_and_one_whose_name_two_bear(tmp_path: Path) -> None:
    text = envelope_of(NESTED)
    with pytest.raises(ImageError, match="no machine 'mail'") as caught:
        parse(text, machine="mail")
    assert "web" in caught.value.cause
    with pytest.raises(ImageError, match="2 machines of the name 'Web server'") as caught:
        parse(text.replace("Database", "Web server"), machine="Web server")
    assert caught.value.cause == "web (Web server), db (Web server)"
    assert names(parse(text.replace("Database", "web"), machine="web")) == ["a"]  # an id comes before a name
    (tmp_path / "x.raw").write_bytes(bytes(512))
    with pytest.raises(ImageError, match="no machine 'web'"):
        disk.open(tmp_path / "x.raw", machine="web")
    with pytest.raises(ImageError, match="no machine 'x'"):
        parse(envelope_of(WEB), machine="x")
    assert parse(envelope_of(WEB), machine="web").name == "Web server"


def test_machines_of_an_archive_and_of_vmware_s_first_generation(tmp_path: Path) -> None:
    text = envelope_of(NESTED)
    for old in ("VirtualSystem", "VirtualSystemCollection"):
        text = text.replace(f"<{old} ", f'<Content xsi:type="ovf:{old}_Type" ').replace(f"</{old}>", "</Content>")
    members = [(f"{key}.raw", key.encode() * 512) for key in "abc"]
    path = pack(tmp_path / "app.ova", ("app.ovf", text.encode()), *members)
    with pytest.raises(ImageError, match="holds 2 machines"):
        disk.open(path)
    with disk.open(path, machine="db", index=1) as opened:
        assert opened.read(0, 1) == b"c"


def test_the_identity_of_an_appliance_of_several_machines_covers_its_disks(tmp_path: Path) -> None:
    path = folder(tmp_path, envelope_of(NESTED))
    before = FileIdentity.of(path)
    (tmp_path / "c.raw").write_bytes(b"changed" * 100)
    assert FileIdentity.of(path) != before


# --- empty disks, and disks that nothing holds ---------------------------------------------------------------------

_EMPTY = (
    '<Disk ovf:diskId="a" ovf:fileRef="fa" ovf:capacity="1"/>'
    '<Disk ovf:diskId="new" ovf:capacity="5" ovf:capacityAllocationUnits="byte * 2^30"/>'
    '<Disk ovf:diskId="c" ovf:fileRef="fc" ovf:capacity="3"/>'
)
_THREE = system("vm", SCSI, hard_disk("a", "10"), hard_disk("new", "11", at="1"), hard_disk("c", "12", at="2"))


def test_an_empty_disk_is_left_out_and_named() -> None:
    machine = parse(envelope_of(_THREE, disks=_EMPTY))
    assert names(machine) == ["a", "c"]
    assert [(one.id, one.capacity, one.reason) for one in machine.left_out] == [("new", 5 * GIB, "empty")]


def test_an_empty_disk_is_made_when_asked_for(tmp_path: Path) -> None:
    path = folder(tmp_path, envelope_of(_THREE, disks=_EMPTY))
    with disk.open(path, empty_disks=True, index=1) as made, disk.open(path, empty_disks=True, index=2) as last:
        assert (made.size, made.allocated_size, made.variant) == (5 * GIB, 0, "empty")
        assert list(made.extents()) == [Extent(0, 5 * GIB, ExtentKind.HOLE)]
        assert made.read(5 * GIB - 3, 10) == bytes(3)
        assert last.read(0, 1) == b"c"


def test_an_appliance_of_empty_disks_only_and_one_of_unknown_size() -> None:
    text = envelope_of(system("vm", SCSI, hard_disk("new", "10")), disks='<Disk ovf:diskId="new" ovf:capacity="${s}"/>')
    source = pack_in_memory(text)
    with pytest.raises(ImageError, match="appliance of empty disks") as caught:
        disk.appliance(source).open_disk()
    assert "empty_disks" in caught.value.cure
    with pytest.raises(ImageError, match="unknown size") as caught:
        disk.appliance(source, empty_disks=True).open_disk()
    assert "property 's', which has no value" in caught.value.cause


def test_disks_that_no_hardware_holds_are_not_counted() -> None:
    """The vCenter appliance lists 32 disks, and a deployment option attaches 9."""
    listed = "".join(f'<Disk ovf:diskId="d{n}" ovf:fileRef="fa" ovf:capacity="1"/>' for n in range(32))
    held = [hard_disk(f"d{n}", str(100 + n), at=str(n)) for n in range(9)]
    machine = parse(envelope_of(system("vc", SCSI, *held), disks=listed))
    assert names(machine) == [f"d{n}" for n in range(9)]
    assert {one.reason for one in machine.left_out} == {"unattached"}
    assert len(machine.left_out) == 23


def test_a_descriptor_without_hardware_means_all_its_disks_in_their_order() -> None:
    assert names(parse(envelope_of(system("vm")))) == ["a", "b", "c"]
    assert names(parse(envelope_of())) == ["a", "b", "c"]


def test_an_item_may_name_a_file_without_a_disk_section(tmp_path: Path) -> None:
    held = item(17, "10", HostResource="ovf:/file/fb", Parent="3", AddressOnParent="0")
    text = envelope_of(system("vm", SCSI, held), disks=" ")
    with disk.open(folder(tmp_path, text)) as opened:
        assert opened.read(0, 2) == b"bb"


def test_a_cdrom_with_the_id_of_a_disk_takes_nothing_from_it() -> None:
    text = envelope_of(
        system("vm", SCSI, item(15, "9", HostResource="ovf:/file/a"), hard_disk("a", "10")),
        files='<File ovf:id="a" ovf:href="x.iso"/><File ovf:id="fa" ovf:href="a.raw"/>',
        disks='<Disk ovf:diskId="a" ovf:fileRef="fa" ovf:capacity="1"/>',
    )
    machine = parse(text)
    assert [(one.file, one.attached) for one in machine.disks] == [("a.raw", True)]
    assert machine.cdroms[0].file == "x.iso"


# --- the boot disk ------------------------------------------------------------------------------------------------

_SECOND = item(6, "4", Address="1", ResourceSubType="lsilogic")
_IDE = item(5, "5", Address="0")
_NVME = item(20, "6", Address="0", ResourceSubType="vmware.nvme.controller")


@pytest.mark.parametrize(
    ("items", "order"),
    [
        ((SCSI, hard_disk("a", "10", at="1"), hard_disk("b", "11", at="0")), "ba"),
        ((SCSI, hard_disk("a", "10", at="10"), hard_disk("b", "11", at="9")), "ba"),
        ((SCSI, _SECOND, hard_disk("a", "10", parent="4"), hard_disk("b", "11", at="3")), "ba"),
        ((_SECOND, SCSI, hard_disk("b", "11", at="15"), hard_disk("a", "10", parent="4")), "ba"),
        ((SCSI, _IDE, hard_disk("a", "10"), hard_disk("b", "11", parent="5", at="1")), "ba"),
        ((_NVME, SCSI, hard_disk("a", "10", parent="6"), hard_disk("b", "11")), "ba"),
        ((SCSI, hard_disk("a", "10", at="x"), hard_disk("b", "11", at="0")), "ba"),
        ((hard_disk("b", "10", parent="", at=""), hard_disk("a", "11", parent="", at="")), "ba"),
        ((SCSI, hard_disk("a", "10"), hard_disk("b", "11", at="1", BootOrder="1")), "ba"),
        ((SCSI, hard_disk("a", "10"), hard_disk("b", "11", at="1", BootOrder="0")), "ab"),
    ],
)
def test_the_boot_disk_is_the_first_on_the_hardware(items: tuple[str, ...], order: str) -> None:
    machine = parse(envelope_of(system("vm", *items)))
    assert "".join(names(machine)) == order
    assert machine.reordered is (order == "ba")


@pytest.mark.parametrize(
    "said",
    [
        '<vmw:BootOrderSection vmw:instanceId="11" vmw:type="disk"><Info/></vmw:BootOrderSection>',
        '<vmw:ExtraConfig vmw:key="bios.hddOrder" vmw:value="scsi0:1"/>',
        '<vmw:ExtraConfig vmw:key="bios.hddOrder" vmw:value="scsi0:1,scsi0:0"/>',
    ],
)
def test_the_machine_may_say_another_boot_order(said: str) -> None:
    held = (SCSI, hard_disk("a", "10"), hard_disk("b", "11", at="1"), hard_disk("c", "12", at="2"))
    machine = parse(envelope_of(system("vm", *held, said)))
    assert names(machine) == ["b", "a", "c"]


def test_ovirt_marks_the_boot_disk_at_the_disk() -> None:
    disks = (
        '<Disk ovf:diskId="a" ovf:fileRef="fa" ovf:size="1"/><Disk ovf:diskId="b" ovf:fileRef="fb" ovf:boot="true"/>'
    )
    assert names(parse(envelope_of(disks=disks))) == ["b", "a"]


# --- values that DSP0243 lets be otherwise ------------------------------------------------------------------------


def with_property(section: str, reference: str) -> VirtualMachine:
    disks = (
        f'<Disk ovf:diskId="a" ovf:fileRef="fa" ovf:capacity="{reference}" ovf:capacityAllocationUnits="byte*2^30"/>'
    )
    options = (
        '<DeploymentOptionSection><Info/><Configuration ovf:id="s"/><Configuration ovf:id="l" ovf:default="true"/>'
        "</DeploymentOptionSection>"
    )
    return parse(envelope_of(options, system("vm", SCSI, hard_disk("a", "1"), more=section), disks=disks))


_BY_SIZE = '<Value ovf:value="3" ovf:configuration="s"/><Value ovf:value="9" ovf:configuration="l"/>'


@pytest.mark.parametrize(
    ("section", "reference", "gib"),
    [
        ('<ProductSection><Property ovf:key="size" ovf:value="7"/></ProductSection>', "${size}", 7),
        (
            '<ProductSection ovf:class="c" ovf:instance="1"><Property ovf:key="size" ovf:value="7"/></ProductSection>',
            "${c.size.1}",
            7,
        ),
        (
            f'<ProductSection><Property ovf:key="size" ovf:value="7">{_BY_SIZE}</Property></ProductSection>',
            "${size}",
            9,
        ),
        (
            2 * '<ProductSection><Property ovf:key="size" ovf:value="7"/></ProductSection>',
            " ${ size } ",
            7,
        ),
        ('<ProductSection><Property key="size" value="7"/></ProductSection>', "${size}", 7),
    ],
)
def test_a_capacity_may_be_a_property(section: str, reference: str, gib: int) -> None:
    (only,) = with_property(section, reference).disks
    assert (only.capacity, only.problem) == (gib * GIB, "")


@pytest.mark.parametrize(
    ("capacity", "why"),
    [
        ("-2", "-2"),
        ("${gone}", "'gone'"),
        ("", "no capacity"),
        ("9223372036854775807", "9223372036854775807"),
        ("9" * 5000, "no number"),
        ("0", "0 bytes"),
        ("71000000000000", "64 TiB"),
        ("1.5", "1.5"),
    ],
)
def test_a_capacity_that_no_disk_has_is_noted_and_the_file_says_it(tmp_path: Path, capacity: str, why: str) -> None:
    disks = f'<Disk ovf:diskId="a" ovf:fileRef="fa" ovf:capacity="{capacity}" ovf:populatedSize="-2"/>'
    files = '<File ovf:id="fa" ovf:href="a.raw" ovf:size="-2"/>'
    text = envelope_of(system("vm", SCSI, hard_disk("a", "1")), disks=disks, files=files)
    (only,) = parse(text).disks
    assert (only.capacity, only.file_size, only.populated_size) == (0, None, None)
    assert why in only.problem
    with disk.open(folder(tmp_path, text)) as opened:
        assert opened.size == 512


def test_ranges_are_no_hardware() -> None:
    def bound(kind: str, quantity: str, instance: str = "2") -> str:
        return item(4, instance, VirtualQuantity=quantity).replace("<Item>", f'<Item ovf:bound="{kind}">')

    memory = (bound("min", "128"), item(4, "2", VirtualQuantity="512"), bound("normal", "256"), bound("max", "4096"))
    assert parse(envelope_of(system("vm", *memory))).memory_mib == 512
    only = (bound("min", "128"), bound("normal", "256"), bound("max", "4096"))
    assert parse(envelope_of(system("vm", *only))).memory_mib == 256
    nic = item(10, "7").replace("<Item>", '<Item ovf:bound="max">')
    assert parse(envelope_of(system("vm", nic))).nics == ()


def test_prefixes_that_nobody_declared_and_attributes_without_one() -> None:
    text = envelope_of(system("vm", SCSI, hard_disk("a", "1")))
    bare = text.replace('xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/', 'nothing="')
    assert bare != text
    assert parse(bare).disks[0].controller == "scsi"
    assert names(parse(text.replace("ovf:", "").replace("xmlns:", "x"))) == ["a"]


def test_a_file_without_an_id_and_references_to_none() -> None:
    files = '<File ovf:href="x"/><File ovf:href="y"/><File ovf:id="fa" ovf:href="a.raw"/>'
    assert names(parse(envelope_of(system("vm", SCSI, hard_disk("a", "1")), files=files))) == ["a"]
    lost = parse(envelope_of(system("vm", SCSI, hard_disk("a", "1")), disks='<Disk ovf:diskId="a" ovf:fileRef="z"/>'))
    assert lost.disks[0].file == "z"
    with pytest.raises(ImageError, match="damaged") as caught:
        disk.appliance(
            pack_in_memory(envelope_of(system("vm"), disks='<Disk ovf:diskId="a" ovf:fileRef="z"/>'))
        ).open_disk()
    assert "'z', which is not there" in caught.value.cause


# --- where the files lie ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("href", ["disks/one.raw", "disks%2Fone.raw", "./disks/./one.raw", "disks\\one.raw"])
def test_files_in_a_folder_of_the_appliance_s_own(tmp_path: Path, href: str) -> None:
    text = envelope_of(disks='<Disk ovf:diskId="a" ovf:fileRef="f"/>', files=f'<File ovf:id="f" ovf:href="{href}"/>')
    (tmp_path / "disks").mkdir()
    (tmp_path / "disks" / "one.raw").write_bytes(b"one" * 512)
    path = folder(tmp_path, text)
    with disk.open(path) as opened:
        assert opened.read(0, 3) == b"one"
    assert [one.name for one in disk.files_of_descriptor(path)] == ["one.raw"]
    packed = pack(tmp_path / "x.ova", ("vm/x.ovf", text.encode()), ("vm/disks/one.raw", b"one" * 512))
    with disk.open(packed) as opened:
        assert opened.read(0, 3) == b"one"


def test_neither_a_linked_folder_nor_a_link_in_a_folder_leads_out(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "one.raw").write_bytes(b"secret" * 512)
    inside = tmp_path / "in"
    (inside / "real").mkdir(parents=True)
    (inside / "linked").symlink_to(tmp_path / "secret")
    (inside / "real" / "one.raw").symlink_to(tmp_path / "secret" / "one.raw")
    for href in ("linked/one.raw", "real/one.raw"):
        files = f'<File ovf:id="f" ovf:href="{href}"/>'
        path = folder(inside, envelope_of(disks='<Disk ovf:diskId="a" ovf:fileRef="f"/>', files=files))
        with pytest.raises(ImageError, match="link out of its folder"):
            disk.open(path)


@pytest.mark.parametrize("said", ['ovf:chunkSize="1024"', "", 'ovf:chunkSize="many"'])
def test_pieces_are_joined_whether_or_not_the_descriptor_knows(tmp_path: Path, said: str) -> None:
    files = f'<File ovf:id="f" ovf:href="one.raw" {said}/>'
    path = folder(tmp_path, envelope_of(disks='<Disk ovf:diskId="a" ovf:fileRef="f"/>', files=files))
    for number, size in enumerate((1024, 1024, 512)):
        (tmp_path / f"one.raw.{number:09d}").write_bytes(bytes([65 + number]) * size)
    with disk.open(path) as opened:
        assert opened.read(1000, 2000) == b"A" * 24 + b"B" * 1024 + b"C" * 512
    assert len(disk.files_of_descriptor(path)) == 3
    (tmp_path / "one.raw.000000000").write_bytes(b"A" * 100)
    if said == 'ovf:chunkSize="1024"':
        with pytest.raises(ImageError) as caught:
            disk.open(path)
        assert "chunk 0" in caught.value.cause


def numbered(tmp_path: Path, said: str, *sizes: int, skipped: int = -1) -> Path:
    files = f'<File ovf:id="f" ovf:href="disk1.raw" {said}/>'
    path = folder(tmp_path, envelope_of(disks='<Disk ovf:diskId="a" ovf:fileRef="f"/>', files=files))
    for number, size in enumerate(sizes):
        if number != skipped:
            (tmp_path / f"disk1.raw.{number:09d}").write_bytes(bytes([65 + number]) * size)
    return path


def test_versions_of_a_disk_are_told_from_chunks_and_the_last_is_taken(tmp_path: Path) -> None:
    """As virt-v2v's own tests have them: a file for each snapshot, and the size is the last one's."""
    with disk.open(numbered(tmp_path, 'ovf:size="12288"', 10240, 11264, 12288)) as opened:
        assert (opened.size, opened.read(0, 2)) == (12288, b"CC")
    with disk.open(numbered(tmp_path, 'ovf:size="32768" ovf:chunkSize="10240"', 10240, 10240, 12288)) as opened:
        assert (opened.size, opened.read(10239, 2)) == (32768, b"AB")


def test_a_missing_chunk_is_no_shorter_disk(tmp_path: Path) -> None:
    said = 'ovf:size="32768" ovf:chunkSize="10240"'
    path = numbered(tmp_path, said, 10240, 10240, 12288, skipped=1)
    with pytest.raises(ImageError) as caught:
        disk.open(path)
    assert "chunk 1 of 'disk1.raw' is missing" in caught.value.cause
    (tmp_path / "disk1.raw.000000002").unlink()
    with pytest.raises(ImageError) as caught:
        disk.open(path)
    assert "the descriptor says 32,768" in caught.value.cause


def test_pieces_that_were_put_together_are_one_file(tmp_path: Path) -> None:
    files = '<File ovf:id="f" ovf:href="a.raw" ovf:chunkSize="100"/>'
    path = folder(tmp_path, envelope_of(disks='<Disk ovf:diskId="a" ovf:fileRef="f"/>', files=files))
    with disk.open(path) as opened:
        assert opened.size == 512


def pack_in_memory(text: str) -> disk.Source:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        info = tarfile.TarInfo("x.ovf")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text.encode()))
    return ObjectSource(held, name="x.ova")
