"""LC-PFN: how a learning curve goes on, from one pass of a network [1].

[1] S. Adriaensen et al., "Efficient Bayesian Learning Curve Extrapolation using
    Prior-Data Fitted Networks", NeurIPS 2023. https://arxiv.org/abs/2310.20447
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from symnas.predictors.lc_pfn.binned_distribution import BinnedDistribution
from symnas.predictors.lc_pfn.network import CurveTransformer
from symnas.predictors.lc_pfn.normalizer import Normalizer
from symnas.predictors.lc_pfn.observations import Observations, observations
from symnas.predictors.lc_pfn.prior import NUM_STEPS
from symnas.predictors.lc_pfn.weights import load_weights

_SHIPPED = Path(__file__).parent
_TOGETHER = 64  # Curves of one pass; more would need more memory, and no less time.


class LCPFN:
    """Predicts later values of learning curves, with how sure it is.

    For curves of one run each, that mostly improve: accuracies or, with a `Normalizer`,
    losses and other metrics. It knows nothing about the architecture. A constant curve is
    predicted less surely than it deserves, since bins have a width.

    Example:
        >>> model = LCPFN.load("small")
        >>> predicted = model.predict([0.31, 0.52, 0.60, 0.65, 0.67], steps=[10, 50])
        >>> predicted.median.shape, bool((predicted.median > 0.67).all())
        ((2,), True)
        >>> bool(predicted.prob_greater(0.9).max() < 0.5)
        True
    """

    def __init__(
        self,
        network: CurveTransformer,
        borders: Tensor,
        prior: Tensor,
        about: dict[str, Any],
    ) -> None:
        """As in `save_weights`."""
        self.network, self.borders, self.prior = network, borders, prior
        self.about = about

    @classmethod
    def load(cls, weights: str | Path = "small") -> LCPFN:
        """Weights that are shipped, by name, or a file that `symnas train lc-pfn` wrote."""
        path = Path(weights)
        shipped = sorted(file.stem for file in _SHIPPED.glob("*.safetensors"))
        if str(weights) in shipped:
            path = _SHIPPED / f"{weights}.safetensors"
        elif not path.exists():
            raise FileNotFoundError(
                f"`weights` must be a file or one of {shipped}, got {str(weights)!r}."
            )
        return cls(*load_weights(path))

    def predict(
        self,
        curves: Sequence[float] | Sequence[Sequence[float]] | Any,
        steps: ArrayLike,
        normalizer: Normalizer | None = None,
        observed_at: Any = None,
    ) -> BinnedDistribution:
        """The distribution of each curve's value at later steps.

        Without a `normalizer`, values should lie in [0, 1] and higher be better. Runs of
        more than 100 steps are thinned to every k-th step.

        Args:
          curves: one curve, or several of any lengths: values after steps 1, 2, ...
          steps: later steps, the same for all curves, or a row for each curve.
          normalizer: what the metric is.
          observed_at: the steps of the values, in the form of `curves`, if some are missing.
        """
        seen = observations(curves, steps, normalizer, observed_at)
        stride = math.ceil(seen.asked.max() / NUM_STEPS)
        masses = [
            self._masses(seen, slice(i, i + _TOGETHER), stride)
            for i in range(0, len(seen.asked), _TOGETHER)
        ]
        together = masses[0][0] if seen.single else np.concatenate(masses)
        return BinnedDistribution(together, self.borders.numpy(), normalizer, stride)

    def _masses(self, seen: Observations, part: slice, stride: int) -> Any:
        """Masses (B, Q, bins) of a part of the curves."""
        asked = seen.asked[part]
        kept = [steps % stride == 0 for steps in seen.steps[part]]
        length = max(map(np.count_nonzero, kept))
        steps = np.ones((len(asked), length + asked.shape[1]), np.float32)
        values, observed = np.zeros_like(steps), np.zeros(steps.shape, bool)
        for i, keep in enumerate(kept):
            num = np.count_nonzero(keep)
            steps[i, :num] = seen.steps[part][i][keep] / stride
            values[i, :num] = seen.values[part][i][keep]
            observed[i, :num] = True
        steps[:, length:] = asked / stride
        wanted = np.zeros_like(observed)
        wanted[:, length:] = True
        with torch.inference_mode():
            logits = self.network(*map(torch.tensor, (steps, values, observed, wanted)))
            logits = logits.reshape(*asked.shape, -1)
            # The network has hardly seen the first steps of curves without a value.
            nearest = np.clip(np.round(asked / stride).astype(int), 1, NUM_STEPS)
            unknown = ~observed.any(axis=1)
            logits[unknown] = self.prior[nearest[unknown] - 1]
            return logits.softmax(dim=-1).numpy()
