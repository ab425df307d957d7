"""Does NSGA-II find fronts as large as pymoo's with equally many evaluations?

    python perf/nsga2_against_pymoo.py [number of seeds, by default 20]

NAS-Bench-201 and HW-NAS-Bench are looked for where `symnas data list` says.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from measure import report, seconds
from numpy.typing import NDArray
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.mutation import Mutation
from pymoo.core.problem import ElementwiseProblem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize
from scipy.stats import mannwhitneyu

import symnas as sn
from symnas import pareto

Array = NDArray[np.float64]
Evaluate = Callable[[Array], Array]

QUERIES = 500
DEVICES = ["edgegpu_latency", "raspi4_latency", "fpga_latency"]


class Resampling(Mutation):  # type: ignore[misc]
    """What pymoo does with choices, for integers."""

    def _do(self, problem: Any, X: Any, random_state: Any = None, **_: Any) -> Any:
        fresh = random_state.integers(problem.xl, problem.xu + 1, X.shape)
        return np.where(random_state.random(X.shape) < 1 / X.shape[1], fresh, X)


def ours(size: int, evaluate: Evaluate, seed: int) -> Array:
    space = [sn.oneof(range(5)) for _ in range(6)]
    algorithm = sn.algorithms.NSGA2(population_size=size)
    return _sampled(space, algorithm, evaluate, seed)


def random(evaluate: Evaluate, seed: int) -> Array:
    space = [sn.oneof(range(5)) for _ in range(6)]
    algorithm = sn.algorithms.NSGA2(
        population_size=QUERIES
    )  # Its first ones are random.
    return _sampled(space, algorithm, evaluate, seed)


def _sampled(space: Any, algorithm: Any, evaluate: Evaluate, seed: int) -> Array:
    examples = sn.sample(
        space, algorithm, QUERIES, seed=seed, objectives=["accuracy", "speed"]
    )
    for _, feedback in examples:
        feedback(evaluate(np.array(feedback.genotype)).tolist())
    return np.array([trial.rewards for trial in examples.result.trials])


def theirs(
    size: int, crossover: Any, mutation: Any, evaluate: Evaluate, seed: int
) -> Array:
    seen = []

    class Problem(ElementwiseProblem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=6, n_obj=2, xl=0, xu=4, vtype=int)

        def _evaluate(self, x: Any, out: Any, *_: Any, **__: Any) -> None:
            seen.append(evaluate(x))
            out["F"] = -seen[-1]

    algorithm = NSGA2(
        pop_size=size,
        sampling=IntegerRandomSampling(),
        crossover=crossover,
        mutation=mutation,
        eliminate_duplicates=True,
    )
    minimize(Problem(), algorithm, ("n_eval", QUERIES), seed=seed)
    return np.array(seen[:QUERIES])


def rounded(operator: Any, **options: Any) -> Any:
    return operator(vtype=float, repair=RoundingRepair(), **options)


DISCRETE = UX(prob=0.9), Resampling()
NUMBERS = rounded(SBX, prob=0.9, eta=15), rounded(PM, eta=20)
CONTENDERS = {
    "pymoo, 20 members": functools.partial(theirs, 20, *DISCRETE),
    "symnas, 20 members": functools.partial(ours, 20),
    "pymoo, 100 members": functools.partial(theirs, 100, *DISCRETE),
    "symnas, 100 members": functools.partial(ours, 100),
    "pymoo, 20 members, operators for numbers": functools.partial(theirs, 20, *NUMBERS),
    "random": random,
}


def problem(dataset: str, device: str) -> Evaluate:
    """Test accuracy after 200 epochs, and the negative latency, by six operations."""
    accuracies = sn.benchmarks.NASBench201.load()
    latencies = sn.benchmarks.HWNASBench.load()
    rows = np.array(list(accuracies.space.enumerate()))
    values = np.stack(
        [
            accuracies.query_many(rows, dataset, "test_accuracy"),
            -latencies.query_many(rows, dataset, device),
        ],
        axis=1,
    )
    table = {
        tuple(row): value for row, value in zip(rows.tolist(), values, strict=True)
    }
    return lambda x: table[tuple(map(float, x))]


def compare(dataset: str, device: str, num_seeds: int) -> None:
    """Shares of the hypervolume of the whole table, and p of a Mann-Whitney test."""
    evaluate = problem(dataset, device)
    everything = np.array([evaluate(x) for x in np.ndindex((5,) * 6)])
    reference = everything.min(axis=0)
    whole = pareto.hypervolume(everything, reference)
    rows: list[list[Any]] = []
    found: dict[str, Array] = {}
    for name, run in CONTENDERS.items():
        shares: list[float] = []
        spent = 0.0
        for seed in range(num_seeds):

            def once(run: Any = run, seed: int = seed, to: Any = shares) -> None:
                rewards = run(evaluate, seed)
                assert len(rewards) == QUERIES
                to.append(pareto.hypervolume(rewards, reference) / whole)

            spent += seconds(once)
        found[name] = np.array(shares)
        peer = found[name.replace("symnas", "pymoo")] if "symnas" in name else None
        p = "" if peer is None else f"{mannwhitneyu(found[name], peer).pvalue:.2g}"
        mean, std = found[name].mean(), found[name].std()
        share = f"{mean:.4f}±{std:.4f}"
        rows.append([name, share, p, spent / num_seeds / QUERIES * 1e6])
    report(
        f"accuracy against {device}, {dataset}, {QUERIES} queries, {num_seeds} seeds",
        ["", "share of the hypervolume", "p against pymoo", "us per query"],
        rows,
    )


def main() -> None:
    warnings.simplefilter("ignore")
    num_seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for dataset in ("cifar10", "cifar100"):
        for device in DEVICES:
            compare(dataset, device, num_seeds)


if __name__ == "__main__":
    main()
