"""On how many samples the gradients of a weight have the same sign [1].

[1] Z. Zhang and Z. Jia, "GradSign: Model Performance Inference with Theoretical Insights",
    ICLR 2022. https://arxiv.org/abs/2110.08616
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from symnas.proxies.network import Network
from symnas.proxies.proxy import Needs, Proxy


@dataclass(frozen=True, kw_only=True)
class GradSign(Proxy):
    """The sum over weights of |sum over samples of sign(gradient)| (section 4.2 of [1]).

    As many backward passes as samples.

    Example:

    >>> import torch, symnas as sn
    >>> x = torch.tensor([[1.0, 1.0], [2.0, -1.0], [3.0, 1.0]])
    >>> layer = torch.nn.Linear(2, 1)
    >>> sn.proxies.GradSign()(layer, x, x, loss=lambda y, _: y.sum()).value  # 3 + 1
    4.0
    """

    needs: ClassVar = Needs(labels=True, gradients="samples")

    def measure(self, network: Network, handlers: Any) -> Any:
        losses = torch.stack(
            [
                network.loss_of(network.outputs[i : i + 1], network.targets[i : i + 1])
                for i in range(network.size)
            ]
        )
        total: dict[str, torch.Tensor] = {}
        for gradients in network.sample_gradients(losses):
            for name, gradient in gradients.items():
                total[name] = total.get(name, 0) + gradient.sign()
        value = sum(signs.abs().sum().item() for signs in total.values())
        return value, {"samples": network.size, "weights": len(total)}
