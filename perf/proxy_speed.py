"""What a zero-cost proxy costs, beside a plain forward pass of the same batch.

    python perf/proxy_speed.py [rounds, by default 15]

One network of NAS-Bench-201 (C = 16, N = 5), images of noise. The contenders take turns;
medians of the rounds. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from measure import interleaved, report, seconds

from symnas.proxies import NWOT, SWAP, JacobCov, L2Norm, Params, Proxy, score
from symnas.proxies.proxy_text import by_name
from symnas.spaces import NASBench201

CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_3x3~1|+|avg_pool_3x3~0|nor_conv_1x1~1|skip_connect~2|"
BATCH = 16


def main(rounds: int = 15) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, x = NASBench201(CELL), torch.randn(BATCH, 3, 32, 32)

    def forward() -> None:
        with torch.no_grad():
            model(x)

    # Those that need one pass over the batch and no labels.
    single: dict[str, Proxy] = {
        "params": Params(),
        "l2_norm": L2Norm(),
        "nwot": NWOT(),
        "swap, given weights": SWAP(init="given"),
        "jacob_cov": JacobCov(),
    }
    targets = torch.arange(BATCH) % 10
    others = {name: kind() for name, kind in by_name().items() if name not in single}
    contenders: dict[str, Callable[[], object]] = {"forward": forward}
    for name, proxy in (single | others).items():
        contenders[name] = lambda proxy=proxy: proxy(model, x, targets)
    several = list(single.values())
    contenders[f"the first {len(single)} together"] = lambda: score(model, several, x)
    for contender in contenders.values():  # What is imported or compiled at first.
        contender()
    measures = {
        name: lambda contender=contender: seconds(contender)
        for name, contender in contenders.items()
    }
    medians = interleaved(measures, rounds)
    plain = medians["forward"]
    report(
        f"What does a proxy cost? One network, {BATCH} images, {rounds} rounds",
        ["proxy", "ms", "forward passes"],
        [
            [name, f"{median * 1e3:.1f}", f"{median / plain:.2f}"]
            for name, median in medians.items()
        ],
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
