"""How much `Plain`'s ranking of NAS-Bench-201 depends on the draw of weights.

    python perf/plain_on_nas_bench_201.py

Draw 0 is that of `proxies_on_nas_bench_201.py`, on the same images and 500 cells; the
accuracies are those of its table. Ten minutes of one core.
"""

from __future__ import annotations

import csv
import gzip

import numpy as np
import torch
from measure import report
from proxies_on_nas_bench_201 import DATA, NUM_EXPENSIVE, cells, images
from scipy.stats import spearmanr

from symnas.proxies import Plain
from symnas.spaces import NASBench201


def main(num_draws: int = 3) -> None:
    torch.set_num_threads(1)
    inputs, targets = images()
    chosen = cells()[0][:NUM_EXPENSIVE]
    with gzip.open(DATA / "nb201" / "nb201.csv.gz", "rt") as file:
        table = list(csv.DictReader(file))
    accuracies = [float(table[index]["c10v_test_s888"]) for index in chosen]
    rows, draws = [], np.empty((0, NUM_EXPENSIVE))
    for draw in range(num_draws):
        values = []
        for index in chosen:
            torch.manual_seed(100_000 * draw + index)
            values.append(Plain()(NASBench201(index), inputs, targets).value)
        agreement = [spearmanr(values, earlier).statistic for earlier in draws]
        draws = np.concatenate([draws, [values]])
        rows.append(
            [
                draw,
                f"{spearmanr(values, accuracies).statistic:.3f}",
                ", ".join(f"{rho:.2f}" for rho in agreement),
                f"{spearmanr(draws.mean(axis=0), accuracies).statistic:.3f}",
            ]
        )
    report(
        f"Plain on {NUM_EXPENSIVE} cells, by the draw of weights",
        ["draw", "rho", "agreement with earlier draws", "rho of the mean so far"],
        rows,
    )


if __name__ == "__main__":
    main()
