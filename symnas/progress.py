"""What a running search shows: the best so far, the time left, failures, workers."""

from __future__ import annotations

import sys
import time
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from symnas.result import Result
from symnas.trial import FAILED, PENDING

_REFRESH = 0.25  # Seconds between two updates of a terminal or a notebook.
_LINES = 10.0  # Seconds between two plain lines.
_LONGEST = 60  # Characters of a decision.
_MOST_WORKERS = 16  # That have a line of their own.
_BLOCKS = "▁▂▃▄▅▆▇█"
_SPARKS = 32  # Characters of the sparkline.


class _News(NamedTuple):
    """What the display says of the trials, as of its last look at them."""

    ended: int
    counts: str
    best: str
    curve: str
    failure: str


class Progress:
    """The display of a search: live on a terminal or in a notebook, plain lines elsewhere.

    Args:
      result: of the search, growing.
      num_examples: how many trials there will be, if that is known.
      mode: true for that, 'log' for plain lines everywhere, false for nothing.
    """

    def __init__(
        self,
        result: Result,
        num_examples: int | None,
        mode: bool | Literal["log"],
        console: Console | None = None,
    ) -> None:
        if mode not in (True, False, "log"):
            raise ValueError(f"`progress` must be true, false or 'log', got {mode!r}.")
        self._result = result
        self._total = num_examples
        self._console = console or Console(file=sys.stderr)
        self._mode = mode
        self._live: Live | None = None
        self._notebook: Any = None
        self._over = False
        self._start = self._shown = time.perf_counter()
        self._known = self._num_ended()
        # By trial: its worker, and when it began here.
        self._running: dict[int, tuple[int, float]] = {}
        self._workers: dict[int, list[int]] = {}  # How many ended, and failed, on each.
        self._news = self._look()

    def __enter__(self) -> Self:
        if self._mode is True and self._console.is_jupyter:
            from IPython.display import display

            self._notebook = display(self._view(), display_id=True)
        elif self._mode is True and self._console.is_terminal:
            # Its thread draws what the last look has found, and lets the clock go on.
            self._live = Live(
                get_renderable=self._view, console=self._console, transient=True
            )
            self._live.start()
        return self

    def began(self, trial_id: int, worker: int = 0) -> None:
        """Called when an evaluation begins on one of the workers, numbered from 0."""
        if self._mode:
            self._running[trial_id] = worker, time.perf_counter()

    def ended(self, trial_id: int) -> None:
        """Called after each trial; looks at the study only now and then."""
        if not self._mode:
            return
        worker, _ = self._running.pop(trial_id, (0, 0.0))
        counts = self._workers.setdefault(worker, [0, 0])
        counts[0] += 1
        counts[1] += self._result._record.status(trial_id) == FAILED
        live = self._live is not None or self._notebook is not None
        now = time.perf_counter()
        if now - self._shown < (_REFRESH if live else _LINES):
            return
        proposed = len(self._result.trials)
        if not self._running and self._total is not None and proposed >= self._total:
            return  # The end is shown by `__exit__`.
        self._shown = now
        self._news = self._look()
        if self._notebook is not None:
            self._notebook.update(self._view())
        elif not live:
            self._print(self._line())

    def __exit__(self, *error: object) -> None:
        self._over = True
        self._running.clear()
        if self._live is not None:
            self._live.stop()
        if not self._mode:
            return
        self._news = self._look()
        if self._notebook is not None:
            self._notebook.update(self._view())
        else:
            self._print(self._line())
        if self._result.num_failed and not self._result.num_completed:
            self._print(f"No trial was completed. {self._result._why_none()}")

    def _print(self, text: str) -> None:
        # Values and messages of users are no markup of ours.
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    # --- what is said of the trials -------------------------------------------------------

    def _num_ended(self) -> int:
        return len(self._result.trials) - self._result._record.count(PENDING)

    def _look(self) -> _News:
        result = self._result
        ended = self._num_ended()
        total = "" if self._total is None else f"/{self._total}"
        counts, best, decisions, curve = f"{ended}{total} trials", "", "", ""
        failed = result.num_failed
        if failed:
            counts += f", {failed} failed"
        if len(result.objectives) > 1:
            counts += f", {len(result.pareto_front())} on the Pareto front"
        elif result.num_completed:
            trial = result.best
            best = f"best {trial.reward:.4g} (trial {trial.id})"
            decisions = ", ".join(
                f"{key} = {short(value)}" for key, value in trial.decisions.items()
            )
            if not self._console.options.ascii_only:
                curve = sparkline(result._record.rewards()[:, 0])
            counts += f", {best}"
        return _News(ended, counts, decisions, curve, self._last_failure(failed))

    def _last_failure(self, failed: int) -> str:
        if failed:
            for trial in reversed(self._result.trials[-50:]):
                if trial.status == "failed" and trial.error:
                    error = trial.error.splitlines()[-1]
                    return f"last failure, trial {trial.id}: {error}"
        return ""

    # --- what is drawn --------------------------------------------------------------------

    def _line(self) -> str:
        """One line: counts, best, speed."""
        seconds = time.perf_counter() - self._start
        parts = [self._news.counts]
        if running := len(self._running):
            parts.append(f"{running} running")
        done = self._news.ended - self._known  # Since this process began.
        if done > 0 and seconds > 0:
            parts.append(f"{done / seconds:.3g} trials/s")
        parts.append(f"{_duration(seconds)} elapsed")
        if done > 0 and self._total is not None and not self._over:
            left = seconds / done * max(self._total - self._news.ended, 0)
            parts.append(f"{_duration(left)} left")
        return ", ".join(parts)

    def _view(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row(Text(self._line()))
        for label, text in (("", self._news.curve), ("best: ", self._news.best)):
            if text:
                table.add_row(Text(label + text, overflow="ellipsis", no_wrap=True))
        for line in self._worker_lines():
            table.add_row(Text(line, style="dim", no_wrap=True))
        if self._news.failure:
            table.add_row(Text(self._news.failure, style="red", no_wrap=True))
        return table

    def _worker_lines(self) -> list[str]:
        """What each of several workers has done, and does."""
        # Copies: this may run in the thread that draws.
        running = {w: (i, t) for i, (w, t) in self._running.copy().items()}
        counts = self._workers.copy()
        workers = sorted(running.keys() | counts.keys())
        if len(workers) < 2:
            return []
        lines, now = [], time.perf_counter()
        for worker in workers[:_MOST_WORKERS]:
            ended, failed = counts.get(worker, (0, 0))
            line = f"worker {worker + 1}: {ended} done"
            line += f", {failed} failed" if failed else ""
            if worker in running:
                trial_id, begun = running[worker]
                line += f", trial {trial_id} for {_duration(now - begun)}"
            lines.append(line)
        more = len(workers) - _MOST_WORKERS
        return [*lines, f"and {more} more workers"] if more > 0 else lines


def sparkline(rewards: NDArray[np.float64]) -> str:
    """The best reward so far over the trials, in a few characters.

    Args:
      rewards: (n,), maximised, NaN for trials without one.

    Example:

    >>> sparkline(np.array([0.0, np.nan, 1.0, 0.5, 2.0]))
    '▁▁▄▄█'
    """
    best = np.maximum.accumulate(np.where(np.isnan(rewards), -np.inf, rewards))
    best = best[np.isfinite(best)]
    if not len(best):
        return ""
    points = np.linspace(0, len(best) - 1, min(len(best), _SPARKS)).round().astype(int)
    shown = best[points]
    span = shown[-1] - shown[0]
    heights = (shown - shown[0]) / span if span > 0 else np.zeros(len(shown))
    return "".join(_BLOCKS[int(height * (len(_BLOCKS) - 1))] for height in heights)


def results_table(result: Result, n: int = 5) -> Table:
    """The best trials with their decisions; the Pareto front with several objectives."""
    several = len(result.objectives) > 1
    trials = result.pareto_front()[:n] if several else result.top(n)
    title = f"{len(result.trials)} trials, {result.num_failed} failed"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("trial", justify="right")
    for name in result.objectives:
        table.add_column(name, justify="right")
    table.add_column("decisions", overflow="fold")
    for trial in trials:
        decisions = ", ".join(f"{k}={short(v)}" for k, v in trial.decisions.items())
        rewards = [f"{reward:.4f}" for reward in trial.rewards]
        table.add_row(str(trial.id), *rewards, Text(decisions))
    return table


def short(value: Any) -> str:
    """A decision in few characters."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"
