"""How well LC-PFN knows its prior, and how fast it is, beside baselines and MCMC.

    python perf/lc_pfn.py                 # 10,000 curves; MCMC on 12 of them
    python perf/lc_pfn.py 100 2 my.safetensors

Log-likelihoods are nats per unseen step. MCMC is slow, so it sees few curves: what
counts is the difference to LC-PFN on the same ones. One thread, an hour.
"""

from __future__ import annotations

import functools
import statistics
import sys
import time
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
MOVES = (2_000, 8_000, 80_000)


def main(num_curves: int = 10_000, num_mcmc: int = 12, weights: str = "small") -> None:
    torch.set_num_threads(1)
    model = LCPFN.load(weights)
    prior(model, num_curves)
    speed(model)
    mcmc(model, num_mcmc)


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


def speed(model: LCPFN, rounds: int = 15) -> None:
    rng = np.random.default_rng(0)
    values = add_noise(*sample_curves(1000, rng), rng)
    contenders = {}
    for num in (1, 1000):
        for observed, asked in ((10, 90), (50, 50), (10, 1), (50, 1)):
            curves = values[:num, :observed]
            steps = np.arange(observed + 1, observed + asked + 1)
            contenders[num, observed, asked] = lambda curves=curves, steps=steps: (
                median(model, curves, steps)
            )
    medians = interleaved(
        {
            str(name): lambda contender=contender: seconds(contender)
            for name, contender in contenders.items()
        },
        rounds,
    )
    report(
        f"How long does LC-PFN take? One thread, {rounds} rounds",
        ["curves", "observed", "asked", "ms", "ms per curve"],
        [
            [str(num), observed, asked, f"{ms:.1f}", f"{ms / num:.3f}"]
            for (num, observed, asked), ms in zip(
                contenders, (1e3 * median for median in medians.values()), strict=True
            )
        ],
    )


def median(model: LCPFN, curves: Any, steps: Any) -> Any:
    """An inference: the network's pass and the medians of what it predicts."""
    return model.predict(curves, steps).median


def mcmc(model: LCPFN, num: int) -> None:
    rng = np.random.default_rng(SEED)
    values = add_noise(*sample_curves(1000, rng), rng)
    few, rows = values[:num], []
    for cutoff in CUTOFFS:
        steps, later = np.arange(cutoff + 1, 101), few[:, cutoff:]
        ours = model.predict(few[:, :cutoff], steps).log_likelihood(later)
        one = statistics.median(
            seconds(functools.partial(median, model, curve, steps))
            for curve in few[:, :cutoff]
        )
        many = seconds(functools.partial(median, model, values[:, :cutoff], [100]))
        many /= len(values)
        rows.append(
            ["LC-PFN", cutoff, f"{ours.mean():.3f}", "", f"{one:.4f}", f"{many:.4f}"]
        )
        for moves in MOVES:
            chains = MCMC(num_samples=moves)
            began = time.perf_counter()
            predicted = chains.predict(few[:, :cutoff], steps)
            spent = (time.perf_counter() - began) / num
            theirs = predicted.log_likelihood(later)
            ahead = (ours - theirs).mean(axis=1)
            error = ahead.std() / np.sqrt(num)
            rows.append(
                [
                    f"MCMC, {moves:,} moves, {spent:.2f} s",
                    cutoff,
                    f"{theirs.mean():.3f}",
                    f"{ahead.mean():+.3f} ± {error:.3f}",
                    f"{spent / one:,.0f} x",
                    f"{spent / many:,.0f} x",
                ]
            )
    report(
        f"How does it compare with MCMC? The same {num} curves",
        [
            "predictor",
            "observed",
            "log-likelihood",
            "LC-PFN ahead",
            "a curve, all steps",
            "of 1,000, the last step",
        ],
        rows,
        "Seconds of LC-PFN for one curve, and how many times longer MCMC takes.",
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
