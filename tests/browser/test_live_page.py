"""`vmie batch watch --web` as a person sees it, by keyboard alone, and as a page of another origin does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser.batches import BATCH, write
from tests.browser.chromium import Browser
from tests.unit.batch.idle_stages import NoWork
from vmie.aws.session import Aws
from vmie.batch.context import BatchContext
from vmie.batch.model import BatchPlan, Item, ItemKind, Limits, PlanItem
from vmie.batch.run import api
from vmie.batch.run.context import RunContext
from vmie.batch.store.locations import Locations
from vmie.batch.web import steering
from vmie.batch.web.watch import BatchWatch, serving
from vmie.errors import UsageError, VmieError
from vmie.settings import Settings


class Gated(NoWork):
    """AWS works until `go`; `bad` fails the first time; to undo is nothing."""

    def __init__(self, context: RunContext, item: Item, *, go: threading.Event) -> None:
        super().__init__(context, item)
        self._go = go

    def wait(self, task_id: str) -> None:
        if self._item.key == "bad" and self._item.round == 1:
            raise VmieError("the disk is <empty>", cause="nothing is in it", cure="fill it")
        self._context.cancellation.wait(self._go)

    def undo(self) -> None:
        return


def door(region: str, profile: str = "", /) -> Aws:
    return Aws.of({}, region=region or "eu-west-1", account="123456789012")


def begin(folder: Path) -> tuple[BatchContext, str]:
    context = BatchContext(Locations(folder), door, Settings(), poll_every=0.05)
    keys = ("bad", "vm-1", "vm-2", "vm-3")
    items = tuple(PlanItem(key, ItemKind.IMPORT, f"s3://b/{key}.raw", {}, region="eu-west-1") for key in keys)
    return context, api.begin(context, BatchPlan("four", items, Limits(imports=1, uploads=1, ahead=1)))


@contextmanager
def running(context: BatchContext, batch: str, go: threading.Event) -> Iterator[list[api.BatchResult]]:
    """The batch carried out in a thread, as another process would."""
    outcome: list[api.BatchResult] = []
    work = threading.Thread(target=lambda: outcome.append(api.run(context, batch, stages=partial(Gated, go=go))))
    work.start()
    try:
        yield outcome
    finally:
        go.set()
        with context.locations.of(batch).open(context.clock.now) as store:
            store.pause(batch, False)
        work.join(30)


@contextmanager
def watched(context: BatchContext, batch: str) -> Iterator[BatchWatch]:
    with serving(context, batch) as watch:
        follow = threading.Thread(target=watch.follow)
        follow.start()
        yield watch
    follow.join(10)


def ask(url: str, *, method: str = "GET", data: bytes | None = None, **headers: Any) -> int:
    given = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, given, method=method), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:  # it is an open answer
            return error.code


def states(context: BatchContext, batch: str) -> list[str]:
    return [one.state.value for one in api.look(context, batch).items]


def test_a_row_changes_live_and_the_keyboard_pauses_retries_and_cancels(browser: Browser, tmp_path: Path) -> None:
    go = threading.Event()
    context, batch = begin(tmp_path)
    with watched(context, batch) as watch, browser.page(watch.server.url) as page:
        assert page.see("document.querySelector('#turn').textContent") == "Go on", "nobody works on it"
        with running(context, batch, go) as outcome:
            page.until("document.querySelector('#item-bad').className === 'failed'")
            page.until("document.querySelector('#item-vm-1').className === 'converting'")
            page.until("document.querySelector('#failed h3')?.textContent === 'bad'")
            assert page.see("document.querySelector('#failed p').textContent") == "the disk is <empty>"
            page.until("document.querySelector('#turn').textContent === 'Pause'")

            page.tab_to("#turn")
            page.press("Enter")
            page.until("document.querySelector('#turn').textContent === 'Go on'")
            assert page.see("document.activeElement.id") == "turn", "the focus is where it was"
            assert page.see("document.querySelector('#spoken').textContent").startswith("paused: ")
            assert "paused" in page.see("document.querySelector('#standing').textContent")
            go.set()
            page.until("document.querySelector('#item-vm-1').className === 'completed'")
            time.sleep(0.5)
            assert states(context, batch).count("waiting") >= 1, "nothing further has begun"
            page.press(" ")
            page.until("document.querySelector('#item-vm-3').className === 'completed'")
            assert page.see("document.querySelector('#n-completed').textContent") == "3"
        assert outcome[0].failed == 1

        page.tab_to("#cancel")
        page.press("Enter", "Tab")
        assert page.see("document.activeElement.textContent") == "Cancel the batch", "not before it is confirmed"
        assert states(context, batch).count("failed") == 1


def test_a_failed_item_is_tried_again_while_others_are_under_way_and_all_is_cancelled(
    browser: Browser, tmp_path: Path
) -> None:
    go = threading.Event()
    context, batch = begin(tmp_path)
    with (
        watched(context, batch) as watch,
        browser.page(watch.server.url, width=360) as page,
        running(context, batch, go),
    ):
        page.until("!!document.querySelector('#retry')")
        page.tab_to("#retry")
        page.press("Enter")
        page.until("document.querySelector('#item-bad').className !== 'failed'")
        assert page.see("document.querySelector('#failed').textContent") == "None."
        page.tab_to("#cancel")
        page.press("Enter", "Tab", "Enter")
        page.until("document.querySelector('#standing').textContent.includes('cancelled')")
        assert set(states(context, batch)) == {"cancelled"}
        assert page.see("document.querySelector('#controls').textContent") == ""


def test_without_a_script_it_shows_the_state_and_its_buttons_work(browser: Browser, tmp_path: Path) -> None:
    context, batch = begin(tmp_path)
    go = threading.Event()
    with watched(context, batch) as watch, running(context, batch, go):
        url = watch.server.url
        with browser.page(url, scripts=False) as page:
            page.until("document.querySelector('#turn').textContent === 'Pause' || location.reload()")
            assert page.see("document.querySelector('noscript meta').content") == "10"
            page.tab_to("#turn")
            page.press("Enter")
            page.until("document.querySelector('#turn')?.textContent === 'Go on'")
            assert page.see("location.href") == url
            page.open(f"{url}?still")
            assert page.see("document.querySelector('noscript meta')") is None


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, tmp_path: Path, dark: bool) -> None:
    write(Locations(tmp_path), items=12, ended=False)
    with watched(BatchContext(Locations(tmp_path), door, Settings()), BATCH) as watch:
        for width in (1000, 360):
            with browser.page(watch.server.url, width=width, dark=dark) as page:
                page.see("document.querySelector('details').open = true")
                assert page.findings() == [], width
                assert page.see("document.documentElement.scrollWidth") <= width


def test_only_the_page_itself_is_answered(tmp_path: Path) -> None:
    context, batch = begin(tmp_path)
    with watched(context, batch) as watch:
        url = watch.server.url
        root, port = url[: url.index("/", 8)], urlsplit(url).port
        own: dict[str, Any] = {"Origin": root}
        assert ask(url) == 200
        for path in ("/", "/x/", "/x/events", f"/{watch.server.token[:-1]}/", "/%00/", "/%C3%A9/"):
            assert ask(root + path) == 403, path
        assert ask(url, Host=f"attacker.example:{port}") == 403, "a name made to lead here"
        assert ask(url, Host="127.0.0.1:1") == 403
        for elsewhere in (
            "https://attacker.example",
            "null",
            f"http://attacker.example:{port}",
            f"https://127.0.0.1:{port}",
        ):
            assert ask(url, Origin=elsewhere) == 403, elsewhere
            assert ask(f"{url}pause", method="POST", data=b"", Origin=elsewhere) == 403, elsewhere
        assert ask(url, Sec_Fetch_Site="cross-site") == 403
        assert ask(f"{url}events", Sec_Fetch_Site="same-site") == 403
        assert ask(f"{url}pause", method="POST", data=b"") == 403, "a POST without an origin"
        assert ask(f"{root}/x/pause", method="POST", data=b"", **own) == 403
        assert ask(f"{url}cancel", method="POST", data=b"", **own) == 400, "not confirmed"
        assert ask(f"{url}cancel", method="POST", data=b"sure=yes" * 10_000, **own) == 413
        assert ask(f"{url}pause", method="DELETE", **own) == 501
        assert ask(f"{url}nothing", method="POST", data=b"", **own) == 404
        assert ask(f"{url}pause") == 404, "to look changes nothing"
        assert set(states(context, batch)) == {"waiting"}
        with context.locations.of(batch).open(context.clock.now) as store:
            assert not store.batch(batch).paused
            assert not store.batch(batch).cancelling
        once = watch.server.one_time_url()
        assert (ask(once), ask(once)) == (200, 403)


class Site(SimpleHTTPRequestHandler):
    """A website that somebody has open."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return


