"""Headless Chromium over the DevTools protocol, through two pipes: no port, and no package for it.

https://chromedevtools.github.io/devtools-protocol/; with ``--remote-debugging-pipe`` the browser reads commands from
file 3 and writes answers to file 4, each JSON ended by a zero byte.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import tools

AXE = tools.ROOT / ".tools" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
_WITHIN = 60.0
_KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowRight": 39, "Escape": 27}


class Browser:
    """One process of Chromium; each `page` is a tab of its own."""

    def __init__(self, folder: Path) -> None:
        tools.need("chromium")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        plain = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
        quiet = ("--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder}")
        argv = [tools.find("chromium") or "chromium", *plain, *quiet, "--remote-debugging-pipe", "about:blank"]

        def place() -> None:
            # out of the way first: either may be 3 or 4 itself
            ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]
            for end, number in zip(ends, (3, 4), strict=True):
                os.dup2(end, number)

        self.process = subprocess.Popen(
            argv,
            pass_fds=(3, 4),
            preexec_fn=place,  # noqa: PLW1509 - it only duplicates
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._number = 0
        self._buffer = b""

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(20)
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, *, session: str = "", **params: Any) -> dict[str, Any]:
        """One command, and its result."""
        self._number += 1
        asked: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session:
            asked["sessionId"] = session
        data = json.dumps(asked).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]  # type: ignore[no-any-return]

    def _message(self) -> dict[str, Any]:
        end = time.monotonic() + _WITHIN
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._in, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)  # type: ignore[no-any-return]

    @contextmanager
    def page(self, url: str = "", *, width: int = 1000, dark: bool = False, scripts: bool = True) -> Iterator[Page]:
        """A tab, as wide as asked for, in light or in dark, with or without scripts."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        page.look(width=width, dark=dark)
        if not scripts:
            page.call("Emulation.setScriptExecutionDisabled", value=True)
        try:
            if url:
                page.open(url)
            yield page
        finally:
            self.call("Target.closeTarget", targetId=target)


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command to this tab."""
        return self._browser.call(method, session=self._session, **params)

    def look(self, *, width: int = 1000, dark: bool = False, media: str = "") -> None:
        """Be so wide, in light or dark, on a screen or (`media`) in print."""
        phone = width < 600
        size = {"width": width, "height": 740 if phone else 900, "deviceScaleFactor": 1, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def open(self, url: str) -> None:
        """Go there; returns when it has been loaded."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def see(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        told = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, expression: str, *, within: float = 20.0) -> Any:
        """Wait until an expression is true; its value. What a navigation tears away is asked for again."""
        end = time.monotonic() + within
        while True:
            value: Any = None
            try:
                value = self.see(expression)
            except AssertionError:
                if time.monotonic() > end:
                    raise
            if value:
                return value
            assert time.monotonic() < end, f"never became true: {expression}"
            time.sleep(0.05)

    def press(self, *keys: str) -> None:
        """Press and release keys, one after the other."""
        for key in keys:
            text = {"Enter": "\r", " ": " "}.get(key, "")
            named = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": _KEYS[key]}
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **named)
            self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def tab_to(self, selector: str, *, most: int = 60) -> None:
        """Press Tab until the focus is on the element."""
        for _ in range(most):
            if self.see(f"document.activeElement.matches({json.dumps(selector)})"):
                return
            self.press("Tab")
        raise AssertionError(f"Tab never came to {selector}")

    def findings(self) -> list[str]:
        """What axe-core finds serious or critical, as ``rule: elements``."""
        if not AXE.is_file():
            tools.need("axe-core")
        self.see(f"{AXE.read_text(encoding='utf-8')}; 0")
        found = self.see("axe.run(document, {resultTypes: ['violations']}).then(one => one.violations)")
        return [
            f"{one['id']}: {[(node['target'], node['failureSummary']) for node in one['nodes'][:5]]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

    def picture(self, *, whole: bool = False) -> bytes:
        """A PNG of what is seen, or of the whole page."""
        told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(told["data"])
