"""The size of the weights, layer by layer [1].

[1] A. Krishnakumar et al., "NAS-Bench-Suite-Zero: Accelerating Research on Zero Cost
    Proxies", NeurIPS 2022. https://arxiv.org/abs/2210.03230
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from symnas.proxies.network import Network
from symnas.proxies.proxy import Needs, Proxy


@dataclass(frozen=True, kw_only=True)
class L2Norm(Proxy):
    """The sum of the L2 norms of all weights.

    It sees nothing but shapes and the initialisation.

    Example:

    >>> import torch, symnas as sn
    >>> layer = torch.nn.Linear(4, 4)
    >>> _ = torch.nn.init.ones_(layer.weight)
    >>> sn.proxies.L2Norm()(layer).value
    4.0
    """

    needs: ClassVar = Needs(inputs="none")

    def measure(self, network: Network, handlers: Any) -> Any:
        norms = [weight.detach().norm() for weight in network.weights.values()]
        return sum(norm.item() for norm in norms), {"weights": len(norms)}
