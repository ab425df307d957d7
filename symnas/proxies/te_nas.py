"""TE-NAS: how well a network trains, by its tangent kernel, and how finely it divides [1].

[1] W. Chen, X. Gong and Z. Wang, "Neural Architecture Search on ImageNet in Four GPU Hours:
    A Theoretically Inspired Perspective", ICLR 2021. https://arxiv.org/abs/2102.11535
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from symnas.proxies.network import Network
from symnas.proxies.proxy import Needs, Proxy, Undefined
from symnas.proxies.watching import ACTIVATION, Call, Handlers


@dataclass(frozen=True, kw_only=True)
class NTKCondition(Proxy):
    """Minus the condition number of the neural tangent kernel (equation 4 of [1]).

    The kernel (B, B) holds the products of the gradients of the samples' summed outputs, in
    double precision. As many backward passes as samples; [1] takes 32, and the mean of
    three initialisations.

    Example:

    >>> import torch, symnas as sn
    >>> model = torch.nn.Linear(4, 1, bias=False)
    >>> x = torch.diag(torch.tensor([1.0, 2.0, 1.0, 1.0]))
    >>> round(sn.proxies.NTKCondition()(model, x).value, 4)  # Products of the inputs.
    -4.0
    """

    init: str = "kaiming"

    needs: ClassVar = Needs(gradients="samples")

    def measure(self, network: Network, handlers: Any) -> Any:
        rows = network.sample_gradients(network.outputs.flatten(1).sum(1))
        kernel = torch.zeros(len(rows), len(rows), dtype=torch.float64)
        for name in rows[0]:
            stacked = torch.stack([row[name].flatten() for row in rows]).double()
            kernel += (stacked @ stacked.T).cpu()
        eigenvalues = torch.linalg.eigvalsh(kernel)
        smallest, largest = eigenvalues[0].item(), eigenvalues[-1].item()
        if smallest <= largest * np.finfo(float).eps * len(rows):
            raise Undefined("Its tangent kernel is singular.")
        return -largest / smallest, {"samples": len(rows)}


@dataclass(frozen=True, kw_only=True)
class LinearRegions(Proxy):
    """How many different patterns of activations samples have (equation 5 of [1]).

    At most the number of samples, which ordinary networks reach at once: [1] uses
    thousands of small images.

    Example:

    >>> import torch, symnas as sn
    >>> x = torch.tensor([[1.0, -1.0], [2.0, -2.0], [-1.0, 1.0]])
    >>> sn.proxies.LinearRegions(init="given")(torch.nn.ReLU(), x).value
    2.0
    """

    init: str = "kaiming"

    needs: ClassVar = Needs()

    def watch(self, model: nn.Module) -> Handlers:
        return {ACTIVATION: _Regions()}

    def measure(self, network: Network, handlers: Any) -> Any:
        outputs, regions = network.outputs, handlers[ACTIVATION]
        if regions.ids is None:
            raise Undefined("No activation function was seen.")
        return len(np.unique(regions.ids)), {"samples": len(outputs)}


class _Regions:
    """Numbers samples by all patterns so far."""

    def __init__(self) -> None:
        self.ids: NDArray[Any] | None = None  # (B,)

    def __call__(self, call: Call) -> None:
        on = (call.output.detach() > call.at_zero).flatten(1).cpu().numpy()
        columns = np.packbits(on, axis=1)
        if self.ids is not None:
            before = self.ids.astype(np.uint32)[:, None].view(np.uint8)
            columns = np.hstack([before, columns])
        _, ids = np.unique(columns, axis=0, return_inverse=True)
        self.ids = ids.reshape(-1)
