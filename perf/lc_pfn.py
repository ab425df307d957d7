"""How well LC-PFN knows its prior, and how fast it is, beside baselines and MCMC.

    python perf/lc_pfn.py
    python perf/lc_pfn.py 100 my.safetensors      # 100 curves; MCMC sees fewer

Log-likelihoods are nats per unseen step. MCMC is slow, so it sees few curves: what
counts is the difference to LC-PFN on the same ones. One thread, 80 minutes.
"""

from __future__ import annotations

import functools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from measure import interleaved, report, seconds

from symnas.predictors import LCPFN
from symnas.predictors.lc_pfn.last_value import LastValue
from symnas.predictors.lc_pfn.mcmc import MCMC
from symnas.predictors.lc_pfn.power_law import PowerLaw
from symnas.predictors.lc_pfn.prior import (
    BEST_LOG_LIKELIHOOD,
    add_noise,
    sample_curves,
)
from symnas.predictors.lc_pfn.prior_scores import SEED, prior_scores

CUTOFFS = (10, 20, 40, 80)
CURVES = {2_000: 100, 8_000: 12, 80_000: 12}  # By the number of moves.


def main(num_curves: int = 10_000, weights: str = "small") -> None:
    torch.set_num_threads(1)
    model = LCPFN.load(weights)
    prior(model, num_curves)
    speed(model)
    for moves, num in CURVES.items():
        mcmc(model, moves, num)


def prior(model: LCPFN, num_curves: int) -> None:
    rows = []
    for name, predictor in {
        "LC-PFN": model,
        "last value": LastValue(),
        "power law": PowerLaw(),
    }.items():
        scores = prior_scores(predictor, num_curves)
        for cutoff in scores["rmse"]:
            rows.append([name, cutoff, *(f"{s[cutoff]:.4f}" for s in scores.values())])
    report(
        f"What does it know of {num_curves:,} curves of the prior?",
        [
            "predictor",
            "observed",
            "log-likelihood",
            "s.e.",
            "in 50 %",
            "in 90 %",
            "RMSE",
        ],
        rows,
        f"Nobody can exceed {BEST_LOG_LIKELIHOOD:.4f}, but by chance.",
    )


def speed(model: LCPFN, rounds: int = 7) -> None:
    rng = np.random.default_rng(0)
    values = add_noise(*sample_curves(1000, rng), rng)
    rows = []
    for num, times in ((1, 20), (1000, 1)):  # Large batches empty the caches.
        cases = ((10, 90), (50, 50), (10, 1), (50, 1))
        contenders: dict[str, Callable[[], float]] = {}
        for observed, asked in cases:
            curves = values[:num, :observed]
            steps = np.arange(observed + 1, observed + asked + 1)
            for function in (LCPFN.predict, median):
                call = functools.partial(function, model, curves, steps)
                name = f"{observed}, {asked}, {function.__name__}"
                contenders[name] = functools.partial(each, call, times)
        found = [f"{1e3 * s:,.1f}" for s in interleaved(contenders, rounds).values()]
        pairs = zip(found[::2], found[1::2], strict=True)
        rows += [[num, *case, *pair] for case, pair in zip(cases, pairs, strict=True)]
    report(
        f"How long does LC-PFN take? One thread, {rounds} rounds",
        ["curves", "observed", "asked", "predict, ms", "and medians, ms"],
        rows,
    )


def each(contender: Callable[[], object], times: int) -> float:
    """Mean seconds of calls in a row."""
    return seconds(lambda: [contender() for _ in range(times)]) / times


def median(model: LCPFN, curves: Any, steps: Any) -> Any:
    """An inference: the network's pass and the medians of what it predicts."""
    return model.predict(curves, steps).median


def mcmc(model: LCPFN, moves: int, num: int) -> None:
    rng = np.random.default_rng(SEED)
    values = add_noise(*sample_curves(1000, rng), rng)
    few, chains, rows = values[:num], MCMC(num_samples=moves), []
    for cutoff in CUTOFFS:
        steps, later = np.arange(cutoff + 1, 101), few[:, cutoff:]
        ours = model.predict(few[:, :cutoff], steps).log_likelihood(later)
        one = statistics.median(
            seconds(functools.partial(median, model, curve, steps))
            for curve in few[:, :cutoff]
        )
        many, last = (
            seconds(functools.partial(median, model, values[:, :cutoff], asked))
            / len(values)
            for asked in (steps, [100])
        )
        began = time.perf_counter()
        predicted = chains.predict(few[:, :cutoff], steps)
        spent = (time.perf_counter() - began) / num
        theirs = predicted.log_likelihood(later)
        ahead = (ours - theirs).mean(axis=1)
        error = ahead.std() / np.sqrt(num)
        rows.append(
            [
                cutoff,
                f"{ours.mean():.3f}",
                f"{theirs.mean():.3f}",
                f"{ahead.mean():+.3f} ± {error:.3f}",
                f"{spent:.2f}",
                f"{spent / one:,.0f} x",
                f"{spent / many:,.0f} x",
                f"{spent / last:,.0f} x",
            ]
        )
    report(
        f"How does it compare with MCMC of {moves:,} moves? The same {num} curves",
        [
            "observed",
            "LC-PFN",
            "MCMC",
            "ahead",
            "MCMC, s",
            "slower, a curve",
            "of 1,000",
            "of 1,000, last step",
        ],
        rows,
        "Log-likelihoods. How much slower than LC-PFN for all later steps of one curve, "
        "for those of each of 1,000 at once, and for the last step of each of 1,000.",
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:])
