"""The bins of LC-PFN: equally likely in curves of the prior."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from symnas.predictors.lc_pfn.prior import NUM_STEPS, add_noise, sample_curves


@functools.cache  # Half a second, and the same for every training.
def prior_borders(num_bins: int, seed: int = 1, num_curves: int = 20_000) -> Tensor:
    """Borders (bins + 1,): quantiles of what is observed of curves of the prior."""
    rng = np.random.default_rng(seed)
    values = np.sort(add_noise(*sample_curves(num_curves, rng), rng), axis=None)
    inner = np.arange(1, num_bins) * (num_curves * NUM_STEPS) // num_bins
    between = (values[inner - 1] + values[inner]) / 2
    return torch.tensor(np.concatenate([values[:1], between, values[-1:]])).float()


def prior_logits(borders: Tensor, seed: int = 2, num_curves: int = 50_000) -> Tensor:
    """What a curve is of which nothing is known (100, bins), up to a constant."""
    rng = np.random.default_rng(seed)
    values = add_noise(*sample_curves(num_curves, rng), rng)
    num_bins = len(borders) - 1
    bins = np.searchsorted(borders[1:-1].double().numpy(), values)
    cells = bins + num_bins * np.arange(NUM_STEPS)
    counts = np.bincount(cells.ravel(), minlength=NUM_STEPS * num_bins)
    return torch.tensor(np.log(counts + 0.5)).float().reshape(NUM_STEPS, num_bins)


def bin_masses(mean: Tensor, sd: Tensor, borders: Tensor) -> Tensor:
    """What normal distributions (N,), (N,) put into each bin (N, bins), tails included."""
    z = (borders[1:-1] - mean[:, None]) / (sd[:, None] * math.sqrt(2))
    below = torch.nn.functional.pad(torch.special.erf(z), (1, 0), value=-1.0)
    return torch.diff(torch.nn.functional.pad(below, (0, 1), value=1.0)) / 2
