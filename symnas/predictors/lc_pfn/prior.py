"""The prior over learning curves of LC-PFN: a sum of three families, plus noise [1].

[1] S. Adriaensen et al., "Efficient Bayesian Learning Curve Extrapolation using
    Prior-Data Fitted Networks", NeurIPS 2023. https://arxiv.org/abs/2310.20447
    Section 3, with the noise of the authors' code: [1] prints a variance of 2 where the
    code, declared correct by its authors, has a standard deviation of 1.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

NUM_STEPS = 100  # m in [1].
BEST_LOG_LIKELIHOOD = 4 - 0.5 * math.log(2 * math.pi * math.e)  # Curve, noise known.
_STEPS = np.arange(1.0, NUM_STEPS + 1)
_PROPOSALS = 6  # Drawn for each curve that is wanted; one in 4.9 is kept.

# Three weights; pow3's c and a; Janoschek's A and B; ilog2's c and a: uniform.
LOW = np.array([0, 0, 0, 0, -0.6, 0, 0, 0, -0.5])
HIGH = np.array([1, 1, 1, 1.25, 0.6, 1, 2, 1, 0.5])
# Logarithms of pow3's alpha, Janoschek's k and d, and the noise: normal.
MEAN = np.array([0, -2, 0, -4.0])
SD = np.array([2, 1, 0.5, 1.0])


def sample_curves(num: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Curves without noise (num, 100), in [0, 1], and the noise of each (num,).

    Example:
        >>> curves, noise = sample_curves(4, np.random.default_rng(0))
        >>> curves.shape, bool((curves[:, -1] > curves[:, 0]).all())
        ((4, 100), True)
    """
    curves, noise, missing = [], [], num
    while missing > 0:
        theta = draw_parameters(min(_PROPOSALS * missing, 20_000), rng)
        theta = theta[allowed(curve_values(theta, np.array([1.0, NUM_STEPS])))]
        values = curve_values(theta)
        kept = allowed(values)
        curves.append(values[kept][:missing])
        noise.append(np.exp(theta[kept, -1][:missing]))
        missing -= len(curves[-1])
    return np.concatenate(curves), np.concatenate(noise)


def add_noise(curves: Any, noise: Any, rng: np.random.Generator) -> Any:
    """What is observed of them (num, 100); it may leave [0, 1]."""
    return curves + noise[:, None] * rng.standard_normal(curves.shape)


def draw_parameters(num: int, rng: np.random.Generator) -> Any:
    """Parameters (num, 13) of curves of which none is rejected yet."""
    uniform = LOW + (HIGH - LOW) * rng.random((num, len(LOW)))
    normal = MEAN + SD * rng.standard_normal((num, len(MEAN)))
    return np.concatenate([uniform, normal], axis=1)


def curve_values(theta: Any, steps: Any = _STEPS) -> Any:
    """The curves (..., steps) with parameters theta (..., 13)."""
    w1, w2, w3, c, a, top, bottom, c2, a2, alpha, k, d, _ = np.moveaxis(
        theta[..., None], -2, 0
    )
    log_steps = np.log(steps)
    pow3 = c - a * np.exp(-np.exp(alpha) * log_steps)
    with np.errstate(over="ignore"):  # exp(-inf) is 0.
        janoschek = top - (top - bottom) * np.exp(-np.exp(k + np.exp(d) * log_steps))
    ilog2 = c2 - a2 / np.log(steps + 1)
    return w1 * pow3 + w2 * janoschek + w3 * ilog2


def allowed(curves: Any) -> Any:
    """Which curves (..., steps) end above where they begin and stay in [0, 1]."""
    inside = ((curves >= 0) & (curves <= 1)).all(axis=-1)
    return inside & (curves[..., -1] > curves[..., 0])


def prior_hash() -> str:
    """Names this prior in weights that were trained on it."""
    theta = draw_parameters(100, np.random.default_rng(0))
    values = np.round(curve_values(theta, np.array([1.0, 7, NUM_STEPS])), 4)
    numbers = [array.tolist() for array in (LOW, HIGH, MEAN, SD, values + 0.0)]
    return hashlib.sha256(repr(numbers).encode()).hexdigest()[:16]
