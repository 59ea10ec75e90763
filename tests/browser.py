"""Chromium without a window, for tests of the site: told what to do by its DevTools protocol."""

import json
import os
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 30  # that a page or a condition may take


def found() -> str | None:
    """The browser of this machine: $BROWSER_BINARY, or the first of its usual names."""
    named = os.environ.get("BROWSER_BINARY")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A running browser with one tab.

    Args:
        folder: an empty one, for its profile.
    """

    def __init__(self, folder: Path):
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        options += ["--no-first-run", "--hide-scrollbars", "--remote-debugging-port=0"]
        options += ["--disable-features=BackForwardCache"]  # a page that was left is ended
        command = [found(), *options, f"--user-data-dir={folder}", "about:blank"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, **quiet)
        try:
            self._connect(folder / "DevToolsActivePort")
        except BaseException:
            self.end()
            raise

    def _connect(self, says_port: Path) -> None:
        """Take the tab, once the browser has said on which port it listens."""
        until(lambda: says_port.is_file() and says_port.read_text().count("\n") > 0)
        port = says_port.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            (tab,) = [target for target in json.load(answer) if target["type"] == "page"]
        self.socket = websocket.create_connection(
            tab["webSocketDebuggerUrl"], suppress_origin=True, timeout=SECONDS
        )
        self.calls, self.events = 0, []
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def close(self) -> None:
        """End the browser."""
        self.socket.close()
        self.end()

    def end(self) -> None:
        """End its process, which may take a while to write its profile; then it is killed."""
        self.process.terminate()
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def send(self, method: str, **parameters) -> dict:
        """The answer to a command of the protocol; events that come before it are kept."""
        self.calls += 1
        self.socket.send(json.dumps({"id": self.calls, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.calls:
                assert "error" not in message, (method, message)
                return message["result"]
            self.events.append(message)

    def size(self, width: int, height: int = 900) -> None:
        """Show pages in a window of so many pixels."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def scheme(self, name: str) -> None:
        """Prefer the colours "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.send("Emulation.setEmulatedMedia", features=features)

    def open(self, address: str) -> None:
        """Load a page, and forget what pages before it did."""
        self.events.clear()
        self.send("Page.navigate", url=address)
        self.wait("Page.loadEventFired")

    def wait(self, event: str) -> None:
        """Wait until something has happened since events were last forgotten."""
        while not any(one["method"] == event for one in self.events):
            self.events.append(json.loads(self.socket.recv()))

    def __call__(self, expression: str):
        """The value of an expression of JavaScript.

        Raises: AssertionError if it throws.
        """
        result = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, (expression, result["exceptionDetails"])
        return result["result"].get("value")

    def complaints(self) -> list[str]:
        """What the page wrote as errors or warnings, and what it did not find."""
        self("0")  # fetches the events before it
        found = []
        for event in self.events:
            said = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                found.append(said["exceptionDetails"].get("exception", {}).get("description"))
            elif event["method"] == "Runtime.consoleAPICalled":
                if said["type"] in ("error", "warning", "assert"):
                    found.append(" ".join(str(one.get("value")) for one in said["args"]))
            elif event["method"] == "Log.entryAdded" and said["entry"]["level"] == "error":
                found.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
        return found


def until(is_true, seconds: float = SECONDS) -> None:
    """Wait for a condition.

    Raises: TimeoutError if it stays false.
    """
    end = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s")
        time.sleep(0.02)
