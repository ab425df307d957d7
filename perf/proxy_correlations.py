"""Tables of how well proxies rank, from what `proxies_on_nas_bench_201.py` has written.

    python perf/proxy_correlations.py SCORES.csv [more files]

Accuracies and public scores are read from `SYMNAS_DATA` or `../shared/data`. Best, worst and
chance are known beforehand: nothing here is fitted but the choice of one combination, which
is made on half of the first 500 cells and checked on the other half and on 500 more.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from proxies_on_nas_bench_201 import DATA, EXPENSIVE, NUM_EXPENSIVE, cells
from scipy.stats import spearmanr

from symnas.proxies import RankSum, correlation
from symnas.spaces import nas_bench_201

Array = NDArray[np.float64]

PUBLIC = {"jacob_cov": "jacov"}  # Where the public file has another name.
LABELLED = {
    "grad_norm",
    "snip",
    "plain",
    "fisher",
    "epe_nas",
    "grasp",
    "zico",
    "gradsign",
}
ACCURACIES = {
    "CIFAR-10, validation": "c10v_test_s888",
    "CIFAR-10, test": "c10_test",
    "CIFAR-100, test": "c100_test",
    "ImageNet16-120, test": "in16_test",
}


def read(paths: Sequence[str]) -> dict[str, dict[int, float]]:
    """Scores by proxy and cell."""
    scores: dict[str, dict[int, float]] = {}
    for path in paths:
        with Path(path).open() as file:
            for row in csv.reader(file):
                scores.setdefault(row[1], {})[int(row[0])] = float(row[2])
    return scores


def rows_of(name: str) -> list[dict[str, str]]:
    with gzip.open(DATA / name, "rt") as file:
        return list(csv.DictReader(file))


def line(name: str, scores: Array, truth: Array, size: Array, more: str = "") -> None:
    found = correlation(scores, truth, size)
    low, high = found.interval
    print(
        f"| {name} | {found.num_networks} | {found.coverage:.0%} | {found.num_distinct} "
        f"| {found.spearman:.3f} ({low:.2f} to {high:.2f}) | {found.kendall:.3f} "
        f"| {found.top_decile:.2f} | {found.partial:.2f} | {found.best_of:.2f} "
        f"| {found.top_overlap:.0%} | {found.top_64} |{more}"
    )


HEADER = (
    "| proxy | n | defined | values | rho | tau | rho, top 10 % | given params "
    "| best of 100 | top 10 % in top 10 % | best 64 in top 5 % |"
)
RULE = "|---|" + "---|" * 10


def main(paths: Sequence[str]) -> None:
    scores = read(paths)
    table = rows_of("nb201/nb201.csv.gz")
    public = {
        nas_bench_201.index_of(row["net_str"]): row
        for row in rows_of("zc_suite/nb201_cifar10_zc13.csv.gz")
    }
    alive, dead = (
        [index for index in part if index in scores["swap"]] for part in cells()
    )

    def of(name: str, chosen: Sequence[int]) -> Array:
        if name == "convolutions":
            kinds = map(nas_bench_201.operations_of, chosen)
            return np.array(
                [sum("conv" in kind for kind in cell) for cell in kinds], float
            )
        return np.array([scores[name].get(index, np.nan) for index in chosen])

    def accuracy(column: str, chosen: Sequence[int]) -> Array:
        return np.array([float(table[index][column]) for index in chosen])

    first = alive[:NUM_EXPENSIVE]
    print("\n## Cells without dead operations, CIFAR-10 validation accuracy\n")
    print(HEADER + " public rho, same cells | agreement |")
    print(RULE + "---|---|")
    for name in [*scores, "convolutions"]:
        if name == "linear_regions":
            continue
        chosen = first if name in EXPENSIVE else alive
        chosen = [i for i in chosen if name == "convolutions" or i in scores[name]]
        truth, values = accuracy("c10v_test_s888", chosen), of(name, chosen)
        more = " | |"
        column = PUBLIC.get(name, name)
        if column in public[chosen[0]]:
            theirs = np.array([float(public[index][column]) for index in chosen])
            both = np.isfinite(values) & (theirs != -1e8)
            pairs = (theirs[both], truth[both]), (theirs[both], values[both])
            rho, agreement = (spearmanr(*pair).statistic for pair in pairs)
            more = f" {rho:.3f} | {agreement:.3f} |"
        line(name, values, truth, of("params", chosen), more)

    print("\n## Combinations: log-rank sums on the first cells\n")
    print(HEADER)
    print(RULE)
    truth, size = accuracy("c10v_test_s888", first), of("params", first)
    for names in (
        ("jacob_cov", "params"),
        ("nwot", "params"),
        ("swap", "params"),
        ("expressivity", "progressivity", "trainability", "flops"),
        ("jacob_cov", "meco"),
    ):
        columns = np.column_stack([of(name, first) for name in names])
        line(" + ".join(names), RankSum()(columns), truth, size)

    choose_a_pair(of, lambda chosen: accuracy("c10v_test_s888", chosen), alive, scores)

    everything = alive[: round(len(dead) * 9445 / 6180)] + dead
    for title, chosen in (
        ("without dead operations", alive),
        ("of all 15,625, in proportion", everything),
    ):
        print(
            f"\n## {len(chosen)} cells {title}: Spearman on four sets of accuracies\n"
        )
        print(f"| score | defined | {' | '.join(ACCURACIES)} |")
        print("|---|---|" + "---|" * len(ACCURACIES))
        for name, values in by_size(of, chosen).items():
            found = [
                correlation(values, accuracy(column, chosen))
                for column in ACCURACIES.values()
            ]
            cells_of = " | ".join(
                f"{c.spearman:.3f} ({c.interval[0]:.2f} to {c.interval[1]:.2f})"
                for c in found
            )
            print(f"| {name} | {found[0].coverage:.0%} | {cells_of} |")


def by_size(
    of: Callable[[str, Sequence[int]], Array], chosen: Sequence[int]
) -> dict[str, Array]:
    """SWAP, epsinas, the baselines, and SWAP regularised by size in several ways."""
    names = ("params", "convolutions", "flops", "l2_norm", "swap", "epsinas")
    scores = {name: of(name, chosen) for name in names}
    sizes, patterns = scores["params"] / 1e6, np.log(scores["swap"])
    both = np.column_stack([patterns, sizes])
    scores["swap + params, log-rank sum"] = RankSum()(both)
    for name, (mu, sigma) in regularisers(sizes).items():
        scores[f"regularised, {name}"] = patterns - (sizes - mu) ** 2 / sigma
    return scores


def regularisers(sizes: Array) -> Mapping[str, tuple[float, float]]:
    """Rules for mu and sigma that need no accuracies, for sizes in millions."""
    high = sizes.max()
    return {
        "mu = max, sigma = max^2": (high, high**2),
        "mu = max, sigma = 2 max^2": (high, 2 * high**2),
        "mu = max, sigma = 2 variance": (high, 2 * sizes.var()),
        "mu = max, sigma = mean, thousands": (high, sizes.mean() / 1e3),
    }


def choose_a_pair(
    of: Callable[[str, Sequence[int]], Array],
    accuracy: Callable[[Sequence[int]], Array],
    alive: Sequence[int],
    scores: Mapping[str, Mapping[int, float]],
) -> None:
    """Which two label-free proxies go best together, and whether that holds elsewhere."""
    half = NUM_EXPENSIVE // 2
    parts = (
        alive[:half],
        alive[half:NUM_EXPENSIVE],
        alive[NUM_EXPENSIVE : 2 * NUM_EXPENSIVE],
    )
    names = [
        name
        for name in scores
        if name not in LABELLED | {"linear_regions"}
        and all(index in scores[name] for index in alive[:NUM_EXPENSIVE])
    ]

    def rho(pair: Sequence[str], chosen: Sequence[int]) -> float:
        columns = np.column_stack([of(name, chosen) for name in pair])
        return float(spearmanr(RankSum()(columns), accuracy(chosen)).statistic)

    pairs = sorted(itertools.combinations(names, 2), key=lambda p: -rho(p, parts[0]))
    print(f"\n## Pairs of {len(names)} label-free proxies, by the first {half} cells\n")
    print("| pair | chosen on | other half | 500 more |")
    print("|---|---|---|---|")
    for pair in [*pairs[:5], ("jacob_cov", "params")]:
        known = all(index in scores[name] for name in pair for index in parts[2])
        last = f"{rho(pair, parts[2]):.3f}" if known else ""
        print(
            f"| {' + '.join(pair)} | {rho(pair, parts[0]):.3f} | {rho(pair, parts[1]):.3f} "
            f"| {last} |"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
