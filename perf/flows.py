"""Which flow finds the best cell of NAS-Bench-201 with equally many evaluations?

    python perf/flows.py [number of seeds, by default 50]

A cell is written as a topology (which edges are there, and which only pass on) and the
operations of the edges that compute. The table is read from `SYMNAS_DATA` or
`../shared/data`.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from cells import cells
from measure import report, seconds
from scipy.stats import mannwhitneyu

import symnas as sn

EVALUATIONS = 500
INNER = 20  # Topologies for each choice of operations.
OPERATIONS = ["nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3"]
EDGES = ["operation", "skip_connect", "none"]

Cell = Mapping[str, str]


# Validation accuracy after 12 epochs and test accuracy after 200, on CIFAR-10.
TABLE = cells("c10_valid_e12", "c10_test")


class Search:
    """The evaluations of one flow, and the best by what it sees."""

    def __init__(self) -> None:
        self.num_evaluations = 0
        self.best: tuple[float, ...] = (-1.0, -1.0)

    def __call__(self, cell: Cell) -> float:
        self.num_evaluations += 1
        operations = (
            cell[f"operation{i}"]
            if cell[f"edge{i}"] == "operation"
            else cell[f"edge{i}"]
            for i in range(6)
        )
        found = TABLE[tuple(operations)]
        self.best = max(self.best, found)
        return found[0]


def space() -> Any:
    operations = {
        f"operation{i}": sn.oneof(OPERATIONS, name=f"operation{i}") for i in range(6)
    }
    return operations | {f"edge{i}": sn.oneof(EDGES, name=f"edge{i}") for i in range(6)}


def is_operation(value: Any) -> bool:
    return str(value.name).startswith("operation")


def evolution() -> Any:
    return sn.algorithms.RegularizedEvolution(population_size=10, tournament_size=3)


def joint(evaluate: Search, seed: int) -> None:
    _spend(space(), evaluate, seed, sn.Budget(evaluations=EVALUATIONS))


def _spend(space: Any, evaluate: Search, seed: int, budget: sn.Budget) -> None:
    sn.search(space, evaluate, evolution(), seed=seed, budget=budget, progress=False)


def factorized(
    evaluate: Search, seed: int, evaluations: int = EVALUATIONS
) -> sn.Result:
    """Operations outside, and inside of each the topology; the mean of the best five."""
    budget = sn.Budget(evaluations=evaluations)
    flow = sn.sample(space(), evolution(), seed=seed, where=is_operation, budget=budget)
    for open_topology, outer in flow:
        inner = sn.search(
            open_topology, evaluate, evolution(), INNER, within=outer, progress=False
        )
        outer(statistics.fmean(trial.reward for trial in inner.top(5)))
    return flow.result


def hybrid(evaluate: Search, seed: int) -> None:
    """Half of the budget factorized, the other half for the best operations alone."""
    found = factorized(evaluate, seed, EVALUATIONS // 2)
    rest = sn.Budget(evaluations=EVALUATIONS - EVALUATIONS // 2)
    _spend(found.best_model(), evaluate, seed, rest)


def separate(evaluate: Search, seed: int) -> None:
    """Operations with every edge in use, then the topology for the best of them."""
    budget = sn.Budget(evaluations=EVALUATIONS // 2)
    flow = sn.sample(space(), evolution(), seed=seed, where=is_operation, budget=budget)
    for open_topology, outer in flow:
        default = sn.search(
            open_topology, evaluate, "grid", 1, within=outer, progress=False
        )
        outer(default.best.reward)
    rest = sn.Budget(evaluations=EVALUATIONS - EVALUATIONS // 2)
    _spend(flow.result.best_model(), evaluate, seed, rest)


def random(evaluate: Search, seed: int) -> None:
    budget = sn.Budget(evaluations=EVALUATIONS)
    sn.search(space(), evaluate, "random", seed=seed, budget=budget, progress=False)


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    flows: tuple[Callable[[Search, int], Any], ...] = (
        joint,
        factorized,
        hybrid,
        separate,
        random,
    )
    rows, reference = [], np.empty(0)
    for flow in flows:
        searches = [Search() for _ in range(seeds)]
        spent = [
            seconds(lambda f=flow, s=search, i=seed: f(s, i))
            for seed, search in enumerate(searches)
        ]
        assert {search.num_evaluations for search in searches} == {EVALUATIONS}
        valid, test = np.array([search.best for search in searches]).T
        if not len(reference):
            reference = valid
        p = mannwhitneyu(valid, reference).pvalue if flow is not joint else None
        rows.append(
            [
                flow.__name__,
                f"{valid.mean():.2f}±{valid.std():.2f}",
                f"{test.mean():.2f}±{test.std():.2f}",
                p,
                float(np.median(spent)),
            ]
        )
    report(
        f"{EVALUATIONS} evaluations, {seeds} seeds",
        ["flow", "12-epoch validation", "200-epoch test", "p against joint", "seconds"],
        rows,
        "p: two-sided Mann-Whitney test on what the searches see.",
    )


if __name__ == "__main__":
    main()
