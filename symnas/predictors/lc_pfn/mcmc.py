"""MCMC over the prior of LC-PFN, by the affine-invariant stretch move [1].

Slow, and what LC-PFN approximates. As in [2], which samples eleven families.

[1] J. Goodman, J. Weare, "Ensemble samplers with affine invariance", CAMCoS 2010.
[2] T. Domhan et al., "Speeding up Automatic Hyperparameter Optimization of Deep Neural
    Networks by Extrapolation of Learning Curves", IJCAI 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from symnas.predictors.lc_pfn.last_value import predicted
from symnas.predictors.lc_pfn.normal_mixture import NormalMixture
from symnas.predictors.lc_pfn.normalizer import Normalizer
from symnas.predictors.lc_pfn.observations import observations
from symnas.predictors.lc_pfn.prior import (
    HIGH,
    LOW,
    MEAN,
    NUM_STEPS,
    SD,
    allowed,
    curve_values,
    draw_parameters,
)

_STRETCH = 2.0  # a in [1].


class MCMC:
    """The posterior over curves of the prior; else as `LCPFN.predict`, up to step 100.

    Args:
      num_samples: moves of each walker that count.
      num_walkers: chains that move along each other.
      burn_in: moves before these.
      num_kept: samples, of all walkers, from which predictions are made.
    """

    def __init__(
        self,
        num_samples: int = 2000,
        num_walkers: int = 100,
        burn_in: int = 500,
        num_kept: int = 2000,
        seed: int = 0,
    ) -> None:
        self.num_samples, self.num_walkers = num_samples, num_walkers
        self.burn_in, self.num_kept, self.seed = burn_in, num_kept, seed

    def predict(
        self,
        curves: Any,
        steps: ArrayLike,
        normalizer: Normalizer | None = None,
        observed_at: Any = None,
    ) -> NormalMixture:
        seen = observations(curves, steps, normalizer, observed_at)
        if seen.asked.max() > NUM_STEPS:
            raise ValueError(f"`MCMC` knows {NUM_STEPS} steps, got {seen.asked.max()}.")
        means, sds = [], []
        for i, (at, values) in enumerate(zip(seen.steps, seen.values, strict=True)):
            theta = self._posterior(at, values, np.random.default_rng([self.seed, i]))
            means.append(curve_values(theta, seen.asked[i].astype(float)).T)
            sds.append(np.exp(theta[:, -1])[None])
        return predicted(np.stack(means), np.stack(sds), normalizer, seen.single)

    def _posterior(self, at: Any, values: Any, rng: np.random.Generator) -> Any:
        """Parameters (samples, 13)."""
        walkers = self._start(at, values, rng)
        density = log_posterior(walkers, at, values)
        half = self.num_walkers // 2
        keep_every = max(1, self.num_samples * self.num_walkers // self.num_kept)
        samples = []
        for move in range(self.burn_in + self.num_samples):
            for first in (True, False):
                rows = np.arange(half) if first else np.arange(half, self.num_walkers)
                others = np.arange(half, self.num_walkers) if first else np.arange(half)
                partner = walkers[rng.choice(others, size=len(rows))]
                u = rng.random(len(rows))
                z = ((_STRETCH - 1) * u + 1) ** 2 / _STRETCH
                proposal = partner + z[:, None] * (walkers[rows] - partner)
                found = log_posterior(proposal, at, values)
                gain = (walkers.shape[1] - 1) * np.log(z) + found - density[rows]
                moved = np.log(rng.random(len(rows))) < gain
                walkers[rows[moved]] = proposal[moved]
                density[rows[moved]] = found[moved]
            if move >= self.burn_in and (move - self.burn_in) % keep_every == 0:
                samples.append(walkers.copy())
        return np.concatenate(samples)

    def _start(self, at: Any, values: Any, rng: np.random.Generator) -> Any:
        """The most likely of many curves of the prior."""
        theta = draw_parameters(200 * self.num_walkers, rng)
        density = log_posterior(theta, at, values)
        return theta[np.argsort(-density)[: self.num_walkers]]


def log_posterior(theta: Any, at: Any, values: Any) -> Any:
    """Up to a constant, of parameters theta (n, 13)."""
    bounded, unbounded = theta[:, : len(LOW)], theta[:, len(LOW) :]
    density = -(((unbounded - MEAN) / SD) ** 2).sum(axis=1) / 2
    inside = ((bounded >= LOW) & (bounded <= HIGH)).all(axis=1)
    density[~inside] = -np.inf
    rows = np.flatnonzero(inside)
    if not len(rows):
        return density
    curves = curve_values(theta[rows])
    noise = theta[rows, -1]
    z = (curves[:, at - 1] - values) * np.exp(-noise)[:, None]
    density[rows] -= (z**2).sum(axis=1) / 2 + len(at) * noise
    density[rows[~allowed(curves)]] = -np.inf
    return density
