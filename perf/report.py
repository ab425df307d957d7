"""How long a report takes to make and to open, and how large it is."""

from __future__ import annotations

import asyncio
import math
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import report, seconds

import symnas as sn

# Figures are drawn one after the other, those on the screen first.
_DRAWN = (
    "document.getElementById('progress')?.scrollIntoView(),"
    "document.querySelectorAll('[data-drawn]').length > 0"
)
_PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
WIDTHS = {"1280 px": 1280, "390 px": 390}
SIZES = (100, 10_000, 100_000)


def study(num_trials: int) -> sn.Result:
    """Six choices, a rate, a little noise, one of a hundred trials failed."""
    space: dict[str, Any] = {
        f"op{i}": sn.oneof(["conv", "pool", "skip", "none", "sep"]) for i in range(6)
    }
    space["rate"] = sn.floatv(1e-4, 1e-1, "log")
    rng = random.Random(0)
    samples = sn.sample(space, "regularized_evolution", num_trials, seed=0)
    for example, feedback in samples:
        if rng.random() < 0.01:
            feedback.fail("out of luck")
            continue
        reward = -abs(math.log10(example["rate"]) + 3) + rng.gauss(0.0, 0.1)
        for step in range(1, 4):
            chosen = sum((example[f"op{i}"] == "conv") * (i + 1) for i in range(6))
            feedback.add_measurement(reward + chosen * step / 3, step=step)
        feedback.done()
    return sn.Result(feedback._study)


async def opening(path: Path, width: int) -> tuple[float, float, float]:
    """Seconds until something is seen and the first figure is; those of the processor."""
    from choreographer import Browser

    async with Browser(headless=True) as browser:
        tab = await browser.create_tab("")

        async def value(code: str) -> Any:
            params = {"expression": code, "returnByValue": True}
            answer = await tab.send_command("Runtime.evaluate", params)
            return answer["result"]["result"].get("value")

        async def processor() -> dict[int, float]:
            answer = await browser.send_command("SystemInfo.getProcessInfo")
            processes = answer["result"]["processInfo"]
            return {p["id"]: p["cpuTime"] for p in processes if p["type"] == "renderer"}

        size = {"width": width, "height": 900, "deviceScaleFactor": 1}
        await tab.send_command(
            "Emulation.setDeviceMetricsOverride", {**size, "mobile": width < 700}
        )
        used, begun = await processor(), time.perf_counter()
        await tab.send_command("Page.navigate", {"url": path.as_uri()})
        while not await value(_DRAWN):
            await asyncio.sleep(0.05)
        drawn = time.perf_counter() - begun
        while not (painted := await value(_PAINTED)):
            await asyncio.sleep(0.05)
        # The browser keeps others, for its own pages.
        by_process = {i: t - used.get(i, 0.0) for i, t in (await processor()).items()}
        return painted / 1000, drawn, max(by_process.values())


def main() -> None:
    sizes = SIZES[:2] if "--quick" in sys.argv else SIZES
    made, opened = [], []
    with tempfile.TemporaryDirectory() as folder:
        study(100).report(Path(folder) / "first.html")  # Imports plotly and others.
        for size in sizes:
            result, path = study(size), Path(folder) / f"{size}.html"
            used = time.process_time()
            took = seconds(lambda result=result, path=path: result.report(path))
            used = time.process_time() - used
            made.append([f"{size:,}", took, used, path.stat().st_size / 1e6])
            for name, width in WIDTHS.items():
                opened.append([f"{size:,}", name, *asyncio.run(opening(path, width))])
    columns = ["trials", "seconds", "of the processor", "MB"]
    report("Making a report of trials with learning curves", columns, made)
    columns = [
        "trials",
        "screen",
        "first seen, s",
        "first figure, s",
        "of the processor",
    ]
    report("Opening it in headless Chromium", columns, opened)


if __name__ == "__main__":
    main()
