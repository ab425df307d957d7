"""A real browser, and studies to be reported."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import symnas as sn

EVIL = "<script>alert(1)</script>"


class Browser:
    """A headless browser, driven from tests that know nothing of coroutines."""

    def __init__(self) -> None:
        from choreographer import Browser

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._browser = Browser(headless=True)
        self._thread.start()
        self.run(self._browser.open())

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(120)

    def new_tab(self) -> Any:
        return self.run(self._browser.create_tab(""))

    def close(self) -> None:
        self.run(self._browser.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Page:
    """A page in a tab of its own: what it shows, asks for and complains about.

    Attributes:
      complaints: messages on the console, errors, dialogs.
      requests: addresses that it asked for, other than its own and data within it.
      refused: those of them that its own policy did not let through.
    """

    def __init__(
        self, browser: Browser, path: Path, width: int = 1280, scheme: str = "light"
    ) -> None:
        self.complaints: list[str] = []
        self.requests: dict[str, str] = {}
        self.refused: list[str] = []
        self._browser, self._url = browser, path.as_uri()
        self._tab = browser.new_tab()
        for event, listener in {
            "Runtime.consoleAPICalled": self._complain,
            "Runtime.exceptionThrown": self._complain,
            "Log.entryAdded": self._complain,
            "Page.javascriptDialogOpening": self._complain,
            "Network.requestWillBeSent": self._requested,
            "Network.loadingFailed": self._failed,
        }.items():
            browser.run(self._subscribe(event, listener))
        for domain in ("Runtime", "Log", "Page", "Network"):
            self.send(f"{domain}.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 700,
        )
        self.prefer(scheme)
        self.send("Page.navigate", url=self._url)
        self.wait("document.readyState === 'complete' && typeof Plotly !== 'undefined'")

    async def _subscribe(self, event: str, listener: Any) -> None:
        self._tab.subscribe(event, listener)

    async def _complain(self, message: Any) -> None:
        self.complaints.append(str(message))

    async def _requested(self, message: Any) -> None:
        url = message["params"]["request"]["url"]
        if url != self._url and not url.startswith(("data:", "blob:")):
            self.requests[message["params"]["requestId"]] = url

    async def _failed(self, message: Any) -> None:
        if message["params"].get("blockedReason") == "csp":
            self.refused.append(self.requests.pop(message["params"]["requestId"]))

    def send(self, command: str, **params: Any) -> Any:
        answer = self._browser.run(self._tab.send_command(command, params=params))
        assert "error" not in answer, answer
        return answer["result"]

    def prefer(self, scheme: str) -> None:
        """Sets what the system prefers, 'light' or 'dark'."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.send("Emulation.setEmulatedMedia", features=[feature])

    def draw_all(self) -> None:
        """Has all figures drawn at once, as before printing."""
        self.value("window.dispatchEvent(new Event('beforeprint'))")
        self.wait("!document.querySelector('[data-figure]:not([data-drawn])')")

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

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements that fit."""
        found = f"document.querySelectorAll({selector!r})"
        texts: list[str] = self.value(f"Array.from({found}, e => e.textContent)")
        return texts

    def close(self) -> None:
        self.send("Page.close")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    choreographer = pytest.importorskip("choreographer")
    try:
        browser = Browser()
    except choreographer.errors.ChromeNotFoundError:
        pytest.skip("there is no Chrome or Chromium to open reports with")
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def opened(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Page]]:
    """Opens the report of a study, and checks what is true of each."""
    pages: list[Page] = []
    written: list[tuple[sn.Result, Path]] = []

    def open_report(
        result: sn.Result, width: int = 1280, scheme: str = "light", whole: bool = True
    ) -> Page:
        path = next((path for other, path in written if other is result), None)
        if path is None:
            path = tmp_path_factory.mktemp("report") / "report.html"
            result.report(path)
            written.append((result, path))
        pages.append(Page(browser, path, width, scheme))
        if whole:
            pages[-1].draw_all()
        assert pages[-1].complaints == []
        assert pages[-1].requests == {}
        assert pages[-1].value("document.documentElement.scrollWidth <= innerWidth")
        return pages[-1]

    yield open_report
    for page in pages:
        page.close()


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
    choices = [EVIL, "<b>fat</b>", "\"'><svg onload=alert(5)>", "&lt;i&gt;"]
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
