"""What does a model from a genotype cost, against the same constructors by hand?"""

from __future__ import annotations

from typing import Any

import torch
from measure import interleaved, report, seconds

import symnas as sn
from symnas import nn

LAYERS = 100


def space() -> Any:
    layers = [nn.Linear(32, 32, bias=sn.oneof([True, False])) for _ in range(LAYERS)]
    return nn.Sequential(*layers)


def by_hand(biases: list[bool]) -> Any:
    layers = [torch.nn.Linear(32, 32, bias=bias) for bias in biases]
    return torch.nn.Sequential(*layers)


def main() -> None:
    compiled = sn.SearchSpace(space())
    row = [float(i % 2) for i in range(LAYERS)]
    biases = [gene == 0 for gene in row]
    figures = interleaved(
        {
            "torch.nn by hand": lambda: seconds(lambda: by_hand(biases)),
            "SearchSpace.realize": lambda: seconds(lambda: compiled.realize(row)),
        },
        301,
    )
    base = figures["torch.nn by hand"]
    report(
        f"a model of {LAYERS} linear layers",
        ["made by", "milliseconds", "x by hand"],
        [[name, 1e3 * value, value / base] for name, value in figures.items()],
    )


if __name__ == "__main__":
    main()
