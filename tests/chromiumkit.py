"""A headless Chromium, spoken to by the DevTools protocol over a pipe.

It has no network but 127.0.0.1.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions"),
    *("--hide-scrollbars", "--remote-debugging-pipe"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
#: Events by which a page complains, or asks for something.
COMPLAINTS = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
REQUEST = "Network.requestWillBeSent"
TEXT = "document.body.innerText"
quoted = json.dumps  # as JavaScript has it


class Chromium:
    """One tab. ``complaints``: errors and console messages of the pages; ``requests``: what they
    asked for, other than themselves and what they hold."""

    def __init__(self, to: int, answers: int) -> None:
        self._to, self._answers = os.fdopen(to, "wb", 0), os.fdopen(answers, "rb", 0)
        self._rest, self._number = b"", 0
        self._events: list[dict[str, Any]] = []
        self._session: str | None = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def open(self, page: Path | str, width: int = 1200, height: int = 900) -> None:
        """``page``: a file, or an address."""
        self.size(width, height)
        url = page.as_uri() if isinstance(page, Path) else page
        self._events.clear()
        if url.partition("#")[0] == self.evaluate("location.href.split('#')[0]"):
            self.evaluate(f"history.replaceState(null, '', {quoted(url)}); location.reload()")
        else:
            assert "errorText" not in self.send("Page.navigate", url=url)
        self._loaded()

    def reload(self) -> None:
        self._events.clear()
        self.send("Page.reload")
        self._loaded()

    def size(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)

    def _loaded(self) -> None:
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._events.append(self._next())

    def evaluate(self, expression: str) -> Any:
        """The value of an expression or, of a promise, what it is fulfilled with."""
        result = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, expression: str, seconds: float = 60.0) -> Any:
        """The value of an expression once it is true, or there is such a node."""
        end = time.monotonic() + seconds
        asked = f"(found => found instanceof Node || found)({expression})"
        while not (value := self.evaluate(asked)):
            assert time.monotonic() < end, f"never: {expression}\n{self.evaluate(TEXT)}"
            time.sleep(0.1)
        return value

    def click(self, selector: str) -> None:
        """As a mouse does, in the middle of the first element."""
        x, y = self.evaluate(
            f"(one => {{one.scrollIntoView({{block: 'center', behavior: 'instant'}});"
            "const {x, y, width, height} = one.getBoundingClientRect();"
            f"return [x + width / 2, y + height / 2]}})(document.querySelector({quoted(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """A key by its name, or one that writes itself."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def write(self, text: str) -> None:
        """At the focus, in place of what is selected."""
        self.send("Input.insertText", text=text)

    def choose(self, selector: str, *files: Path) -> None:
        """In a field for files."""
        found = self.send(
            "Runtime.evaluate", expression=f"document.querySelector({quoted(selector)})"
        )
        names = [str(file) for file in files]
        self.send("DOM.setFileInputFiles", files=names, objectId=found["result"]["objectId"])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))

    def picture(self, selector: str) -> np.ndarray:
        """The pixels [height, width, 3] of the first element."""
        box = self.evaluate(
            f"(({{x, y, width, height}}) => ({{x: x + scrollX, y: y + scrollY, width, height}}))"
            f"(document.querySelector({quoted(selector)}).getBoundingClientRect())"
        )
        shot = self.send(
            "Page.captureScreenshot", clip={**box, "scale": 1}, captureBeyondViewport=True
        )
        with av.open(BytesIO(base64.b64decode(shot["data"]))) as opened:
            (frame,) = opened.decode(video=0)
            return frame.to_ndarray(format="rgb24")

    @property
    def complaints(self) -> list[dict[str, Any]]:
        return [event for event in self._events if event["method"] in COMPLAINTS]

    @property
    def requests(self) -> list[str]:
        asked = [event["params"] for event in self._events if event["method"] == REQUEST]
        urls = [one["request"]["url"] for one in asked if one.get("type") != "Document"]
        return [url for url in urls if not url.startswith("data:")]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            read = self._answers.read(1 << 16)
            assert read, "Chromium has ended"
            self._rest += read
        message, self._rest = self._rest.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextmanager
def chromium(folder: Path, *options: str) -> Iterator[Chromium]:
    """``folder``: for its profile. Skips where it is not installed."""
    if shutil.which("chromium") is None:
        pytest.skip("no chromium: scripts/system_packages.sh tests")
    commands, to = os.pipe()
    answers, from_ = os.pipe()
    command = ["chromium", *OPTIONS, *options, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{from_}', "bash", *command],
        pass_fds=(commands, from_),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands)
    os.close(from_)
    browser = Chromium(to, answers)
    try:
        yield browser
    finally:
        browser.send("Browser.close")
        process.wait(30)
