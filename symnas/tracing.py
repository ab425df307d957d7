"""Define-by-run: decisions met while ordinary code runs.

A function that calls `oneof` in its body is run to find out which decisions it meets.
Each value of each decision is tried once, in a run that reaches it, and then some random
combinations, so branches that depend on a decision may contain further ones. A decision
behind a branch on a float may stay hidden: give the function a named decision there, or
move it up.
"""

from __future__ import annotations

import inspect
import itertools
import random
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch

from symnas import hyper, primitives
from symnas.constructors import unrecorded
from symnas.genotype import INACTIVE, Decision
from symnas.seeding import generators_restored

_RANDOM_RUNS = 50
_MOST_VALUES = 64  # Of one decision that exploring tries; it adds the last one.
_MOST_RUNS = 5_000


class Trace:
    """A function as a space: what it decides, and what it returns for given decisions."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.decisions: list[Decision] = []
        self._by_key: dict[Any, Decision] = {}
        with generators_restored():
            self._explore()

    def run(self, genotype: Sequence[float]) -> tuple[Any, list[float]]:
        """What the function returns, and the genotype with what it did not meet at -1."""
        replay = _Run(self, genotype)
        with unrecorded():
            example = replay()
        row = [INACTIVE] * len(genotype)
        for decision in replay.met:
            stop = decision.column + decision.slots
            row[decision.column : stop] = map(float, replay.genes_of(decision))
        return example, row

    def canonical(self, genotype: Sequence[float]) -> list[float]:
        """The same genotype without the example; nothing is drawn or kept."""
        with generators_restored():
            try:
                with torch.device("meta"):
                    return self.run(genotype)[1]
            except Exception:
                return self.run(genotype)[1]

    # --- exploring ----------------------------------------------------------------

    def _explore(self) -> None:
        first = self._probe({})  # An error here is the user's, and goes to them.
        queue = [(decision, first) for decision in list(first)]
        runs = 1
        seen = set(map(id, self.decisions))
        while queue:
            decision, values = queue.pop(0)
            for gene in _genes_to_try(decision):
                if runs >= _MOST_RUNS:
                    break
                runs += 1
                met = self._try({**values, decision: gene})
                for new in met:
                    if id(new) not in seen:
                        seen.add(id(new))
                        queue.append((new, met))
        rng = random.Random(0)
        for _ in range(_RANDOM_RUNS):
            self._try({d: _random_gene(d, rng) for d in self.decisions})

    def _probe(self, values: dict[Decision, Any]) -> dict[Decision, Any]:
        """The genes of the decisions met when some are given and others first."""
        try:
            with torch.device("meta"):
                return self._met(values)
        except Exception:
            # The code may look at values, which tensors without memory do not have.
            return self._met(values)

    def _try(self, values: dict[Decision, Any]) -> dict[Decision, Any]:
        """The same, for combinations that the function may refuse."""
        try:
            return self._probe(values)
        except _Conflict:
            raise
        except Exception:
            return {}

    def _met(self, values: dict[Decision, Any]) -> dict[Decision, Any]:
        exploring = _Exploration(self, values)
        with unrecorded():
            exploring()
        return exploring.genes

    def find(self, key: Any, kind: Any, fields: Any, location: str) -> Decision | None:
        """The decision known under `key`, checked against what it is now."""
        known = self._by_key.get(key)
        if known is None:
            return None
        now = hyper.decision(kind, fields)
        if _shape(known) != _shape(now):
            named = fields["name"] is not None
            raise _Conflict(
                f"The decision `{known.label}` had {_shape(known)} at {known.path}, and "
                f"at {location} it has {_shape(now)}. "
                + ("A name stands for one decision." if named else "Give each a name.")
            )
        return known

    def add(self, key: Any, kind: Any, fields: Any, location: str) -> Decision:
        decision = hyper.decision(kind, fields)
        taken = {d.path for d in self.decisions}
        path, number = location, 2
        while path in taken:
            path, number = f"{location}#{number}", number + 1
        decision.location = (None, path)
        decision.column = sum(d.slots for d in self.decisions)
        decision.branches.append(0)
        self.decisions.append(decision)
        self._by_key[key] = decision
        return decision


def _shape(decision: Decision) -> str:
    """What must stay the same whenever a decision is met."""
    if decision.kind == "float":
        low, high = decision.choices
        return f"the range {low} to {high} on a {decision.scale} scale"
    if decision.kind == "int":
        return f"the integers {decision.choices} on a {decision.scale} scale"
    taken = f", {decision.slots} of them taken" if decision.many else ""
    order = (" distinct" if decision.distinct else "") + (
        " sorted" if decision.sorted else ""
    )
    return f"{decision.count} candidates{taken}{order if decision.many else ''}"


def _genes_to_try(decision: Decision) -> list[Any]:
    if decision.kind == "float":
        return [0.0, 1.0]
    genes = list(range(min(decision.count, _MOST_VALUES)))
    if genes[-1] != decision.count - 1:
        genes.append(decision.count - 1)
    return genes


def _random_gene(decision: Decision, rng: random.Random) -> Any:
    return rng.random() if decision.kind == "float" else rng.randrange(decision.count)


class _Conflict(ValueError):
    """Two decisions that cannot be one; no run with it is merely a bad combination."""


def _agree(left: Any, right: Any) -> bool:
    """Whether candidates of one decision can be the same; constants must be equal."""
    constants = (type(None), bool, int, float, str)
    if isinstance(left, constants) and isinstance(right, constants):
        return type(left) is type(right) and left == right
    return True


# --- runs -----------------------------------------------------------------------


class _Run:
    """One run of the function, in which each hyper-value is replaced by its decision."""

    def __init__(self, trace: Trace, genotype: Sequence[float]) -> None:
        self.trace = trace
        self.genotype = genotype
        self.met: set[Decision] = set()
        self._candidates: dict[Any, list[Any]] = {}
        self._times: dict[Any, int] = {}

    def __call__(self) -> Any:
        outer = hyper.tracing.decide
        hyper.tracing.decide = self.decide
        try:
            return self.trace.function()
        finally:
            hyper.tracing.decide = outer

    def decide(self, kind: Any, fields: Any) -> Any:
        key, location = self._identity(fields["name"])
        decision = self._find(key, kind, fields, location)
        self.met.add(decision)
        genes = self.genes_of(decision)
        if decision.kind != "choice":
            return decision.value(genes[0])
        earlier = self._candidates.setdefault(key, fields["candidates"])
        if not all(map(_agree, earlier, fields["candidates"])):
            raise _Conflict(
                f"The decision `{decision.label}` has the candidates {earlier} at "
                f"{decision.path}, and at {location} it has {fields['candidates']}. A "
                "name stands for one decision."
            )
        # The candidates of this very call: they may depend on earlier decisions.
        chosen = [_resolved(fields["candidates"][int(gene)]) for gene in genes]
        return chosen if decision.many else chosen[0]

    def _find(self, key: Any, kind: Any, fields: Any, location: str) -> Decision:
        decision = self.trace.find(key, kind, fields, location)
        if decision is None:
            raise ValueError(
                f"A decision was met at {location} that no exploring run had met. Give it "
                "a name that is also used where it is always met, or move it up, out of "
                "the branch it stands in."
            )
        return decision

    def genes_of(self, decision: Decision) -> Sequence[float]:
        genes = self.genotype[decision.column : decision.column + decision.slots]
        if genes[0] < 0:
            # The genotype says that this decision is not met; it takes its first value.
            return _first_genes(decision)
        return genes

    def _identity(self, name: str | None) -> tuple[Any, str]:
        """What a decision is known by, and how to show it.

        That is its name, or the place in the code and how often it was reached.
        """
        frame: types.FrameType | None = sys._getframe(2)
        while (
            frame is not None and frame.f_globals.get("__name__") == primitives.__name__
        ):
            frame = frame.f_back
        assert frame is not None
        code = frame.f_code
        location = f"{code.co_name}:{frame.f_lineno}"
        if name is not None:
            return name, location
        # The column tells two calls, or two lambdas, on one line apart.
        column = next(itertools.islice(code.co_positions(), frame.f_lasti // 2, None))
        place = (code.co_filename, code.co_qualname, frame.f_lasti, column)
        times = self._times[place] = self._times.get(place, 0) + 1
        return (place, times), location


class _Exploration(_Run):
    """A run that takes decisions it does not know as new, with their first value."""

    def __init__(self, trace: Trace, values: dict[Decision, Any]) -> None:
        super().__init__(trace, ())
        self.values = values
        self.genes: dict[Decision, Any] = {}

    def _find(self, key: Any, kind: Any, fields: Any, location: str) -> Decision:
        known = self.trace.find(key, kind, fields, location)
        return known or self.trace.add(key, kind, fields, location)

    def genes_of(self, decision: Decision) -> Sequence[float]:
        gene = self.values.get(decision)
        self.genes[decision] = 0.0 if gene is None else gene
        if gene is None:
            return _first_genes(decision)
        if decision.slots == 1:
            return [gene]
        # The given candidate in the first slot, others behind it.
        rest = [float(v) for v in range(decision.count) if v != gene]
        if not decision.distinct:
            rest = [gene] * decision.slots
        genes = [gene, *rest][: decision.slots]
        return sorted(genes) if decision.sorted else genes


def _first_genes(decision: Decision) -> list[float]:
    if decision.slots > 1 and decision.distinct:
        return [float(slot) for slot in range(decision.slots)]
    return [0.0] * decision.slots


def _resolved(candidate: Any) -> Any:
    """The candidate; a lambda without parameters is called, as PyGlove does."""
    if isinstance(candidate, types.LambdaType) and candidate.__name__ == "<lambda>":
        parameters = inspect.signature(candidate).parameters.values()
        if all(p.default is not p.empty for p in parameters):
            return candidate()
    return candidate
