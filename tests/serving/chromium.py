"""Chromium without a window, driven through a pipe by its DevTools protocol: no driver and no library is needed."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from urllib.parse import urlencode
from urllib.request import Request, urlopen

BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_QUIET = ("no-first-run", "disable-quic", "disable-background-networking", "disable-component-update", "disable-sync")


class Tab:
    """A browser with one tab.

    Attributes:
        problems: exceptions, errors on the console and refusals of the Content-Security-Policy so far.
        requests: URLs that the tab asked for.

    Example:
        >>> with Tab() as tab:
        ...     tab.open("http://localhost:8501/")
        ...     tab.until("document.querySelector('h1')")
    """

    def __init__(self):
        self.problems, self.requests = [], []
        self._number, self._session, self._rest = 0, None, b""
        self._folder = tempfile.TemporaryDirectory(prefix="chromium", ignore_cleanup_errors=True)
        theirs, self._to = os.pipe()
        self._from, theirs_too = os.pipe()
        high = [os.dup(os.dup(fd)) for fd in (theirs, theirs_too)]  # above 4, so that neither is overwritten

        def place():
            for at, fd in enumerate(high, 3):
                os.dup2(fd, at)

        flags = [f"--{each}" for each in (*_QUIET, "headless", "no-sandbox", "disable-gpu", "remote-debugging-pipe")]
        self._process = subprocess.Popen(
            [BINARY, *flags, f"--user-data-dir={self._folder.name}", "about:blank"],
            preexec_fn=place,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in (theirs, theirs_too):
            os.close(fd)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(20)
        self._folder.cleanup()

    def call(self, method: str, **parameters) -> dict:
        """Sends a command and returns its result; events that come before it are noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            self._note(answer)

    def _next(self):
        while b"\0" not in self._rest:
            more = os.read(self._from, 1 << 16)
            assert more, "Chromium has ended"
            self._rest += more
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event):
        given = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(given["exceptionDetails"])
        elif event.get("method") == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning"):
            self.problems.append(given["args"])
        elif event.get("method") == "Log.entryAdded" and given["entry"]["source"] != "network":
            self.problems.append(given["entry"]["text"])
        elif event.get("method") == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])

    def open(self, url: str) -> None:
        self.call("Page.navigate", url="about:blank")  # else a change of the fragment alone would load nothing
        self.call("Page.navigate", url=url)
        self.until("document.readyState == 'complete' && location.href != 'about:blank'")

    def run(self, script: str):
        """The value of a JavaScript expression in the tab, awaited if it is a promise."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, condition: str, seconds: float = 30):
        """Waits until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, f"still false: {condition}\n{self.run('document.body.innerText')}"
            time.sleep(0.05)

    def key(self, key: str, code: int, modifiers: int = 0, text: str = "") -> None:
        """Presses a key; `modifiers`: 1 Alt, 2 Ctrl, 8 Shift."""
        given = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **given)
        self.call("Input.dispatchKeyEvent", type="keyUp", **given)

    def look(self, width: int, dark: bool, height: int = 800) -> None:
        """Sets the width of the screen and its colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path) -> None:
        """Writes a PNG of the whole page."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))


def ask(server, model, **body):
    data = json.dumps(body).encode()
    return json.load(urlopen(Request(f"{server}v1/models/{model}:predict", data), timeout=60))


def deep(tab, server, **given):
    """Opens a link that sends its request, and waits for the answer."""
    tab.open(f"{server}#{urlencode({**given, 'run': 1})}")
    tab.until("document.querySelector('.answer:not([hidden]):not([aria-busy])')")


def texts(tab, selector):
    return tab.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent)")


def check_clean(tab, server):
    """Nothing was refused or raised, nothing asked of another host, nothing is wider than the screen."""
    problems, tab.problems = tab.problems, []
    assert not problems
    assert {url for url in tab.requests if not url.startswith((server, "data:", "about:"))} == set()
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")


CONTRAST = """(() => {
  const scratch = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const rgb = (layers) => {
    scratch.clearRect(0, 0, 1, 1);
    for (const layer of layers) { scratch.fillStyle = layer; scratch.fillRect(0, 0, 1, 1); }
    return [...scratch.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => colour.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const poor = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  for (let node; (node = walk.nextNode());) {
    const element = node.parentElement, style = getComputedStyle(element);
    if (!node.data.trim() || !element.checkVisibility() || element.closest('.offscreen, option')) continue;
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.unshift(getComputedStyle(e).backgroundColor);
    const paper = light(rgb(['#fff', ...layers])), ink = light(rgb(['#fff', ...layers, style.color]));
    const contrast = (Math.max(paper, ink) + 0.05) / (Math.min(paper, ink) + 0.05);
    count += 1;
    if (contrast < 4.5) poor.push([node.data.slice(0, 40), element.className, contrast.toFixed(2)]);
  }
  return [count, poor];
})()"""
