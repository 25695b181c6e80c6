"""`vmie check` as a user runs it: what it prints, how it ends, what it loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.linux_guest import convert, files, linux_disk
from vmie import cli


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linux_disk(tmp_path_factory.mktemp("good") / "good.raw")


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Linux whose kernel AWS does not name."""
    return linux_disk(tmp_path_factory.mktemp("bad") / "bad.raw", files("6.6.13-amd64"))


@pytest.fixture
def vmie(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*argv: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run([str(word) for word in argv])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def test_a_good_image_ends_with_0_and_names_the_route(vmie: Any, good: Path) -> None:
    code, out, err = vmie("check", good)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"PASS  {good}  can become an image"
    assert "Debian GNU/Linux 12 (bookworm)" in out
    assert lines[4].split() == ["image", "(ImportImage)", "PASS", "recommended"]


def test_a_blocked_one_ends_with_4_with_the_cure_beside_the_finding(vmie: Any, bad: Path) -> None:
    code, out, err = vmie("check", bad)
    assert code == 4
    assert "AWS says: ClientError: Unsupported kernel version 6.6.13-amd64" in out
    assert "cure: make the release's stock kernel the default" in out
    assert out.splitlines()[0] == f"FAIL  {bad}  cannot become an image; open: --route snapshot"
    assert "FAIL    VMIE-OS-005  the kernel" in out
    assert out.count("Unsupported kernel version") == 1
    assert err == "", "the report has said it all"


def test_the_route_asked_for_decides(vmie: Any, bad: Path) -> None:
    assert vmie("check", bad, "--route", "snapshot")[0] == 0
    assert vmie("check", bad, "--route", "snapshot", "--strict")[0] == 4


def test_the_rules_of_2016_are_chosen_by_one_name(vmie: Any, good: Path) -> None:
    code, out, err = vmie("check", good, "--rules", "2016")
    assert code == 4
    assert "Debian 12.7 is not listed" in out
    assert "--profile" not in out + err  # what is advised is the option that there is
    code, out, err = vmie("check", good, "--profile", "2016")  # as it was called
    assert code == 4
    assert "`--profile 2016` is `--rules 2016` now" in err
    assert vmie("check", good, "--profile", "work")[0] == 0  # AWS's, and nothing is asked of AWS


def test_what_is_the_same_on_several_routes_is_said_once(vmie: Any, good: Path, tmp_path: Path) -> None:
    sparse = convert(good, tmp_path / "sparse.vmdk", "vmdk", "subformat=monolithicSparse")
    _, out, _ = vmie("check", sparse, "--as-is")
    assert out.count("the VMDK is monolithicSparse, not streamOptimized") == 1
    assert "[Unsupported VMDK File Format] [image, snapshot]" in out
    assert "unsupported compression algorithm 0 [instance, volume]" in out
    _, out, _ = vmie("check", sparse)
    assert out.count("the VMDK is monolithicSparse, not streamOptimized") == 1
    assert "AWS" not in out


def test_a_note_speaks_against_nothing(vmie: Any, tmp_path: Path) -> None:
    content = {**files(), "/usr/bin/cloud-init": "", "/etc/cloud/cloud.cfg": "datasource_list: [ Ec2 ]\n"}
    disk = linux_disk(tmp_path / "cloud.raw", content)
    code, out, _ = vmie("check", disk, "--strict")
    assert code == 0
    assert "NOTE    VMIE-LNX-010  the import starts the guest once, and cloud-init with it" in out
    shown = json.loads(vmie("check", disk, "--output", "json")[1])
    (image,) = shown["result"]["images"]
    assert [note["rule"] for note in image["notes"]] == ["VMIE-LNX-010"]
    assert image["verdict"]["image"] == "pass"
    assert "VMIE-LNX-010" not in {finding["rule"] for finding in shown["findings"]}


def test_json_of_a_good_image(vmie: Any, good: Path) -> None:
    code, out, _ = vmie("--output", "json", "check", good)
    shown = json.loads(out)
    assert code == 0
    assert (shown["vmie"], shown["command"], shown["status"], shown["error"]) == (1, "check", "success", None)
    assert shown["result"]["images"][0]["verdict"]["image"] == "pass"
    assert {finding["verdict"] for finding in shown["findings"]} <= {"warn"}


def test_json_of_a_blocked_image(vmie: Any, bad: Path) -> None:
    code, out, _ = vmie("check", bad, "--output", "json")
    shown = json.loads(out)
    assert code == 4
    assert (shown["status"], shown["error"]["code"]) == ("error", "VMIE-OS-005")
    assert shown["result"]["images"][0]["verdict"]["image"] == "fail"
    finding = next(finding for finding in shown["findings"] if finding["rule"] == "VMIE-OS-005")
    assert set(finding) >= {"rule", "verdict", "message", "cure", "source", "routes", "predicts", "path"}
    assert finding["routes"] == ["image", "instance"]


def test_passes_are_shown_with_verbose_only(vmie: Any, good: Path) -> None:
    assert "VMIE-BOOT-008" not in vmie("check", good)[1]
    _, out, _ = vmie("check", good, "--output", "json", "--verbose")
    verdicts = {finding["verdict"] for finding in json.loads(out)["findings"]}
    assert "pass" in verdicts


def test_several_images_are_summed_up(vmie: Any, good: Path, bad: Path) -> None:
    code, out, err = vmie("check", good, bad)
    assert (code, err) == (4, "")
    header, first, second, _, summed, more = out.splitlines()
    assert header.split() == ["verdict", "image", "system", "finding"]
    assert first.split()[:2] == ["fail", str(bad)]
    assert "VMIE-OS-005 the kernel 6.6.13-amd64" in first
    assert second.split()[:2] == ["pass", str(good)]
    assert summed == "2 images by the image route: 1 fail  1 pass"
    assert "--details" in more
    _, full, _ = vmie("check", good, bad, "--details")
    assert "cure: make the release's stock kernel the default" in full
    assert [line.split()[0] for line in full.splitlines() if " become " in line] == ["PASS", "FAIL"]


@pytest.mark.parametrize("content", [None, b"", b"KDMV" + bytes(100), b"QFI\xfb" + bytes(600)], ids=str)
def test_what_cannot_be_read_ends_with_2(vmie: Any, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "disk.vmdk"
    if content is not None:
        path.write_bytes(content)
    code, out, err = vmie("check", path)
    assert (code, out) == (2, "")
    assert str(path) in err
    assert "cure:" in err
    code, out, _ = vmie("check", path, "--output", "json")
    shown = json.loads(out)
    assert code == 2
    assert shown["findings"][0]["verdict"] == "fail"
    assert set(shown["result"]["images"][0]["verdict"].values()) == {"fail"}


def test_one_unreadable_file_does_not_hide_the_others(vmie: Any, good: Path, tmp_path: Path) -> None:
    code, out, _ = vmie("check", good, tmp_path / "gone.vmdk")
    assert code == 2
    assert out.count("gone.vmdk") <= 2
    assert "\npass" in out


def test_the_original_is_not_touched(vmie: Any, good: Path) -> None:
    before = good.stat().st_mtime_ns, good.stat().st_size
    vmie("check", good)
    assert (good.stat().st_mtime_ns, good.stat().st_size) == before


def test_nothing_heavy_is_loaded(good: Path, tmp_path: Path) -> None:
    path = convert(good, tmp_path / "disk.vmdk", "vmdk", "subformat=streamOptimized")
    program = (
        "import sys\nfrom vmie import cli\ncode = cli.run(['check', sys.argv[1]])\n"
        "print(sorted({'boto3', 'botocore', 'moto', 'dbos', 'rich', 'vmie.guest.btrfs'} & set(sys.modules)), code)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[] 0", done.stderr
