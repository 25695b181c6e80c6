"""A page of another origin, in a real browser, against `vmie sandbox serve`: it reads nothing and changes nothing."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests import tools
from tests.sandbox.conftest import BUCKET
from vmie import sandbox
from vmie.sandbox import Sandbox

SECRET = "bytes-of-an-object"
#: whatever a page can do: it reports what it saw to the server that it came from, as a list of [attempt, outcome]
PAGE = """<!doctype html><body><script>
const own = location.origin, box = "%(box)s", urls = %(urls)s, seen = [];
const note = (what, outcome) => seen.push([what, String(outcome)]);
async function read(what, url, options) {
  try { const answer = await fetch(url, options); note(what, answer.type + ":" + await answer.text()); }
  catch (error) { note(what, "refused"); }
}
function xhr(url, method, body) {
  return new Promise(done => {
    const asked = new XMLHttpRequest();
    asked.onloadend = () => { note("xhr " + method + " " + url, asked.responseText || "refused"); done(); };
    asked.open(method, url);
    asked.send(body);
  });
}
function embed(tag, url) {
  return new Promise(done => {
    const one = document.createElement(tag);
    one.onload = () => { note(tag + " " + url, "loaded"); done(); };
    one.onerror = () => { note(tag + " " + url, "refused"); done(); };
    one.src = url;
    document.body.append(one);
  });
}
function post(url, type, fields) {
  return new Promise(done => {
    const frame = document.createElement("iframe"), form = document.createElement("form");
    frame.name = "frame" + seen.length + Math.random();
    document.body.append(frame, form);
    frame.onload = () => {
      let text = "refused";
      try { text = frame.contentDocument.body.textContent; } catch (error) {}
      note("form " + url, text || "refused");
      done();
    };
    Object.assign(form, {action: url, method: "POST", enctype: type, target: frame.name});
    for (const [name, value] of Object.entries(fields)) {
      const field = document.createElement("input");
      Object.assign(field, {name, value});
      form.append(field);
    }
    form.submit();
  });
}
function nobody(script) {  // a page without an origin: `Origin: null`
  return new Promise(done => {
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    addEventListener("message", event => {
      if (event.source === frame.contentWindow) { note("null origin", event.data); done(); }
    });
    frame.srcdoc = "<script>" + script + "<\\/script>";
    document.body.append(frame);
  });
}
(async () => {
  for (const url of urls) {
    await read("fetch " + url, url);
    await read("fetch opaque " + url, url, {mode: "no-cors", referrerPolicy: "no-referrer"});
    await xhr(url, "GET");
    await embed("img", url);
    await embed("script", url);
  }
  const bodies = {"/moto-api/reset": "", "/_vmie/faults": '{"kind": "throttle"}', "/_vmie/advance": '{"seconds": 9}'};
  for (const [path, body] of Object.entries(bodies)) {
    const url = box + path;
    await read("post " + path, url, {method: "POST", mode: "no-cors", body});
    await read("json " + path, url, {method: "POST", headers: {"Content-Type": "application/json"}, body});
    await xhr(url, "POST", body);
    await xhr(url, "DELETE", body);
    // name=value of a form of text: JSON in two halves
    await post(url, "text/plain", {[body.slice(0, -1) + ', "at": "']: '"}'});
    navigator.sendBeacon(url, body);
  }
  const drop = {Action: "DeleteRole", RoleName: "vmimport", Version: "2010-05-08"};
  await post(box + "/", "application/x-www-form-urlencoded", drop);
  await post(box + "/%(bucket)s", "multipart/form-data", {key: "planted", file: "x"});
  await read("put", box + "/%(bucket)s/planted", {method: "PUT", body: "x", headers: {Authorization: "AWS a:b"}});
  await nobody("fetch('" + box + "/_vmie/advance', {method: 'POST', body: '{\\"seconds\\": 9}'})" +
    ".then(a => a.text()).then(t => parent.postMessage(t, '*'), () => parent.postMessage('refused', '*'))");
  await fetch(own + "/seen", {method: "POST", body: JSON.stringify(seen)});
})();
</script>"""


class Site:
    """A website that somebody has open: serves `page`, takes what it saw."""

    def __init__(self) -> None:
        self.page = ""
        self.seen: queue.Queue[list[list[str]]] = queue.Queue()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(site.page.encode(), "text/html")

            def do_POST(self) -> None:
                site.seen.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._send(b"", "text/plain")

            def _send(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def site() -> Iterator[Site]:
    one = Site()
    thread = threading.Thread(target=one.server.serve_forever)
    thread.start()
    yield one
    one.server.shutdown()
    thread.join()
    one.server.server_close()


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.serve(seeded=True, speed=0) as running:
        running.client("s3").put_object(Bucket=BUCKET, Key="disk.svg", Body=picture(), ContentType="image/svg+xml")
        yield running


def picture() -> bytes:
    """Something that an `<img>` would show."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><title>{SECRET}</title></svg>'.encode()


@contextmanager
def browser(folder: Path, *argv: str) -> Iterator[subprocess.Popen[str]]:
    tools.need("chromium")
    plain = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
    quiet = ("--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder / 'profile'}")
    with subprocess.Popen(
        [tools.find("chromium") or "chromium", *plain, *quiet, *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def presigned(box: Sandbox) -> str:
    """A URL that is right: the sandbox's keys are no secret, so a page can make it."""
    return str(box.client("s3").generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "disk.svg"}))


def state(box: Sandbox) -> tuple[Any, ...]:
    keys = [item["Key"] for item in box.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    roles = [role["RoleName"] for role in box.client("iam").list_roles()["Roles"]]
    return keys, roles, box.clock.now()


def test_a_page_of_another_origin_reads_and_changes_nothing(box: Sandbox, site: Site, tmp_path: Path) -> None:
    paths = (f"/{BUCKET}/disk.svg", f"/{BUCKET}?list-type=2", "/_vmie/stats", "/moto-api/data.json")
    action = "/?Action=DeleteRole&RoleName=vmimport&Version=2010-05-08"
    localhost = presigned(box).replace("127.0.0.1", "localhost")
    urls = [presigned(box), localhost, *(box.url + path for path in (*paths, action))]
    site.page = PAGE % {"box": box.url, "urls": json.dumps(urls), "bucket": BUCKET}
    before = state(box)
    calls = box.stats.as_json()["calls"]
    with browser(tmp_path, "--remote-debugging-port=0", site.url):
        seen = site.seen.get(timeout=40)
    assert len(seen) > 40
    assert {outcome for _, outcome in seen} <= {"refused", "opaque:"}, seen
    assert box.stats.as_json()["calls"] == calls, "no request got as far as a service"
    assert state(box) == before


def test_a_name_made_to_lead_here_shows_nothing(box: Sandbox, tmp_path: Path) -> None:
    """DNS rebinding: the page's own name now means this machine, so the browser takes both for one origin."""
    port = urlsplit(box.url).port
    url = presigned(box).replace("127.0.0.1", "attacker.example")
    with browser(tmp_path, "--host-resolver-rules=MAP attacker.example 127.0.0.1", "--dump-dom", url) as process:
        shown, _ = process.communicate(timeout=40)
    assert f"does not answer as 'attacker.example:{port}'" in shown
    assert SECRET not in shown


def test_a_person_may_open_a_presigned_url(box: Sandbox, tmp_path: Path) -> None:
    with browser(tmp_path, "--dump-dom", presigned(box)) as process:
        shown, _ = process.communicate(timeout=40)
    assert SECRET in shown
