"""A real, bootable Debian comes in whatever it is packed in: the main job, by the command a user types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.debian import debian_disk
from tests.tools import need, run

OVF = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
 <References><File ovf:href="debian.vmdk" ovf:id="f1" ovf:size="{size}"/></References>
 <DiskSection><Info/><Disk ovf:capacity="{capacity}" ovf:diskId="d1" ovf:fileRef="f1"
  ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
 <VirtualSystem ovf:id="debian"><Info/><OperatingSystemSection ovf:id="96"><Info/></OperatingSystemSection>
  <VirtualHardwareSection><Info/>
   <Item><rasd:ElementName>SCSI</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID>
    <rasd:ResourceSubType>lsilogic</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
   <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>Disk</rasd:ElementName>
    <rasd:HostResource>ovf:/disk/d1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID>
    <rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
  </VirtualHardwareSection></VirtualSystem></Envelope>
"""


@pytest.fixture(scope="module")
def raw() -> Path:
    need("qemu-img", "mmdebstrap")
    return debian_disk()


def packed(raw: Path, form: str, folder: Path) -> Path:
    """The disk in another form, made by the ordinary tools; the OVA's disk by vmie, ten times as fast."""
    if form == "raw":
        return raw
    if form == "ova":
        vmdk = folder / "debian.vmdk"
        run([sys.executable, "-m", "vmie", "convert", raw, vmdk])
        (folder / "debian.ovf").write_text(OVF.format(size=vmdk.stat().st_size, capacity=raw.stat().st_size))
        members = ["-C", folder, "debian.ovf", "debian.vmdk"]
        run(["tar", "--format=ustar", "-cf", folder / "debian.ova", *members])
        return folder / "debian.ova"
    options = {
        "vhd": ["-O", "vpc", "-o", "subformat=dynamic,force_size=on"],
        "vhdx": ["-O", "vhdx", "-o", "subformat=dynamic"],
        "qcow2": ["-O", "qcow2"],
        "vmdk": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
    }[form]
    run(["qemu-img", "convert", "-f", "raw", *options, raw, folder / f"debian.{form}"])
    return folder / f"debian.{form}"


#: small disks go through all of them in every run
_SLOW = [pytest.param(form, marks=pytest.mark.soak) for form in ("ova", "raw", "vhd", "vmdk", "vhdx")]


@pytest.mark.parametrize("form", ["qcow2", *_SLOW])
def test_import(raw: Path, form: str, tmp_path: Path) -> None:
    source = packed(raw, form, tmp_path)
    argv = [sys.executable, "-m", "vmie", "--sandbox", "--output", "json", "import", str(source), "--name", "debian"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, env={**os.environ})
    shown = json.loads(done.stdout)
    assert done.returncode == 0, shown["error"]
    result = shown["result"]
    assert result["status"] == "completed"
    assert result["image_id"].startswith("ami-")
    assert len(result["snapshot_ids"]) == 1
    assert 0 < result["bytes_sent"] < 500_000_000, "only what the disk holds, compressed"
    assert {finding["verdict"] for finding in shown["findings"]} <= {"warn"}
