"""How much flows through the weights, without data [1], as a score of networks [2].

[1] H. Tanaka et al., "Pruning Neural Networks Without Any Data by Iteratively Conserving
    Synaptic Flow", NeurIPS 2020. https://arxiv.org/abs/2006.05467
[2] M. S. Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021.
    https://arxiv.org/abs/2101.08134
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from symnas.proxies.network import Network, mapped
from symnas.proxies.proxy import Needs, Proxy, Undefined
from symnas.proxies.watching import NORM, Call


@dataclass(frozen=True, kw_only=True)
class SynFlow(Proxy):
    """The logarithm of the sum of |weight| * gradient, for an input of ones.

    The gradient is that of the sum of the outputs, with all weights and biases positive and
    all norms removed, in double precision: values reach 1e20 on ordinary networks.

    Example:

    >>> import torch, symnas as sn
    >>> layer = torch.nn.Linear(2, 1)
    >>> layer.weight.data = torch.tensor([[3.0, -4.0]])
    >>> round(2.718281828 ** sn.proxies.SynFlow()(layer, torch.zeros(1, 2)).value, 4)
    7.0
    """

    needs: ClassVar = Needs(
        inputs="shape", gradients="weights", mode="eval", norms="removed"
    )

    def measure(self, network: Network, handlers: Any) -> Any:
        positive = {
            name: value.detach().double().abs().requires_grad_(value.requires_grad)
            for name, value in network.parameters.items()
        }
        flow = Network(
            network.model,
            positive,
            mapped(network.inputs, _ones),
            mode="eval",
            handlers=[{NORM: _removed}],
            gradients={"weights"},
            dtype=torch.float64,
        )
        gradients = flow.gradients_of(flow.outputs.sum())
        total = sum(
            (positive[name].detach() * gradient).sum().item()
            for name, gradient in gradients.items()
        )
        if not total > 0:
            raise Undefined("Nothing flows from its inputs to its outputs.")
        return math.log(total), flow.coverage(gradients)


def _ones(tensor: Tensor) -> Tensor:
    """One sample of ones; tokens stay as they are."""
    sample = tensor[:1]
    if not tensor.is_floating_point():
        return sample
    return torch.ones_like(sample, dtype=torch.float64)


def _removed(call: Call) -> Any:
    return call.argument(0, "input")
