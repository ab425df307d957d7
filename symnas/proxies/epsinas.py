"""epsinas: how outputs differ between two constant weights [1].

[1] E. Gracheva, "Neural Architecture Search: Two Constant Shared Weights Initialisations",
    Artificial Intelligence Review, 2025. https://arxiv.org/abs/2302.04406
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from symnas.proxies.initialization import constant
from symnas.proxies.network import Network, mapped
from symnas.proxies.proxy import Needs, Proxy, Undefined


@dataclass(frozen=True, kw_only=True)
class Epsinas(Proxy):
    """The mean difference of normalised outputs for two weights, over their mean (eq. 2-4 of [1]).

    All weights and scales of norms get the value `low`, then `high`; biases are 0,
    embeddings random and the same in both. The first output of each sample, and of each
    place of a sequence, is scaled to [0, 1] over the batch; exact zeros are left out.

    In single precision the small weight makes the outputs of many networks underflow, and
    then there is no score. The published correlations are those of networks that have
    one: on NAS-Bench-201 59 % of all, the cells with a path of skips and pooling. In double
    precision nearly all have one, and it ranks badly. Report how many are defined.

    Args:
      low: 1e-7 on NAS-Bench-201, 1e-4 on NAS-Bench-101, 1e-5 for recurrent networks.
      high: 1, 10 and 1e-3 there.
      precision: 'float32', 'float64', or None for the network's own.

    Example:

    >>> import torch, symnas as sn
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 1))
    >>> abs(sn.proxies.Epsinas(low=1e-3)(model, torch.randn(16, 3)).value) < 1e-5  # Linear.
    True
    """

    low: float = 1e-7
    high: float = 1.0
    precision: str | None = None

    needs: ClassVar = Needs()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.low < self.high:
            raise ValueError(
                f"`low` and `high` must be above 0 and in this order, got {self.low} and "
                f"{self.high}."
            )
        if self.precision not in (None, "float32", "float64"):
            raise ValueError(
                f"`precision` must be 'float32', 'float64' or None, got "
                f"{self.precision!r}."
            )

    def measure(self, network: Network, handlers: Any) -> Any:
        for name, module in network.model.named_modules():
            if parametrize.is_parametrized(module) or hasattr(module, "weight_g"):
                raise Undefined(f"The weight of {name!r} is computed of others.")
        rows = [self._normalised(network, value) for value in (self.low, self.high)]
        both = torch.stack(rows).double()
        both[both == 0] = torch.nan
        differences = (both[0] - both[1]).abs()
        compared = int((~differences.isnan()).sum())
        if not compared:
            raise Undefined("No sample has outputs that are not 0 for both weights.")
        value = differences.nanmean() / both.nanmean()
        return value.item(), {"outputs": both.shape[1], "compared": compared}

    def _normalised(self, network: Network, value: float) -> Tensor:
        dtype = getattr(torch, self.precision) if self.precision else None
        parameters = {
            name: tensor.to(dtype or tensor.dtype)
            for name, tensor in constant(
                network.model, network.parameters, value
            ).items()
        }

        def cast(tensor: Tensor) -> Tensor:
            tensor = tensor.detach()
            return tensor.to(dtype) if tensor.is_floating_point() else tensor

        # A network of its own, as buffers must be of the same precision.
        own = Network(
            network.model, parameters, mapped(network.inputs, cast), dtype=dtype
        )
        torch.manual_seed(0)  # Embeddings and what else is drawn are the same for both.
        outputs = own.outputs
        first = (outputs[..., 0] if outputs.ndim > 1 else outputs).flatten()
        low, high = first.min(), first.max()
        if not high > low:
            raise Undefined(
                f"With weights of {value:g} all outputs are {low.item():g}."
            )
        return (first - low) / (high - low)
