"""The columns of genotypes as axes of figures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symnas.plots import style
from symnas.space import literal

if TYPE_CHECKING:
    from symnas.genotype import Decision, Genotypes
    from symnas.result import Result


@dataclasses.dataclass(frozen=True)
class Coordinate:
    """One column of a genotype: a decision, or a slot of `manyof`."""

    decision: Decision
    column: int

    @property
    def label(self) -> str:
        """As a figure shows it."""
        label = style.label(self.decision.label, 40)
        if not self.decision.many:
            return label
        return f"{label}[{self.column - self.decision.column}]"

    @property
    def is_choice(self) -> bool:
        return self.decision.kind == "choice"

    @property
    def is_log(self) -> bool:
        return self.decision.scale == "log"

    def values(self, genes: NDArray[np.float64]) -> NDArray[np.float64]:
        """What genes (n,) stand for: numbers, or of a choice the index; NaN if inactive."""
        if self.is_choice:
            return np.where(genes < 0, np.nan, genes)
        values = [
            np.nan if gene < 0 else float(self.decision.value(gene))
            for gene in genes.tolist()
        ]
        return np.array(values, dtype=float)

    def text(self, gene: float, longest: int = 40) -> str:
        """A value as a figure shows it."""
        if self.is_choice:
            return style.label(literal(self.decision.choices[int(gene)]), longest)
        value = self.decision.value(gene)
        return (
            f"{value:.3g}" if isinstance(value, float) else style.label(value, longest)
        )

    def genes(self, most: int) -> NDArray[np.float64]:
        """Genes that are marked on an axis."""
        if self.decision.kind == "float":
            return np.linspace(0.0, 1.0, min(most, 5))
        if self.decision.count <= most:
            return np.arange(float(self.decision.count))
        return np.unique(np.linspace(0, self.decision.count - 1, most).round())


def coordinates(
    result: Result, decisions: Sequence[str] | None, most: int
) -> list[Coordinate]:
    """The coordinates of some decisions, by label; by default of the first ones.

    Decisions that have one value only are no axes.
    """
    known = {decision.label: decision for decision in result.space.decisions}
    if decisions is None:
        chosen = [decision for decision in known.values() if decision.can_change]
        if not chosen:
            raise style.NothingToDraw(
                "Every decision of this space has one value only."
            )
    else:
        unknown = [name for name in decisions if name not in known]
        if unknown:
            raise ValueError(
                f"`decisions` must be names or paths of decisions, {list(known)[:20]}, got "
                f"{unknown[0]!r}."
            )
        chosen = [known[name] for name in decisions]
    return [
        Coordinate(decision, column)
        for decision in chosen
        for column in decision.columns
    ][:most]


def descriptions(result: Result, ids: NDArray[np.int64], most: int = 8) -> list[str]:
    """What is shown of trials when one points at them: rewards and decisions.

    Args:
      ids: (n,) of the trials, from 1.
    """
    record, objectives = result._record, result._record.objectives
    axes = [
        Coordinate(decision, column)
        for decision in result.space.decisions[:most]
        for column in decision.columns
    ][:most]
    more = result.space.num_columns - len(axes)
    names = [style.label(name) for name in objectives.names]
    texts: list[str] = []
    memory: dict[tuple[int, float], str] = {}

    def line(axis: Coordinate, gene: float) -> str:
        key = axis.column, gene
        if key not in memory:
            memory[key] = f"{axis.label}: {axis.text(gene)}"
        return memory[key]

    for trial_id in ids.tolist():
        signed = zip(names, record.signed(trial_id), objectives.signs, strict=True)
        lines = [f"<b>trial {trial_id}</b>"]
        lines += [
            f"{name}: {value * sign:.5g}"
            for name, value, sign in signed
            if math.isfinite(value)
        ]
        row = record.row(trial_id)
        lines += [
            line(axis, row[axis.column]) for axis in axes if row[axis.column] >= 0
        ]
        lines += [f"and {more} more"] if more > 0 else []
        texts.append("<br>".join(lines))
    return texts


def genotypes_of(result: Result, ids: Any) -> Genotypes:
    """The genotypes (n, d) of trials by id."""
    rows = result._record.genotypes()
    return rows[np.asarray(ids, dtype=np.int64) - 1]