#: it even knows the address with its token
PAGE = """<!doctype html><script>
const url = %s, seen = [], note = text => seen.push(text), refused = () => note("refused");
(async () => {
  for (const mode of ["cors", "no-cors"]) {
    await fetch(url, {mode}).then(a => a.text()).then(t => note(t || "opaque"), refused);
    const body = new URLSearchParams("sure=yes");
    await fetch(url + "cancel", {mode, method: "POST", body}).then(() => note("opaque"), refused);
  }
  await new Promise(done => {
    const news = new EventSource(url + "events");
    news.onmessage = event => { note(event.data); done(); };
    news.onerror = () => { refused(); done(); };
  });
  window.seen = seen;
})();
</script>"""


def test_a_page_of_another_origin_reads_and_changes_nothing(browser: Browser, tmp_path: Path) -> None:
    context, batch = begin(tmp_path / "state")
    with watched(context, batch) as watch:
        (tmp_path / "page.html").write_text(PAGE % json.dumps(watch.server.url))
        site = ThreadingHTTPServer(("127.0.0.1", 0), partial(Site, directory=str(tmp_path)))
        threading.Thread(target=site.serve_forever, daemon=True).start()
        try:
            with browser.page(f"http://127.0.0.1:{site.server_port}/page.html") as page:
                seen = page.until("window.seen")
        finally:
            site.shutdown()
            site.server_close()
        assert set(seen) <= {"refused", "opaque"}
        with context.locations.of(batch).open(context.clock.now) as store:
            assert not store.batch(batch).cancelling


