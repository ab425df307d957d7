"""The number of trainable parameters, the baseline that every proxy has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from symnas.proxies.network import Network
from symnas.proxies.proxy import Needs, Proxy


@dataclass(frozen=True, kw_only=True)
class Params(Proxy):
    """Trainable parameters, shared ones once.

    Example:

    >>> import torch, symnas as sn
    >>> sn.proxies.Params()(torch.nn.Linear(3, 2)).value
    8.0
    """

    needs: ClassVar = Needs(inputs="none")

    def measure(self, network: Network, handlers: Any) -> Any:
        trainable = [p for p in network.parameters.values() if p.requires_grad]
        return sum(p.numel() for p in trainable), {"parameters": len(trainable)}
