"""A real browser, and studies to be reported."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import symnas as sn

EVIL = "<script>alert(1)</script>"


class Tab:
    """A tab of a headless browser: what a page does, and what it complains about.

    Attributes:
      complaints: messages on the console, errors, and what the page was forbidden to do.
      requests: addresses that it asked for, other than its own and data within it.
    """

    def __init__(self) -> None:
        from choreographer import Browser

        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._browser = Browser(headless=True)
        self._thread.start()
        self._run(self._begin())

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(120)

    async def _begin(self) -> None:
        await self._browser.open()
        self._tab = await self._browser.create_tab("")
        for event in (
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Log.entryAdded",
            "Page.javascriptDialogOpening",
        ):
            self._tab.subscribe(event, self._complain)
        self._tab.subscribe("Network.requestWillBeSent", self._requested)
        for domain in ("Runtime", "Log", "Page", "Network"):
            await self._tab.send_command(f"{domain}.enable")

    async def _complain(self, message: Any) -> None:
        self.complaints.append(str(message))

    async def _requested(self, message: Any) -> None:
        url = message["params"]["request"]["url"]
        if url != self._url and not url.startswith(("data:", "blob:")):
            self.requests.append(url)

    def send(self, command: str, **params: Any) -> Any:
        answer = self._run(self._tab.send_command(command, params=params))
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, path: Path, width: int = 1280, scheme: str = "light") -> None:
        """Opens a page and waits until its figures are drawn."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 700,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.send("Emulation.setEmulatedMedia", features=[feature])
        self.send("Page.navigate", url="about:blank")
        self.complaints.clear()
        self.requests.clear()
        self._url = path.as_uri()
        self.send("Page.navigate", url=self._url)
        self.wait("document.documentElement?.dataset.drawn")

    def wait(self, condition: str) -> None:
        deadline = time.monotonic() + 60
        while not self.value(condition):
            assert time.monotonic() < deadline, f"{condition} never came true"
            time.sleep(0.05)

    def value(self, code: str) -> Any:
        """The value of JavaScript in the page."""
        found = self.send(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def close(self) -> None:
        self._run(self._browser.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="session")
def tab() -> Iterator[Tab]:
    choreographer = pytest.importorskip("choreographer")
    try:
        tab = Tab()
    except choreographer.errors.ChromeNotFoundError:
        pytest.skip("there is no Chrome or Chromium to open reports with")
    yield tab
    tab.close()


@pytest.fixture(scope="session")
def hostile() -> sn.Result:
    """A study of which every text tries to be code."""
    names = [
        EVIL,
        "<img src=http://example.invalid/a.png onerror=alert(2)>",
        "<a href=javascript:alert(3)>x</a>",
        "</script><script>alert(4)</script>",
        "{{ 7 * 7 }} %{x} \udcff\u2028\x00",
    ]
    choices = [EVIL, "<b>bold</b>", "\"'><svg onload=alert(5)>", "&lt;i&gt;"]
    space = [
        sn.oneof(choices, name=names[0]),
        sn.floatv(0.0, 1.0, name=names[1]),
        sn.intv(1, 9, name=names[2]),
        sn.oneof([1, 2], name=names[3]),
        sn.oneof([1, 2], name=names[4]),
    ]
    study = None
    for example, feedback in sn.sample(space, "random", 60, seed=0, objectives=[EVIL]):
        study = feedback._study
        if example[2] == 3:
            feedback.fail(ValueError(f"</pre>{EVIL}{names[1]}"))
            continue
        feedback.add_measurement(example[1], metrics={"<b>": 1.0})
        feedback(example[2] + example[1], metadata={EVIL: EVIL})
    return sn.Result(study)
