"""The HTML report in a real browser: the charts are drawn, nothing is asked of anybody, in light and in dark."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests import tools
from tests.e2e.conftest import Done
from tests.sandbox.conftest import bootable
from vmie import sandbox

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def report(vmie: Callable[..., Done], tmp_path: Path) -> Path:
    """Of a batch with two successes and a failure whose words are hostile."""
    for number in range(2):
        (tmp_path / f"vm-{number}.raw").write_bytes(bootable(mark=b"%d" % number))
    (tmp_path / f"{HOSTILE.replace('/', '%')}.raw").write_bytes(b"")
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"name: '{HOSTILE}'\ndefaults: {{skip_check: all}}\nitems:\n  - source: '*.raw'\n")
    with sandbox.start(seeded=True, speed=10_000):
        done = vmie("batch", "run", plan)
        assert done.code == 3, done.out
        path = tmp_path / "report.html"
        assert vmie("batch", "report", done.json["result"]["batch"], "--to", path).code == 0
    return path


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]


def test_it_names_nothing_outside_itself(report: Path) -> None:
    text = report.read_text()
    parser = _Addresses()
    parser.feed(text)
    outside = [address for address in parser.found if not address.startswith("#")]
    assert outside == ["data:,"], "the empty icon, so that no browser asks for one"
    assert "script" not in parser.tags
    assert not re.search(r"@import|url\(", text)
    assert "&lt;script&gt;alert(1)" in text


def chromium(*argv: str, folder: Path) -> subprocess.CompletedProcess[str]:
    tools.need("chromium")
    plain = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr")
    quiet = ("--disable-background-networking", "--no-first-run", f"--user-data-dir={folder / 'profile'}")
    # the browser's own question for the time of day
    alone = ("--disable-features=NetworkTimeServiceQuerying", "--disable-component-update")
    program = tools.find("chromium") or "chromium"
    return subprocess.run([program, *plain, *quiet, *alone, *argv], capture_output=True, text=True, timeout=90)


def test_a_browser_draws_it_without_a_complaint(report: Path, tmp_path: Path) -> None:
    log = tmp_path / "net.json"
    done = chromium(f"--log-net-log={log}", "--dump-dom", report.as_uri(), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, "no console message at all"
    dom = done.stdout
    assert len(re.findall(r'<rect class="s\d"', dom)) >= 7
    assert '<path class="area"' in dom
    assert dom.count('<tr class="completed"') == 2
    assert dom.count('<tr class="failed"') == 1
    assert asked_by_pages(log) == set(), "no request beyond the file"


def test_a_page_that_asks_would_be_noticed(tmp_path: Path) -> None:
    page, log = tmp_path / "page.html", tmp_path / "net.json"
    page.write_text('<!doctype html><img src="http://127.0.0.1:9/x.png">')
    chromium(f"--log-net-log={log}", "--dump-dom", page.as_uri(), folder=tmp_path)
    assert asked_by_pages(log) == {"http://127.0.0.1:9/x.png"}


def asked_by_pages(log: Path) -> set[str]:
    """The addresses that pages asked for; what the browser asks for itself (updates, the time) has no origin."""
    params = (event.get("params", {}) for event in json.loads(log.read_text())["events"])
    web = (one for one in params if str(one.get("url", "")).startswith("http"))
    return {one["url"] for one in web if one.get("initiator", "not an origin") != "not an origin"}


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio)."""

    def luminance(colour: str) -> float:
        digits = colour.lstrip("#")
        digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_words_stand_out_from_what_is_behind_them_in_both_schemes(report: Path) -> None:
    palettes = [
        dict(re.findall(r"--(\w+):(#\w+)", block)) for block in re.findall(r":root\{([^}]*)\}", report.read_text())
    ]
    assert len(palettes) == 2, "one for light, one for dark"
    for palette in palettes:
        for words in ("ink", "dim", "good", "bad"):
            for behind in ("back", "card"):
                assert contrast(palette[words], palette[behind]) >= 4.5, (words, behind)
        # WCAG 2.2, 1.4.11: what is drawn, 3 to 1
        assert min(contrast(palette[f"s{number}"], palette["back"]) for number in range(5)) >= 3


def test_a_run_can_write_its_report_itself(vmie: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "vm.raw").write_bytes(bootable())
    plan = tmp_path / "plan.yaml"
    plan.write_text("defaults: {skip_check: all}\nitems:\n  - {source: vm.raw, as: snapshot}\n")
    done = vmie("--sandbox", "batch", "run", plan, "--report", tmp_path / "result.csv")
    assert done.code == 0, done.out
    assert (tmp_path / "result.csv").read_text().splitlines()[1].startswith("vm,completed,import,")
    refused = vmie("--sandbox", "batch", "run", plan, "--report", tmp_path / "no" / "result.html")
    assert refused.code == 2, "before anything is begun"


def test_what_is_gone_with_the_sandbox_is_not_offered(tmp_path: Path, vmie: Callable[..., Done]) -> None:
    (tmp_path / "vm.raw").write_bytes(bootable())
    plan = tmp_path / "plan.yaml"
    plan.write_text("defaults: {skip_check: all}\nitems:\n  - {source: vm.raw, as: snapshot}\n")
    done = vmie("--output", "text", "--sandbox", "batch", "run", plan)
    assert "vm: snap-" in done.out
    assert "vmie batch report" not in done.out
    assert "`vmie sandbox serve` keeps one" in done.out
