"""Weights times gradients, with their signs [1].

[1] M. S. Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021.
    https://arxiv.org/abs/2101.08134
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from symnas.proxies.network import Network
from symnas.proxies.proxy import Needs, Proxy


@dataclass(frozen=True, kw_only=True)
class Plain(Proxy):
    """The sum of weight * gradient over all weights; on many spaces worse than chance.

    Example:

    >>> import torch, symnas as sn
    >>> layer = torch.nn.Linear(2, 1)
    >>> layer.weight.data = torch.tensor([[3.0, -4.0]])
    >>> x = torch.ones(1, 2)
    >>> sn.proxies.Plain()(layer, x, x, loss=lambda y, _: y.sum()).value
    -1.0
    """

    needs: ClassVar = Needs(labels=True, gradients="weights")

    def measure(self, network: Network, handlers: Any) -> Any:
        gradients = network.weight_gradients
        value = sum(
            (network.parameters[name].detach() * gradient).sum().item()
            for name, gradient in gradients.items()
        )
        return value, network.coverage(gradients)
