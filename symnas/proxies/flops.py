"""Multiply-adds of one sample, counted while the network runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from symnas.proxies.network import Network, mapped
from symnas.proxies.proxy import Needs, Proxy


@dataclass(frozen=True, kw_only=True)
class FLOPs(Proxy):
    """Multiply-adds of convolutions, matrix products and attention for one sample.

    What the tables of the field call FLOPs; PyTorch's own counter gives twice as many.
    Norms, pooling, activations and additions are not counted.

    Example:

    >>> import torch, symnas as sn
    >>> sn.proxies.FLOPs()(torch.nn.Linear(3, 2), torch.zeros(1, 3)).value
    6.0
    """

    needs: ClassVar = Needs(inputs="shape", mode="eval", norms="running")

    def measure(self, network: Network, handlers: Any) -> Any:
        sample = mapped(network.inputs, lambda tensor: tensor[:1])
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network.forward(sample, network.parameters)
        return counter.get_total_flops() / 2
