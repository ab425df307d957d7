"""The network of LC-PFN: a transformer from a partial curve to logits over bins [1].

[1] S. Adriaensen et al., "Efficient Bayesian Learning Curve Extrapolation using
    Prior-Data Fitted Networks", NeurIPS 2023. https://arxiv.org/abs/2310.20447

Other than in [1], where steps and values enter by one linear map each: they enter as
waves, from which fine differences can be read off; asked steps join in the last layers
only, and the head is linear. All of it makes the network smaller at the same likelihood.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from symnas.predictors.lc_pfn.prior import NUM_STEPS

_STEP_WAVES, _VALUE_WAVES = 4, 7


class CurveTransformer(nn.Module):
    """Observed steps see each other, and asked steps the observed ones.

    Steps carry their number, not their order. Norms come after the sums.
    """

    def __init__(
        self,
        num_layers: int,
        num_asking: int,
        width: int,
        num_heads: int,
        hidden: int,
        num_bins: int,
    ) -> None:
        """num_asking: the last layers, through which asked steps go too."""
        super().__init__()
        if width % num_heads:
            raise ValueError(
                f"`width` must be a multiple of `num_heads` ({num_heads}), got {width}."
            )
        self.sizes = (num_layers, num_asking, width, num_heads, hidden, num_bins)
        self.step = nn.Linear(2 + 2 * _STEP_WAVES, width)
        self.value = nn.Linear(1 + 2 * _VALUE_WAVES, width)
        self.layers = nn.ModuleList(
            _Layer(width, num_heads, hidden) for _ in range(num_layers)
        )
        self.num_asking = num_asking
        self.head = nn.Linear(width, num_bins, bias=False)

    def forward(
        self, steps: Tensor, values: Tensor, observed: Tensor | None, asked: Tensor
    ) -> Tensor:
        """Logits (B, Q, bins) of what is asked; the rest as in `hidden`."""
        return self.head(self.hidden(steps, values, observed, asked))

    def hidden(
        self, steps: Tensor, values: Tensor, observed: Tensor | None, asked: Tensor
    ) -> Tensor:
        """What is known of each asked step (B, Q, width), of which the head makes logits.

        steps: (B, N) from 1 to 100. values: (B, N). observed: (B, N) bool, one in each
        row at least; None if all are. asked: (B, Q) steps.
        """
        seen = self._step(steps) + self._value(values)
        query = self._step(asked)
        mask = None if observed is None else observed[:, None, None, :]
        first_to_ask = len(self.layers) - self.num_asking
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, _Layer)  # For the type checker.
            memory = layer.memory(seen)
            if i >= first_to_ask:
                query = layer(query, memory, mask)
            if i + 1 < len(self.layers):
                seen = layer(seen, memory, mask)
        return query

    def _step(self, steps: Tensor) -> Tensor:
        """(B, T, width). What happens on a logarithmic scale is seen on one."""
        fractions = steps.log() / math.log(NUM_STEPS)
        lines = torch.stack([steps / (NUM_STEPS + 1), fractions], dim=-1)
        waves = _waves(fractions, _STEP_WAVES)
        return self.step(torch.cat([_centred(lines), waves], dim=-1))

    def _value(self, values: Tensor) -> Tensor:
        """(B, T, width)."""
        waves = _waves(values, _VALUE_WAVES)
        return self.value(torch.cat([_centred(values[..., None]), waves], dim=-1))


def _centred(x: Tensor) -> Tensor:
    """Mean 0 and variance 1, if x is uniform in [0, 1]."""
    return (x - 0.5) * math.sqrt(12)


def _waves(x: Tensor, num: int) -> Tensor:
    """Sines and cosines (..., 2 num) of x (...), of periods 4, 2, 1, 1/2, ..."""
    frequencies = torch.tensor(
        [math.pi / 2 * 2**i for i in range(num)], device=x.device
    )
    angles = x[..., None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class _Layer(nn.Module):
    """Attention to observed steps, then a network of each step by itself."""

    def __init__(self, width: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        # Without biases but one, since norms have them.
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm1 = nn.LayerNorm(width)
        last = nn.Linear(hidden, width, bias=False)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(inplace=True), last
        )
        self.norm2 = nn.LayerNorm(width)
        for begins_at_zero in (self.out, last):
            nn.init.zeros_(begins_at_zero.weight)

    def memory(self, seen: Tensor) -> Tensor:
        """Keys and values (2, B, heads, N, width / heads) of observed steps (B, N, width)."""
        parts = self.key_value(seen).unflatten(2, (2, self.num_heads, -1))
        return parts.permute(2, 0, 3, 1, 4)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
        """x and what comes back: (B, T, width). mask: (B, 1, 1, N), what was observed."""
        query = self.query(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        key, value = memory
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = self.norm1(x + self.out(y.transpose(1, 2).flatten(2)))
        return self.norm2(x + self.feed_forward(x))
