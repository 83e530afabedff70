"""A page as headless Chromium shows it: what it measures, what it asks for, and a picture of it."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MISSING = (
    "no Chromium here (looked for " + ", ".join(NAMES) + "): install it, as with 'apt install chromium', "
    "or let CHROMIUM name the program"
)
# On a phone a page that is too wide is zoomed out, and window.innerWidth grows: the width asked for is what counts.
_MEASURE = """(width => {
  const root = document.documentElement, images = [...document.images];
  const clipped = e => e && (e.matches('.scroll, pre') || clipped(e.parentElement));
  return {
    title: document.title, inner: window.innerWidth, scroll: root.scrollWidth, height: root.scrollHeight,
    images: images.length,
    broken: images.filter(i => !i.complete || !i.naturalWidth).map(i => i.alt),
    tiny: images.filter(i => i.clientWidth < 12 && i.checkVisibility()).map(i => i.alt),
    outside: [...document.querySelectorAll('body *')].filter(e => !clipped(e) && e.checkVisibility()
      && e.getBoundingClientRect().right > width + 1).map(e => e.tagName + '.' + e.className).slice(0, 5),
  };
})(%d)"""


@dataclass
class Look:
    """What the browser says about a page at one width (pixels)."""

    width: int
    measures: dict[str, Any] = field(default_factory=dict)
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def find_chromium() -> str | None:
    """The browser's program, or None."""
    return next(
        (path for name in (os.environ.get("CHROMIUM") or "", *NAMES) if name and (path := shutil.which(name))), None
    )


@contextmanager
def chromium() -> Iterator[Chromium]:
    """A headless browser with a profile that nothing shares, ended when done."""
    program = find_chromium()
    assert program, MISSING
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Chromium(program, profile)
        try:
            yield browser
        finally:
            browser.close()


class Chromium:
    """Chromium's DevTools protocol over a pair of pipes: JSON messages that end with a zero byte."""

    def __init__(self, program: str, profile: str) -> None:
        read_theirs, self._out = os.pipe()
        self._in, write_theirs = os.pipe()
        command = [
            program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--disable-gpu",
            "--hide-scrollbars", "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else []), "about:blank",
        ]  # fmt: skip
        # The browser expects the pipes as descriptors 3 and 4; they are moved away first, lest one covers the other.
        shell = f'exec 10<&{read_theirs} 11>&{write_theirs}; exec "$@" 3<&10 4>&11 10<&- 11>&-'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command], pass_fds=(read_theirs, write_theirs),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read_theirs)
        os.close(write_theirs)
        self._buffer, self._number = b"", 0
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.page(f"{domain}.enable")

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events on the way are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def page(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command to the page."""
        return self.call(method, self._session, **parameters)

    def look(self, page: Path, width: int, picture: Path, dark: bool = False) -> Look:
        """Open a page at a width as a device of that width would, measure it, and write a PNG of all of it."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.page("Emulation.setEmulatedMedia", features=[scheme])
        self.page(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self.events.clear()
        self.page("Page.navigate", url=page.resolve().as_uri())
        self._wait("Page.loadEventFired")
        answer = self.page("Runtime.evaluate", expression=_MEASURE % width, returnByValue=True)
        look = Look(width, answer["result"]["value"])
        for event in self.events:
            method, what = event.get("method"), event.get("params", {})
            if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                look.console.append(json.dumps(what)[:500])
            if method == "Network.requestWillBeSent":
                look.requests.append(what["request"]["url"][:200])
        shot = self.page("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        picture.write_bytes(base64.b64decode(shot["data"]))
        return look

    def close(self) -> None:
        """End the browser."""
        os.close(self._out)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)

    def _wait(self, method: str) -> None:
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._next())

    def _next(self, seconds: float = 60) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError(f"Chromium said nothing for {seconds:.0f} seconds")
            part = os.read(self._in, 1 << 20)
            if not part:
                raise RuntimeError("Chromium ended")
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)


if __name__ == "__main__":
    sys.exit(None if find_chromium() else f"error: {MISSING}")
