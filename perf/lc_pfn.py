"""How well LC-PFN knows its prior, and how fast it is, beside baselines and MCMC.

    python perf/lc_pfn.py                 # 10,000 curves; MCMC on 16 of them
    python perf/lc_pfn.py 100 2 my.safetensors

Log-likelihoods are nats per unseen step. MCMC is slow, so it sees few curves: what
counts is the difference to LC-PFN on the same ones. One thread.
"""

from __future__ import annotations

import sys
import time

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
CHAINS = {"MCMC, 2,000 moves": (2000, 500), "MCMC, 8,000 moves": (8000, 500)}


def main(num_curves: int = 10_000, num_mcmc: int = 16, weights: str = "small") -> None:
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
    """An inference is the network's pass and the medians of what it predicts."""
    rng = np.random.default_rng(0)
    values = add_noise(*sample_curves(1000, rng), rng)
    contenders = {}
    for num in (1, 1000):
        for observed, asked in ((10, 90), (50, 50), (50, 1)):
            curves = values[:num, :observed]
            steps = np.arange(observed + 1, observed + asked + 1)
            contenders[num, observed, asked] = lambda curves=curves, steps=steps: (
                model.predict(curves, steps).median
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


def mcmc(model: LCPFN, num: int) -> None:
    rng = np.random.default_rng(SEED)
    values = add_noise(*sample_curves(num, rng), rng)
    rows = []
    for cutoff in CUTOFFS:
        steps, later = np.arange(cutoff + 1, 101), values[:, cutoff:]
        begin = time.perf_counter()
        for curve in values:
            single = model.predict(curve[:cutoff], steps).median
        one = (time.perf_counter() - begin) / num
        assert len(single) == 100 - cutoff
        ours = model.predict(values[:, :cutoff], steps).log_likelihood(later)
        rows.append(["LC-PFN", cutoff, f"{ours.mean():.3f}", "", f"{one:.4f}", ""])
        for name, (moves, burn_in) in CHAINS.items():
            begin = time.perf_counter()
            chains = MCMC(num_samples=moves, burn_in=burn_in)
            theirs = chains.predict(values[:, :cutoff], steps).log_likelihood(later)
            spent = (time.perf_counter() - begin) / num
            ahead = (ours - theirs).mean(axis=1)
            error = ahead.std() / np.sqrt(num)
            rows.append(
                [
                    name,
                    cutoff,
                    f"{theirs.mean():.3f}",
                    f"{ahead.mean():+.3f} ± {error:.3f}",
                    f"{spent:.2f}",
                    f"{spent / one:,.0f}",
                ]
            )
    report(
        f"How does it compare with MCMC? The same {num} curves, one at a time",
        [
            "predictor",
            "observed",
            "log-likelihood",
            "LC-PFN ahead",
            "s",
            "times slower",
        ],
        rows,
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
