"""How much the loss would change if weights were cut [1], as a score of networks [2].

[1] N. Lee et al., "SNIP: Single-shot Network Pruning Based on Connection Sensitivity",
    ICLR 2019. https://arxiv.org/abs/1810.02340
[2] M. S. Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021.
    https://arxiv.org/abs/2101.08134
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from symnas.proxies.network import Network
from symnas.proxies.proxy import Needs, Proxy


@dataclass(frozen=True, kw_only=True)
class SNIP(Proxy):
    """The sum of |weight * gradient| over all weights (equation 1 of [2]).

    [1] differentiates with respect to a mask of ones, which gives the same.

    Example:

    >>> import torch, symnas as sn
    >>> layer = torch.nn.Linear(2, 1)
    >>> layer.weight.data = torch.tensor([[3.0, -4.0]])
    >>> x = torch.ones(1, 2)
    >>> sn.proxies.SNIP()(layer, x, x, loss=lambda y, _: y.sum()).value
    7.0
    """

    needs: ClassVar = Needs(labels=True, gradients="weights")

    def measure(self, network: Network, handlers: Any) -> Any:
        gradients = network.weight_gradients
        value = sum(
            (network.parameters[name].detach() * gradient).abs().sum().item()
            for name, gradient in gradients.items()
        )
        return value, network.coverage(gradients)
