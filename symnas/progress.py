"""What a running search shows: the best so far, the time left, failures."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from symnas.result import Result

_REFRESH = 0.25  # Seconds between two updates of a terminal.
_LINES = 10.0  # Seconds between two plain lines.
_LONGEST = 60  # Characters of a decision.


class Progress:
    """The display of a search: live on a terminal, plain lines elsewhere."""

    def __init__(
        self,
        result: Result,
        num_examples: int | None,
        enabled: bool,
        console: Console | None = None,
    ) -> None:
        self._result = result
        self._total = num_examples
        self._console = console or Console(file=sys.stderr)
        self._enabled = enabled
        self._live: Live | None = None
        self._start = self._shown = time.perf_counter()

    def __enter__(self) -> Self:
        if self._enabled and self._console.is_terminal:
            self._live = Live(
                self._view(), console=self._console, auto_refresh=False, transient=True
            )
            self._live.start()
        return self

    def update(self) -> None:
        """Called after each trial; draws only now and then."""
        last = self._total is not None and len(self._result.trials) >= self._total
        if not self._enabled or last:  # The end is shown by `__exit__`.
            return
        now = time.perf_counter()
        if now - self._shown < (_REFRESH if self._live is not None else _LINES):
            return
        self._shown = now
        if self._live is not None:
            self._live.update(self._view(), refresh=True)
        else:
            self._print(self._line())

    def _print(self, text: str) -> None:
        # Values and messages of users are no markup of ours.
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
        if self._enabled:
            self._print(self._line())
            failed = self._result.num_failed
            if failed and not self._result.num_completed:
                self._print(f"No trial was completed. {self._result._why_none()}")

    def _line(self) -> str:
        """One line: counts, best, speed."""
        result, seconds = self._result, time.perf_counter() - self._start
        done = len(result.trials)
        total = "" if self._total is None else f"/{self._total}"
        parts = [f"{done}{total} trials"]
        if result.num_failed:
            parts.append(f"{result.num_failed} failed")
        if len(result.objectives) > 1:
            parts.append(f"{len(result.pareto_front())} on the Pareto front")
        elif result.num_completed:
            best = result.best
            parts.append(f"best {best.reward:.4g} (trial {best.id})")
        parts.append(f"{_duration(seconds)} elapsed")
        if self._total and 0 < done < self._total and result.why_stopped is None:
            parts.append(f"{_duration(seconds / done * (self._total - done))} left")
        return ", ".join(parts)

    def _view(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row(Text(self._line()))
        if len(self._result.objectives) == 1 and self._result.num_completed:
            decisions = self._result.best.decisions
            text = ", ".join(
                f"{key} = {short(value)}" for key, value in decisions.items()
            )
            table.add_row(Text(f"best: {text}", overflow="ellipsis", no_wrap=True))
        if self._result.num_failed:
            table.add_row(Text(self._last_error(), style="red", no_wrap=True))
        return table

    def _last_error(self) -> str:
        for trial in reversed(self._result.trials[-50:]):
            if trial.status == "failed" and trial.error:
                return f"last failure, trial {trial.id}: {trial.error.splitlines()[-1]}"
        return ""


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
