"""A study as one HTML file, with everything in it that it needs."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Any

from symnas import plots
from symnas.importances import Importances, decision_importances
from symnas.plots import style
from symnas.plots.importance_bars import importance_bars
from symnas.progress import short
from symnas.reporting import summary
from symnas.reporting.failures import failures
from symnas.reporting.trial_table import trial_table
from symnas.storage.errors import StorageError

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from symnas.result import Result
    from symnas.trial import Trial

_MOST_DECISIONS = 60
_MOST_SLICES = 12
_MOST_REASONS = 50
_MOST_OBJECTIVES = 3
_PHONE = 350  # Pixels.


@dataclasses.dataclass
class Figure:
    """A figure of the page, or why there is none.

    Attributes:
      key: of its data, among those of all figures.
      said: what it shows, in words.
    """

    key: str
    said: str
    height: int = 0


@dataclasses.dataclass
class Winner:
    """A trial that is shown in full: why, and what it is."""

    title: str
    trial: Trial
    rewards: list[tuple[str, str]]
    decisions: list[tuple[str, str]]
    left_out: int
    code: str
    drawing: Figure | None


def write_report(result: Result, path: str | os.PathLike[str]) -> None:
    """Writes a page about a study that opens without a network, on a phone as well.

    Names, values and errors of the study are shown as text, whatever they contain, and
    the page forbids the browser to run or load anything but what is written here.
    """
    text = _Page(result).render()
    # A name may hold half of a surrogate pair, which no encoding has.
    with open(path, "w", encoding="utf-8", errors="replace", newline="\n") as file:
        file.write(text)


class _Page:
    """The parts of the page of one study."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.figures: dict[str, Any] = {}

    def render(self) -> str:
        import jinja2
        import plotly

        environment = jinja2.Environment(
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        template = environment.from_string(_text("report.html.jinja"))
        scripts = [plotly.offline.get_plotlyjs(), _text("report.js")]
        parts = self._parts()
        return template.render(
            **parts,
            style=_text("report.css"),
            scripts=scripts,
            hashes=[_hash(script) for script in scripts],
            data=_json({"figures": self.figures, "templates": _templates()}),
        )

    def _parts(self) -> dict[str, Any]:
        result = self.result
        importances = list(self._importances())
        order = self._order(importances)
        several = len(result.objectives) > 1
        table = trial_table(result, order)
        reasons = failures(result)
        return {
            "title": result.name or "Search",
            "created": summary.date_text(result.created),
            "headline": summary.headline(result),
            "verdict": summary.verdict(result),
            "why_stopped": result.why_stopped,
            "facts": summary.facts(result),
            "winners": list(self._winners()),
            "several": several,
            "progress": [
                self._figure("best_so_far", partial(plots.best_so_far, result)),
                self._figure("over_time", partial(plots.over_time, result)),
            ]
            if not several
            else [self._figure("pareto_front", partial(plots.pareto_front, result))],
            "importances": [
                self._figure(f"importance_{i}", partial(_bars, found))
                for i, found in enumerate(importances)
            ],
            "slices": [
                self._figure(f"slice_{i}", partial(_slice, result, name))
                for i, name in enumerate(order[:_MOST_SLICES])
            ]
            if result.num_completed
            else [],
            "slices_left": max(len(order) - _MOST_SLICES, 0),
            "parallel": self._figure(
                "parallel", partial(plots.parallel_coordinates, result, order or None)
            ),
            "curves": self._figure("curves", partial(plots.learning_curves, result)),
            "timeline": self._figure("timeline", partial(plots.timeline, result)),
            "table": table,
            "failures": reasons[:_MOST_REASONS],
            "reasons_left": max(len(reasons) - _MOST_REASONS, 0),
            "num_failed": result.num_failed,
            "environment": list(_environment(result)),
        }

    # --- figures ------------------------------------------------------------------------

    def _figure(self, key: str, draw: Callable[[], go.Figure]) -> Figure:
        """Keeps the data of a figure; what cannot be drawn says why."""
        try:
            figure = draw()
        except style.NothingToDraw as error:
            return Figure("", str(error))
        data = figure.to_dict()
        layout = data["layout"]
        layout.pop("template", None)  # The page has one for light and one for dark.
        layout.pop("width", None)
        title = layout.pop("title", {}).get("text", "")
        said = html.unescape(title.replace("<br>", " "))
        height = layout.get("height", 400)
        if title:
            # The page says it above the figure, so the figure needs no room for it.
            above = layout["margin"]["t"] - 36
            layout["margin"]["t"], height = 36, height - above
            layout["height"] = height
        self.figures[key] = data
        return Figure(key, said, height)

    def _importances(self) -> Iterator[Importances | str]:
        """Those of each objective, or why there are none."""
        for objective in self.result.objectives[:_MOST_OBJECTIVES]:
            try:
                yield decision_importances(self.result, objective)
            except ValueError as error:
                yield str(error)
                return  # The others would say the same.

    def _order(self, importances: Sequence[Importances | str]) -> list[str]:
        """All decisions that have several values, those that matter first."""
        names = {d.label: None for d in self.result.space.decisions if d.can_change}
        first = importances[0]
        if isinstance(first, Importances) and first.reliable:
            names = {**dict.fromkeys(first.shares), **names}
        return list(names)

    # --- the best -----------------------------------------------------------------------

    def _winners(self) -> Iterator[Winner]:
        """The best trial, or the best one by each objective."""
        result = self.result
        if not result.num_completed:
            return
        if len(result.objectives) == 1:
            yield self._winner("The best", result.best, 0)
            return
        front = result.pareto_front()
        signs = result._record.objectives.signs
        ends: dict[int, list[str]] = {}
        by_id = {trial.id: trial for trial in front}
        for i, name in enumerate(result.objectives[:_MOST_OBJECTIVES]):
            gains = [signs[i] * trial.rewards[i] for trial in front]
            best = front[gains.index(max(gains))]
            ends.setdefault(best.id, []).append(name)
        for number, (trial_id, names) in enumerate(ends.items()):
            title = f"The best by {' and '.join(names)}"
            yield self._winner(title, by_id[trial_id], number)

    def _winner(self, title: str, trial: Trial, number: int) -> Winner:
        rewards = [
            (name, f"{value:.6g}")
            for name, value in zip(self.result.objectives, trial.rewards, strict=True)
        ]
        decisions = [(name, short(value)) for name, value in trial.decisions.items()]
        return Winner(
            title,
            trial,
            rewards,
            decisions[:_MOST_DECISIONS],
            max(len(decisions) - _MOST_DECISIONS, 0),
            _code(self.result, trial),
            self._drawing(trial, number),
        )

    def _drawing(self, trial: Trial, number: int) -> Figure | None:
        """The architecture, wide and for a phone; None for what is no model."""
        try:
            example = self.result.model(trial)
        except StorageError:
            return Figure(
                "",
                "This report was made without the code of the space, so the model is not "
                "drawn: pass the space to `load_study(storage, name, space)`, or give "
                "`--space` to `symnas report`.",
            )
        except Exception as error:
            return Figure("", f"The example cannot be made again: {error!r:.300}")
        try:
            wide = plots.architecture(example)
            narrow = plots.architecture(example, _PHONE)
        except TypeError:  # It is a dict of settings, say.
            return None
        except Exception as error:
            return Figure("", f"The example cannot be drawn: {error!r:.300}")
        key = f"drawing_{number}"
        self.figures[key] = {**wide.to_dict(), "fixed": True}
        self.figures[f"{key}_phone"] = {**narrow.to_dict(), "fixed": True}
        return Figure(key, "", int(wide.layout.height))


def _slice(result: Result, name: str) -> go.Figure:
    figure = plots.slices(result, [name])
    # Twelve of them: the text above says once what all of them show.
    figure.update_layout(title_text="", height=230, margin={"t": 10, "b": 40})
    figure.update_yaxes(title_text=style.label(result.objectives[0], 24), col=1)
    return figure


def _bars(found: Importances | str) -> go.Figure:
    if isinstance(found, str):
        raise style.NothingToDraw(found)
    return importance_bars(found)


def _code(result: Result, trial: Trial) -> str:
    """What was found as code; without the code of the space its decisions."""
    from symnas.description import describe

    try:
        return describe(result.space.symbolic(trial.genotype))
    except ValueError:  # A traced space, or one that was loaded, has no symbolic form.
        lines = [f"{name} = {value}" for name, value in trial.decisions.items()]
        return "\n".join(lines)


def _environment(result: Result) -> Iterator[tuple[str, str]]:
    known = {"seed": result.seed, **result.environment}
    for name, value in known.items():
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        yield str(name), text


def _text(name: str) -> str:
    text = resources.files("symnas.reporting").joinpath(name).read_text("utf-8")
    return text.replace("\r\n", "\n")


def _hash(script: str) -> str:
    """What allows a script to run, by the page's own rules."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(data: Any) -> str:
    """JSON that cannot end the element it stands in."""
    from plotly.io.json import to_json_plotly

    text: str = to_json_plotly(data)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _templates() -> dict[str, Any]:
    """What figures look like in the light and in the dark."""
    import plotly.io as pio

    found = {}
    for name, template in (("light", "plotly_white"), ("dark", "plotly_dark")):
        layout = pio.templates[template].layout.to_plotly_json()
        clear = {"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}
        found[name] = {"layout": {**layout, **clear}}
    return found
