"""Genotypes: architectures as rows of numbers, and the decisions these stand for.

A genotype is a row of float64, one column for each slot of each decision:

- choice: the index of the candidate; `manyof(k, ...)` has k columns,
- int: the index of the value,
- float: the position in [0, 1] on the decision's own scale,
- inactive: -1, when the decision stands under a candidate that is not chosen.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Genotypes = NDArray[np.float64]

INACTIVE = -1.0


class Entry(NamedTuple):
    """One way into a branch: through `parent`, where `column` has `value`.

    Without a column the branch is open whenever `parent` is.
    """

    parent: int
    column: int
    value: int


@dataclasses.dataclass(slots=True, eq=False)
class Decision:
    """A decision of a compiled space.

    Attributes:
      kind: 'choice', 'int' or 'float'.
      column: its first column; `slots` of them belong to it.
      slots: 1, or k for `manyof(k, ...)`.
      many: its value is a list, also with one slot.
      count: the number of candidates or integer values; 0 for floats.
      choices: candidates of a choice, values of an int, (low, high) of a float.
      distinct: the slots hold different candidates.
      sorted: the slots are in the order of the candidates.
      scale: of floats and ints: 'linear', 'log' or 'rlog'.
      name: as given by the user.
      branches: where it stands; it is active when one of them is there.
      children: for each slot and candidate the branch it opens, or -1. One table
        for each place the decision stands in.
    """

    kind: Literal["choice", "int", "float"]
    column: int
    count: int
    choices: Sequence[Any]
    slots: int = 1
    many: bool = False
    distinct: bool = True
    sorted: bool = False
    scale: str = "linear"
    name: str | None = None
    hints: Any = None
    branches: list[int] = dataclasses.field(default_factory=list)
    children: list[list[list[int]]] = dataclasses.field(default_factory=list)
    location: Any = None
    _when: Any = None

    @property
    def path(self) -> str:
        """Where it stands: `layers[0].width`; under candidate 2 of 5: `op[=2/5].width`."""
        return _path(self.location) or "value"

    @property
    def label(self) -> str:
        """Its name, or its path if it has none."""
        return self.name if self.name is not None else self.path

    @property
    def columns(self) -> range:
        return range(self.column, self.column + self.slots)

    @property
    def when(self) -> str:
        """The condition under which it is active, for people; '' if always."""
        return "" if self._when is None else str(self._when(self))

    @property
    def can_change(self) -> bool:
        """Whether it has more than one value."""
        if self.kind == "float":
            return bool(self.choices[0] < self.choices[1])
        if self.slots == 1 or not self.distinct:
            return self.count > 1
        return self.count > (self.slots if self.sorted else 1)

    def value(self, gene: float) -> Any:
        """The number that a gene of an int or float stands for."""
        if self.kind == "int":
            return self.choices[int(gene)]
        low, high = self.choices
        if self.scale == "log":
            number = low * (high / low) ** gene
        elif self.scale == "rlog":
            number = high + low - low * (high / low) ** (1.0 - gene)
        else:
            number = low + gene * (high - low)
        return min(max(number, low), high)

    def gene_at(self, position: float) -> float:
        """The gene at a position in [0, 1) of the decision's scale."""
        if self.kind == "float":
            return position if self.can_change else 0.0
        if self.scale == "linear":
            return float(int(position * self.count))
        low, stop, step = self._ends()
        value = low * (stop / low) ** position
        return float(min(int((value - low) / step), self.count - 1))

    def position(self, gene: float) -> float:
        """Where the part of the scale begins that belongs to the gene of an int."""
        if self.scale == "linear":
            return gene / self.count
        low, stop, step = self._ends()
        return math.log((low + gene * step) / low) / math.log(stop / low)

    def _ends(self) -> tuple[int, int, int]:
        values = self.choices
        assert isinstance(values, range)
        return values[0], values[-1] + values.step, values.step

    def gene(self, value: float) -> float:
        """The gene of a float that stands for `value`."""
        low, high = self.choices
        if low == high:
            return 0.0
        if self.scale == "log":
            gene = math.log(value / low) / math.log(high / low)
        elif self.scale == "rlog":
            gene = 1.0 - math.log((high + low - value) / low) / math.log(high / low)
        else:
            gene = (value - low) / (high - low)
        return min(max(gene, 0.0), 1.0)


def _path(location: Any) -> str:
    keys = []
    while location is not None:
        location, key = location
        keys.append(key)
    text = ""
    for key in reversed(keys):
        if isinstance(key, int):
            text += f"[{key}]"
        elif key.startswith("[") or not text:
            text += key
        else:
            text += f".{key}"
    return text
