"""SWAP on cells of DARTS whose accuracy is known, and a search of that space by SWAP.

    python perf/swap_on_darts.py correlation     # four minutes
    python perf/swap_on_darts.py search          # some minutes, 3,000 evaluations

The first follows the released script of SWAP-NAS: the reduction cell alone, of 6 channels on
the image itself, 16 real images, N(0, 1) weights. `SYMNAS_DATA` or `../shared/data` holds
the 1,000 cells and the images.
"""

from __future__ import annotations

import csv
import gzip
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch
from proxies_on_nas_bench_201 import DATA, images
from torch import Tensor, nn

import symnas as sn
from symnas.proxies import SWAP, LinearRegions, Params, RankSum, correlation, score
from symnas.spaces import DARTS, darts

INITS = 4


class OneCell(nn.Module):
    """A reduction cell of 6 channels that sees an image twice."""

    def __init__(self, genotype: str) -> None:
        super().__init__()
        self.cell = darts.Cell(darts.parse(genotype), (3, 3), 6, True, False)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x, x).mean((2, 3))


def correlations() -> None:
    with gzip.open(DATA / "darts/swap_darts_archs_cifar10.csv.gz", "rt") as file:
        rows = list(csv.reader(file))
    accuracies = [float(row[1]) for row in rows]
    x, _ = images()
    plain = [SWAP(seed=seed) for seed in range(INITS)]
    others = [SWAP(batch_size=32), LinearRegions(batch_size=16), Params()]
    values, num_values = [], []
    for genotype, _ in rows:
        scores = score(OneCell(genotype), [*plain, *others], x)
        values.append([s.value for s in scores])
        num_values.append(scores[0].seen["values"])
    table = np.array(values)
    one, four, size = table[:, 0], table[:, :INITS].mean(axis=1), table[:, -1] / 1000
    high = size.max()
    print(f"{len(rows)} cells, {size.min():.2f} to {high:.2f} thousand parameters")
    rules: dict[str, Sequence[float]] = {
        "SWAP, 16 images, mean of 4 weights": four,
        "SWAP, 16 images, one draw of weights": one,
        "SWAP, 32 images": table[:, INITS],
        "linear regions, 16 images": table[:, INITS + 1],
        "parameters": size,
        "number of values": num_values,
        "log-rank sum of SWAP and parameters": RankSum()(np.column_stack([four, size])),
    }
    for name, mu, sigma in (
        ("mu = sigma = 25", 25.0, 25.0),
        ("mu = max, sigma = mean of sizes", high, size.mean()),
        ("mu = max, sigma = max^2", high, high**2),
        ("mu = max, sigma = 2 max^2", high, 2 * high**2),
        ("mu = max, sigma = 2 variances", high, 2 * size.var()),
    ):
        rules[f"regularised, {name}"] = np.log(four) - (size - mu) ** 2 / sigma
    for name, rule in rules.items():
        found = correlation(rule, accuracies, size)
        interval = " to ".join(f"{bound:.3f}" for bound in found.interval)
        print(
            f"{name:45} rho {found.spearman:.3f} ({interval}) tau {found.kendall:.3f} "
            f"top decile {found.top_decile:.2f} values {found.num_distinct}"
        )


def search() -> None:
    x, _ = images()
    space = DARTS(
        channels=4, num_cells=3
    )  # Both cells; SWAP sees 2^16 patterns at most.
    begin = time.perf_counter()
    result = sn.search(
        space, SWAP().on(x), "swap_nas", num_examples=3000, seed=0, progress=False
    )
    seconds = time.perf_counter() - begin
    rewards = [trial.reward for trial in result.trials if trial.reward is not None]
    print(
        f"{len(rewards)} of {len(result.trials)} evaluations have a score, {seconds:.0f} s; "
        f"patterns: the best of the first 50 {max(rewards[:50]):.0f}, of all "
        f"{max(rewards):.0f}"
    )
    print(result.best_model().genotype)


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"correlation": correlations, "search": search}[sys.argv[1]]()
