"""What early-stopping rules save on real learning curves, and what they miss.

    python perf/early_stopping_on_taskset.py [weights of LC-PFN, a file or a name]

The protocol of LC-PFN's paper (section 5.3 of https://arxiv.org/abs/2310.20447) on the 12
public tasks of Taskset, 1,000 configurations of 50 epochs each, and on the 345 networks of
NAS-Bench-NLP: 20 random orderings, a budget of 1,000 epochs, which is 20 whole runs. The
incumbent is the best validation loss measured so far; its regret is taken on the scale that
LC-PFN sees, a logistic of the loss. The speed-up is the budget, divided by the epochs after
which the mean regret is no worse than that of 20 whole runs in the end.

Rules were chosen on every second task (`chosen on`); the others and NAS-Bench-NLP were not
looked at before. Seeds 0 to 19 are the orderings; the spread is the standard error over them.
Ten minutes of one core. SYMNAS_DATA is where the data lie.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from symnas.curves import Curve, Curves, Others
from symnas.early_stopping import (
    LearningCurve,
    MedianRule,
    Patience,
    Rule,
    SuccessiveHalving,
)
from symnas.predictors import LCPFN, Normalizer
from symnas.trial import COMPLETED

DATA = Path(os.environ.get("SYMNAS_DATA", "../shared/data"))
EPOCHS, BUDGET, ORDERINGS = 50, 1000, 20
UNTRAINED_NLP = math.log(33_278)  # A uniform guess among the words of WikiText-2.


@dataclass(frozen=True)
class Task:
    """Curves that are run in some order.

    Attributes:
      losses: (configurations, epochs).
      values: the same on a scale from 0 to 1, higher is better.
    """

    name: str
    losses: NDArray[np.float64]
    values: NDArray[np.float64]
    normalizer: Normalizer


def task(name: str, losses: Any, untrained: float) -> Task:
    normalizer = Normalizer.log_loss(untrained)
    losses = np.where(np.isfinite(losses), losses, np.nan).astype(float)
    values = np.where(np.isnan(losses), 0.0, normalizer(losses))
    return Task(name, losses, values, normalizer)


def tasks() -> list[Task]:
    found = []
    for path in sorted((DATA / "taskset").glob("*.npz")):
        losses = np.load(path)["valid_loss"]
        found.append(task(path.stem, losses[:, 1:], float(np.nanmedian(losses[:, 0]))))
    nlp = np.load(DATA / "nlp_rnn" / "nas_bench_nlp_wikitext2_curves.npz")["val_loss"]
    return [*found, task("nas_bench_nlp", nlp, UNTRAINED_NLP)]


# --- rules on the same predictions that did not win -------------------------------------


@dataclass(frozen=True)
class ImprovementPerEpoch(Rule):
    """Stops when what is expected of a trial, per epoch, is less than of a new one.

    A new one is thought to end anywhere in [0, 1] with weight 1, or like one of the n before
    it with weight n, and to cost what these did. What counts and who goes on is as in
    `LearningCurve`.
    """

    model: Any
    normalizer: Normalizer

    def gives_up(self, curve: Curve, others: Others) -> bool:
        ends = others.each(last_step)
        if not len(ends) or len(curve.steps) < 2:
            return False
        values = normalised(curve.values, self.normalizer)
        later = ahead(curve)
        if not len(later):
            return False
        incumbent = normalised(others.each(best), self.normalizer).max(initial=0.0)
        if values.max() > incumbent:
            return False
        predicted = self.model.predict(values, later, observed_at=curve.steps)
        levels = predicted.quantile((np.arange(50) + 0.5) / 50)
        gain = np.maximum(levels - incumbent - 0.05, 0).mean(axis=-1)
        rate = (gain / (later - curve.last_step)).max()
        new = (1 - incumbent) ** 2 / 2 / (len(ends) + 1)
        return bool(rate < new / np.append(ends, curve.last_step).mean())


@dataclass(frozen=True)
class HalvingByPrediction(Rule):
    """Successive halving that ranks by the upper fifth of the predicted ends."""

    model: Any
    normalizer: Normalizer
    eta: int = 3

    def gives_up(self, curve: Curve, others: Others) -> bool:
        step = curve.last_step
        if step not in {self.eta**k for k in range(10)}:
            return False
        rivals = others.each(self.end, step)
        place = 1 + int((rivals > self.end(curve, step)).sum())
        return place > max((len(rivals) + 1) // self.eta, 1)

    def end(self, curve: Curve, step: int) -> float:
        if curve.last_step < step:
            return math.nan
        values = normalised(curve.values[:step], self.normalizer)
        later = ahead(Curve(curve.steps[:step], values))
        predicted = self.model.predict(values, later, observed_at=curve.steps[:step])
        return max(float(predicted.quantile(0.8)[-1]), float(values.max()))


def ahead(curve: Curve) -> NDArray[np.int64]:
    later = np.unique(np.minimum(curve.last_step + 4 ** np.arange(4), EPOCHS))
    return later[later > curve.last_step]


def normalised(maximised: Any, normalizer: Normalizer) -> Any:
    return np.where(np.isnan(maximised), 0.0, normalizer(-maximised))


def last_step(curve: Curve) -> float:
    return float(curve.last_step)


def best(curve: Curve) -> float:
    return curve.best if curve.best > -math.inf else math.nan


@dataclass(frozen=True)
class Tabulated:
    """What is asked of a distribution, from its cdf at every fourth border of a bin.

    Attributes:
      points: (P,).
      below: (steps, P).
    """

    points: NDArray[np.float64]
    below: NDArray[np.float32]

    def prob_greater(self, value: float) -> Any:
        i = int(np.clip(np.searchsorted(self.points, value), 1, len(self.points) - 1))
        low, high = self.points[i - 1], self.points[i]
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return 1 - (self.below[:, i - 1] * (1 - share) + self.below[:, i] * share)

    def quantile(self, q: Any) -> Any:
        return np.array([np.interp(q, row, self.points) for row in self.below])


class Remembered:
    """A model whose predictions for prefixes of known curves are made once, many at once."""

    def __init__(self, model: LCPFN, values: NDArray[np.float64]) -> None:
        self.model, self.values = model, values
        self.places = {
            self._key(row[:t]): (i, t)
            for i, row in enumerate(values)
            for t in range(1, EPOCHS)
        }
        self.points = model.borders.numpy()[1:-1:4].astype(float)
        self.predicted: dict[bytes, Tabulated] = {}

    def predict(self, values: Any, later: Any, observed_at: Any) -> Tabulated:
        key = self._key(values)
        if key not in self.predicted:
            i, t = self.places[key]
            if t == 1:  # All are asked for after the first epochs.
                some = self.values[i : i + 100]
                self._predict([row[:length] for row in some for length in (1, 2, 3)])
            else:
                last = min(t + 10, EPOCHS)
                self._predict([self.values[i, :length] for length in range(t, last)])
        return self.predicted[key]

    def _predict(self, prefixes: Sequence[Any]) -> None:
        later = [ahead(Curve(np.arange(1, len(p) + 1), p)) for p in prefixes]
        most = max(map(len, later))
        asked = np.array([np.pad(row, (0, most - len(row)), "edge") for row in later])
        predicted = self.model.predict(prefixes, asked)
        below = predicted.masses.cumsum(axis=-1)[..., :-1:4].astype(np.float32)
        for prefix, row, table in zip(prefixes, later, below, strict=True):
            self.predicted[self._key(prefix)] = Tabulated(
                self.points, table[: len(row)].copy()
            )

    @staticmethod
    def _key(values: Any) -> bytes:
        return np.round(values, 6).tobytes()


# --- the protocol -----------------------------------------------------------------------


class Runs:
    """The runs so far, as rules ask a study for them."""

    def __init__(self) -> None:
        self.curves = Curves()
        self.ended: list[Curve] = []

    def last_seen_by(self, trial_id: int) -> int:
        return len(self.ended)

    def status(self, trial_id: int) -> int:
        return COMPLETED

    def curve(self, trial_id: int) -> Curve:
        return self.ended[trial_id - 1]


def incumbents(task: Task, order: Sequence[int], rule: Rule | None) -> Any:
    """(BUDGET,) the best value after each epoch."""
    runs: Any = Runs()
    steps = np.arange(1, EPOCHS + 1)
    found, best = np.empty(BUDGET), 0.0
    spent = 0
    for i in order:
        curve = Curve(steps, -task.losses[i])
        for epoch in range(1, EPOCHS + 1):
            best = max(best, task.values[i, epoch - 1])
            found[spent] = best
            spent += 1
            if spent == BUDGET:
                return found
            seen = Curve(curve.steps[:epoch], curve.values[:epoch])
            others = Others(runs, len(runs.ended) + 1)
            if epoch < EPOCHS and rule is not None and rule.gives_up(seen, others):
                break
        runs.ended.append(seen)
    found[spent:] = best  # All were run.
    return found


def rules(model: Any, normalizer: Normalizer) -> dict[str, Rule | None]:
    halving, patience = SuccessiveHalving(), Patience(3)
    given: Any = {"model": model, "normalizer": normalizer, "horizon": EPOCHS}
    curve = LearningCurve(**given)
    return {
        "none": None,
        "MedianRule()": MedianRule(),
        "Patience(2)": Patience(2),
        "Patience(3)": patience,
        "Patience(6)": Patience(6),
        "SuccessiveHalving()": halving,
        "SuccessiveHalving() | Patience(3)": halving | patience,
        "LearningCurve()": curve,
        "LearningCurve(min_improvement=0)": LearningCurve(**given, min_improvement=0.0),
        "improvement per epoch": ImprovementPerEpoch(model, normalizer),
        "halving by prediction": HalvingByPrediction(model, normalizer),
        "LearningCurve() | Patience(3)": curve | patience,
        "LearningCurve() | SuccessiveHalving() | Patience(3)": curve
        | halving
        | patience,
    }


def speed_up(regret: Any, whole: Any) -> float:
    """regret: (orderings, BUDGET). whole: (orderings,) of 20 whole runs."""
    reached = np.nonzero(regret.mean(axis=0) <= whole.mean() + 1e-12)[0]
    return BUDGET / (reached[0] + 1) if len(reached) else 0.0


def spread(regrets: Sequence[Any], wholes: Sequence[Any]) -> float:
    """Standard error of the mean speed-up: orderings drawn again, 200 times."""
    rng = np.random.default_rng(0)
    means = []
    for _ in range(200):
        drawn = rng.integers(ORDERINGS, size=ORDERINGS)
        pairs = zip(regrets, wholes, strict=True)
        means.append(np.mean([speed_up(r[drawn], w[drawn]) for r, w in pairs]))
    return float(np.std(means))


def regrets(
    task: Task, chosen: dict[str, Rule | None]
) -> dict[str, NDArray[np.float64]]:
    """By rule: (orderings, BUDGET) after each epoch."""
    orders = [
        np.random.default_rng(seed).permutation(len(task.losses)).tolist()
        for seed in range(ORDERINGS)
    ]
    return {
        name: task.values.max()
        - np.array([incumbents(task, order, rule) for order in orders])
        for name, rule in chosen.items()
    }


def report(found: Sequence[dict[str, NDArray[np.float64]]]) -> None:
    """found: of each task."""
    parts = {
        "chosen on": range(0, 12, 2),
        "the others": range(1, 12, 2),
        "NAS-Bench-NLP": range(12, 13),
    }
    wholes = [regret["none"][:, -1] for regret in found]
    rows = []
    for name in found[0]:
        regrets = [of_task[name] for of_task in found]
        row: list[Any] = [name]
        for part in parts.values():
            chosen, whole = [regrets[i] for i in part], [wholes[i] for i in part]
            speed = np.mean(list(map(speed_up, chosen, whole)))
            pairs = zip(chosen, whole, strict=True)
            last = np.mean([r[:, -1].mean() / w.mean() for r, w in pairs])
            row.append(f"{speed:.1f} ± {spread(chosen, whole):.1f}")
            row.append(f"{last:.2f}")
        rivals = [of_task["Patience(2)"] for of_task in found]
        row.append(against(regrets, rivals, parts["the others"]))
        rows.append(row)
    measure.report(
        "What early stopping saves",
        ["rule", *(f"{p}: {c}" for p in parts for c in ("speed-up", "regret")), "p"],
        rows,
        "regret: in the end, divided by that of 20 whole runs.\n"
        "p: Wilcoxon test over orderings that the final regret on the other tasks is that of "
        "`Patience(2)`; + if it is less.",
    )


def main() -> None:
    model = LCPFN.load(*sys.argv[1:2])
    found = []
    for task in tasks():
        remembered = Remembered(model, task.values)
        found.append(regrets(task, rules(remembered, task.normalizer)))
        print(task.name, file=sys.stderr)
    report(found)


def against(regrets: Sequence[Any], rivals: Sequence[Any], part: Sequence[int]) -> str:
    """Paired over orderings: regrets of the tasks are averaged, each in its own unit."""
    unit = [rivals[i][:, -1].mean() for i in part]
    ours, theirs = (
        np.mean([r[i][:, -1] / u for i, u in zip(part, unit, strict=True)], axis=0)
        for r in (regrets, rivals)
    )
    if (ours == theirs).all():
        return "-"
    sign = "+" if ours.mean() < theirs.mean() else "-"
    return f"{sign} {wilcoxon(ours, theirs).pvalue:.2g}"


if __name__ == "__main__":
    main()