def test_the_command_prints_its_address_once_and_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    write(Locations(tmp_path), items=500, ended=False)
    argv = [sys.executable, "-m", "vmie", "--output", "json", "batch", "watch", BATCH, "--web", "--no-open"]
    environ = {**os.environ, "VMIE_STATE": str(tmp_path)}
    process = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    shown = ""
    while not shown.endswith("}\n") or shown.count("{") != shown.count("}"):
        shown += process.stdout.readline()
    url = json.loads(shown)["result"]["url"]
    with urllib.request.urlopen(f"{url}events?since=0", timeout=20) as news:
        while not (line := news.readline()).startswith(b"data:"):
            pass
        assert len(json.loads(line[5:])) > 500
        before = spent(process.pid)
        time.sleep(4)
        assert spent(process.pid) - before < 0.02 * 4 + 0.06, "a watcher of 500 items that nothing happens to is idle"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def spent(pid: int) -> float:
    """Seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_port_that_is_taken_and_a_batch_that_is_none_are_said(tmp_path: Path) -> None:
    context, batch = begin(tmp_path)
    with (
        serving(context, batch) as watch,
        pytest.raises(UsageError, match="cannot listen on port"),
        serving(context, batch, port=watch.server.server_port),
    ):
        pass
    with pytest.raises(UsageError, match="no batch"), serving(context, "batch-20260102-030405-ffffff"):
        pass


def test_what_the_page_has_begun_stops_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    context, batch = begin(tmp_path)
    monkeypatch.setattr(steering.api, "run", partial(api.run, stages=partial(Gated, go=go)))
    steers = steering.Steering(context, batch)
    steers.resume()
    end = time.monotonic() + 30
    while "converting" not in states(context, batch):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert steers.busy
    assert steers.stop()
    assert not context.locations.of(batch).in_use()
    assert states(context, batch).count("converting") == 1, "left as it is, to be resumed"
    assert steers.said == ""
