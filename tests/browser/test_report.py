"""The report as a person has it: light or dark, on a phone, with a keyboard, without scripts, on paper."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.browser.batches import BATCH, CLOCK, write
from tests.browser.chromium import Browser
from vmie.batch.report import html
from vmie.batch.store.locations import Locations

SHOWN = "[...document.querySelectorAll('#results tbody tr')].filter(one => one.offsetHeight).length"


def written(folder: Path, *, items: int, ended: bool = True) -> Path:
    locations = Locations(folder / "state")
    write(locations, items=items, ended=ended)
    path = folder / "report.html"
    path.write_text(html.render(locations, BATCH, "html", clock=CLOCK), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report of 500 items."""
    path = written(tmp_path_factory.mktemp("report"), items=500)
    assert path.stat().st_size < 400_000
    return path.as_uri()


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a batch that goes on, and small: axe-core looks at every element against every other."""
    return written(tmp_path_factory.mktemp("short"), items=12, ended=False).as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, short: str, dark: bool) -> None:
    for width in (1000, 360):
        with browser.page(short, width=width, dark=dark) as page:
            assert page.findings() == [], width


def test_axe_finds_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text("<!doctype html><title>t</title><p style='color:#aaa;background:#fff'>pale<img src=''>")
    with browser.page(path.as_uri()) as page:
        assert {one.split(":")[0] for one in page.findings()} >= {"color-contrast", "html-has-lang", "image-alt"}


def test_a_phone_needs_no_sideways_scrolling(browser: Browser, report: str) -> None:
    with browser.page(report, width=360) as page:
        assert page.see("document.documentElement.scrollWidth") == 360
        assert page.see("document.querySelector('#results').parentNode.scrollWidth") <= 360
        row = "document.querySelector('#results tbody tr')"
        assert page.see(f"{row}.offsetHeight") > 60, "a row is a card"
        label = f"getComputedStyle({row}.querySelector('td:nth-child(2)'), '::before').content"
        assert page.see(label) == '"status"'


def test_a_failure_is_found_by_keyboard_and_shown_alone_without_a_script(browser: Browser, report: str) -> None:
    with browser.page(report, scripts=False) as page:
        assert page.see("document.scripts.length") == 0
        assert page.see(SHOWN) == 500
        page.tab_to("nav a[href='#failures']")
        page.press("Enter")
        assert page.see("location.hash") == "#failures"
        page.tab_to("summary")
        page.press("Enter")
        assert page.see("document.activeElement.parentNode.open")
        page.press("Tab", "Enter")
        assert page.see("location.hash").startswith("#item-web-")
        assert page.see("getComputedStyle(document.querySelector('tr:target > td')).boxShadow") != "none"
        page.open(report)
        page.tab_to("input")
        page.press("ArrowRight")
        assert page.see("document.activeElement.id") == "show-failed"
        assert page.see(SHOWN) == 5
        page.press("Tab", "Tab", "Enter")
        assert page.see("document.querySelector('article:target h3').textContent") in ("4 items", "<b>odd & one</b>")
        page.open(f"{report}#item-web-000-in-the-data-centre-of-frankfurt")
        assert page.see("document.querySelector('tr:target th').textContent").startswith("web-000")


def test_paper_gets_all_of_it_in_dark_ink(browser: Browser, report: str) -> None:
    with browser.page(report, dark=True) as page:
        page.see("document.querySelector('#show-failed').checked = true")
        page.look(dark=True, media="print")
        assert page.see("getComputedStyle(document.body).color") == "rgb(28, 36, 48)"
        assert page.see("getComputedStyle(document.querySelector('nav')).display") == "none"
        assert page.see(SHOWN) == 500, "whatever was shown on the screen"
        printed = base64.b64decode(page.call("Page.printToPDF")["data"])
        assert printed.startswith(b"%PDF-")
