"""What users hand to predictors of learning curves, checked and in one form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from symnas.predictors.lc_pfn.normalizer import Normalizer

NOISY = (-4.0, 7.0)  # Noise takes curves of the prior this far out of [0, 1].


@dataclass(frozen=True)
class Observations:
    """What is known of B curves, higher being better, and what is asked of them.

    Attributes:
      steps: for each curve (T,).
      values: for each curve (T,).
      asked: (B, Q) later steps.
      single: whether one curve was given, not a batch.
    """

    steps: list[Any]
    values: list[Any]
    asked: Any
    single: bool


def observations(
    curves: Any, steps: ArrayLike, normalizer: Normalizer | None, observed_at: Any
) -> Observations:
    """Arguments as in `LCPFN.predict`."""
    single = len(curves) == 0 or np.ndim(curves[0]) == 0
    if single:
        curves = [curves]
        observed_at = None if observed_at is None else [observed_at]
    if observed_at is not None and len(observed_at) != len(curves):
        raise ValueError(
            f"`observed_at` needs a row for each of {len(curves)} curves, got "
            f"{len(observed_at)}."
        )
    found_steps, found_values = [], []
    for i, row in enumerate(curves):
        values = np.asarray(row, float)
        if values.ndim != 1:
            raise ValueError(f"Curve {i} must be a list of numbers, got {row!r}.")
        at = np.arange(1, len(values) + 1)
        if observed_at is not None:
            at = _steps(i, values, np.asarray(observed_at[i]))
        _check_values(i, at, values, normalizer)
        found_steps.append(at)
        found_values.append(values if normalizer is None else normalizer(values))
    return Observations(found_steps, found_values, _asked(steps, found_steps), single)


def _steps(i: int, values: Any, at: Any) -> Any:
    if at.shape != values.shape:
        raise ValueError(
            f"Curve {i} has {len(values)} values, but `observed_at` has shape {at.shape}."
        )
    before = np.concatenate([[0], at[:-1]])
    wrong = (at <= before) | (at != np.floor(at))
    if wrong.any():
        raise ValueError(
            "`observed_at` must be whole numbers from 1 that increase; curve "
            f"{i} has {at[wrong][0]} after {before[wrong][0]}."
        )
    return at


def _check_values(i: int, at: Any, values: Any, normalizer: Normalizer | None) -> None:
    if np.isnan(values).any():
        raise ValueError(
            f"Curve {i} has NaN at step {at[np.isnan(values)][0]}: leave it out and name "
            "the other steps in `observed_at`, or write a diverged loss as inf."
        )
    low, high = NOISY if normalizer is None else normalizer.hard
    outside = (values < low) | (values > high)
    if not outside.any():
        return
    rule = "Without a `normalizer`, values must lie in [0, 1], up to noise"
    if normalizer is not None:
        rule = f"Values must lie in the hard bounds {normalizer.hard} of the normalizer"
    raise ValueError(f"{rule}; curve {i} has {values[outside][0]}.")


def _asked(steps: ArrayLike, observed: Sequence[Any]) -> Any:
    array = np.asarray(steps)
    if array.ndim > 2 or array.size == 0 or (array != np.floor(array)).any():
        raise ValueError(
            "`steps` must be whole numbers, the same for all curves or a row for each, "
            f"got {steps!r}."
        )
    if array.ndim == 2 and len(array) != len(observed):
        raise ValueError(
            f"`steps` needs a row for each of {len(observed)} curves, got {len(array)}."
        )
    asked = np.broadcast_to(
        array, (len(observed), array.shape[-1] if array.ndim else 1)
    )
    for i, (row, at) in enumerate(zip(asked, observed, strict=True)):
        last = at[-1] if len(at) else 0
        if row.min() <= last:
            raise ValueError(
                f"`steps` must come after what is observed; curve {i} has values up to "
                f"step {last}, got {row.min()}."
            )
    return asked
