"""How fast are batches of proposals?"""

from __future__ import annotations

from typing import Any

import numpy as np
from measure import interleaved, report, seconds
from toy_spaces import OURS, SPACES

import symnas as sn

BATCH = 1000


def per_genotype(algorithm: Any, space: Any) -> float:
    """Microseconds per genotype of `ask(1000)` and `tell`, after a first batch."""
    rng = np.random.default_rng(0)
    algorithm.setup(space, seed=0)
    genotypes = algorithm.ask(BATCH)
    algorithm.tell(genotypes, rng.random(BATCH))

    def rounds() -> None:
        for _ in range(5):
            genotypes = algorithm.ask(BATCH)
            algorithm.tell(genotypes, rng.random(BATCH))

    return seconds(rounds) / (5 * BATCH) * 1e6


def main() -> None:
    rows = []
    for name, make in SPACES.items():
        space = sn.SearchSpace(make(OURS))
        algorithms: dict[str, Any] = {
            "random": sn.algorithms.RandomSearch,
            "evolution": sn.algorithms.RegularizedEvolution,
        }
        figures = interleaved(
            {
                key: lambda a=a, s=space: per_genotype(a(), s)
                for key, a in algorithms.items()
            },
            5,
        )
        rows.append([name, figures["random"], figures["evolution"]])
    report(
        "ask(1000) and tell",
        ["space", "random, us per genotype", "evolution, us per genotype"],
        rows,
    )


if __name__ == "__main__":
    main()
