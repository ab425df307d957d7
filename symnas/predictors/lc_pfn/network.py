"""The network of LC-PFN: a transformer from a partial curve to logits over bins [1].

[1] S. Adriaensen et al., "Efficient Bayesian Learning Curve Extrapolation using
    Prior-Data Fitted Networks", NeurIPS 2023. https://arxiv.org/abs/2310.20447
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from symnas.predictors.lc_pfn.prior import NUM_STEPS


class CurveTransformer(nn.Module):
    """Encoder with norms after the sums. Steps carry their number, not their order.

    Every token sees the observed ones and itself, as in the code of [1].
    """

    def __init__(
        self, num_layers: int, width: int, num_heads: int, hidden: int, num_bins: int
    ) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(
                f"`width` must be a multiple of `num_heads` ({num_heads}), got {width}."
            )
        self.sizes = (num_layers, width, num_heads, hidden, num_bins)
        self.step = nn.Linear(1, width)
        self.value = nn.Linear(1, width)
        self.layers = nn.ModuleList(
            _Layer(width, num_heads, hidden) for _ in range(num_layers)
        )
        self.head = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, num_bins)
        )

    def forward(
        self, steps: Tensor, values: Tensor, observed: Tensor, asked: Tensor
    ) -> Tensor:
        """Logits (number of asked tokens, bins), row by row.

        steps: (B, L) from 1 to 100. values: (B, L), read where observed.
        observed: (B, L) bool. asked: (B, L) bool, which logits are wanted.
        """
        centred = (steps / (NUM_STEPS + 1) - 0.5) * math.sqrt(12)
        value = self.value(((values - 0.5) * math.sqrt(12))[..., None])
        x = self.step(centred[..., None]) + value * observed[..., None]
        itself = torch.eye(steps.shape[1], dtype=torch.bool, device=steps.device)
        seen = (observed[:, None, :] | itself)[:, None]  # (B, 1, L, L)
        for layer in self.layers[:-1]:
            x = layer(x, seen)
        return self.head(self.layers[-1](x, seen, asked))


class _Layer(nn.Module):
    def __init__(self, width: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        first, last = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.feed_forward = nn.Sequential(first, nn.GELU(), last)
        self.norm2 = nn.LayerNorm(width)
        for begins_at_zero in (self.out, last):
            nn.init.zeros_(begins_at_zero.weight)
            nn.init.zeros_(begins_at_zero.bias)

    def forward(self, x: Tensor, seen: Tensor, asked: Tensor | None = None) -> Tensor:
        """x: (B, L, width). Returns as much, or (number of asked tokens, width)."""
        q, k, v = (
            self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        )
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        y = y.transpose(1, 2).flatten(2)
        if asked is not None:
            x, y = x[asked], y[asked]
        x = self.norm1(x + self.out(y))
        return self.norm2(x + self.feed_forward(x))
