"""The norm of the first gradient [1].

[1] M. S. Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021.
    https://arxiv.org/abs/2101.08134
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from symnas.proxies.network import Network
from symnas.proxies.proxy import Needs, Proxy


@dataclass(frozen=True, kw_only=True)
class GradNorm(Proxy):
    """The sum over weights of the L2 norm of the loss's gradient (section 3.2 of [1]).

    Example:

    >>> import torch, symnas as sn
    >>> layer = torch.nn.Linear(4, 1)
    >>> x = torch.ones(1, 4)
    >>> sn.proxies.GradNorm()(layer, x, x, loss=lambda y, _: y.sum()).value
    2.0
    """

    needs: ClassVar = Needs(labels=True, gradients="weights")

    def measure(self, network: Network, handlers: Any) -> Any:
        gradients = network.weight_gradients
        value = sum(gradient.norm().item() for gradient in gradients.values())
        return value, network.coverage(gradients)
