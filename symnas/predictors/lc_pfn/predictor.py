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
_TOGETHER = 16  # Curves of one pass, which fits into a processor's cache.


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
        parts = range(0, len(seen.asked), _TOGETHER)
        hidden = np.concatenate(
            [self._hidden(seen, slice(i, i + _TOGETHER), stride) for i in parts]
        )
        unknown = np.array([not (at % stride == 0).any() for at in seen.steps])
        if unknown.any():  # The network was trained on curves with a value at least.
            given = self._masses(torch.from_numpy(hidden)).numpy()
            nearest = np.clip(np.round(seen.asked / stride), 1, NUM_STEPS).astype(int)
            given[unknown] = self.prior.softmax(dim=1).numpy()[nearest[unknown] - 1]
            head = None
        else:  # Masses of all bins are many numbers: they are made when asked for.
            given, head = hidden, self._masses
        given = given[0] if seen.single else given
        return BinnedDistribution(given, self.borders.numpy(), normalizer, stride, head)

    @torch.inference_mode()
    def _hidden(self, seen: Observations, part: slice, stride: int) -> Any:
        """What the network knows of a part of the curves: (B, Q, width)."""
        kept = [steps % stride == 0 for steps in seen.steps[part]]
        # At least one, also of what was not observed: without keys is no attention.
        lengths = np.array([max(np.count_nonzero(keep), 1) for keep in kept])
        steps = np.ones((len(kept), lengths.max()), np.float32)
        values = np.zeros_like(steps)
        for i, keep in enumerate(kept):
            found = seen.steps[part][i][keep]
            steps[i, : len(found)] = found / stride
            values[i, : len(found)] = seen.values[part][i][keep]
        observed = np.arange(steps.shape[1]) < lengths[:, None]
        hidden = self.network.hidden(
            torch.tensor(steps),
            torch.tensor(values),
            None if observed.all() else torch.tensor(observed),
            torch.tensor(seen.asked[part] / stride, dtype=torch.float32),
        )
        return hidden.numpy()

    @torch.inference_mode()
    def _masses(self, hidden: Tensor) -> Tensor:
        """(..., bins)."""
        return self.network.head(hidden).softmax(dim=-1)
