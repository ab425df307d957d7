"""Gradients that are large and alike on different batches [1].

[1] G. Li et al., "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients",
    ICLR 2023. https://arxiv.org/abs/2301.11300
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from symnas.proxies.network import Network, mapped
from symnas.proxies.proxy import Needs, Proxy, Undefined


@dataclass(frozen=True, kw_only=True)
class ZiCo(Proxy):
    """Sum over layers of log(sum over weights of mean |g| / std g) (equation 17 of [1]).

    Over the gradients g of `num_batches` equal parts of the batch, at the same weights. The
    sum over weights is one, not a mean, as in the code of [1]. Weights whose gradients do
    not vary are left out, and layers of such weights alone.

    Example:

    >>> import torch, symnas as sn
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> x, y = torch.randn(8, 4), torch.tensor([0, 1] * 4)
    >>> sn.proxies.ZiCo()(model, x, y).is_defined
    True
    """

    num_batches: int = 2

    needs: ClassVar = Needs(labels=True, gradients="weights")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_batches < 2:
            raise ValueError(
                f"`num_batches` must be at least 2, got {self.num_batches}."
            )

    def measure(self, network: Network, handlers: Any) -> Any:
        size = network.size // self.num_batches
        if not size:
            raise Undefined(
                f"It takes a batch of at least {self.num_batches} samples, got "
                f"{network.size}."
            )
        batches = [
            self._gradients(network, slice(i * size, (i + 1) * size))
            for i in range(self.num_batches)
        ]
        value, num_layers = 0.0, 0
        for name in set.intersection(*(set(batch) for batch in batches)):
            gradients = torch.stack([batch[name] for batch in batches])
            deviation = gradients.std(0, unbiased=False)
            varies = deviation > 0
            if varies.any():
                ratios = gradients.abs().mean(0)[varies] / deviation[varies]
                value += math.log(ratios.sum().item())
                num_layers += 1
        if not num_layers:
            raise Undefined("The gradients of all batches are the same.")
        return value, {"weights": len(network.weights), "varying": num_layers}

    def _gradients(self, network: Network, part: slice) -> dict[str, Tensor]:
        inputs = mapped(network.inputs, lambda tensor: tensor[part].detach())
        outputs = network.forward(inputs, network.parameters)
        return dict(
            network.gradients_of(network.loss_of(outputs, network.targets[part]))
        )
