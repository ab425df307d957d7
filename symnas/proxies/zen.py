"""How much a network with random weights bends [1].

[1] M. Lin et al., "Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition",
    ICCV 2021. https://arxiv.org/abs/2102.01063
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from symnas.proxies.network import Network, first_tensor, mapped
from symnas.proxies.proxy import Needs, Proxy, Undefined
from symnas.proxies.watching import NORM, POOL, Call, Handlers

_STEP = 0.01  # Between an input and its neighbour.


@dataclass(frozen=True, kw_only=True)
class Zen(Proxy):
    """Algorithm 1 of [1]: how features answer to a small change of a random input.

    The logarithm of the mean over samples of sum |f(x) - f(x + 0.01 e)|, and for each
    batch norm that of a standard deviation of its input. Features are those before the mean
    over places, or the outputs if there is none. The variance of a norm is, as in the code
    of [1], what a norm with momentum 0.1 keeps after both passes, and not that of the
    batch: 0.81 + 0.09 v(x) + 0.1 v(x + 0.01 e). Published figures are made with it.

    Made for networks of convolutions alone; on spaces with pooling and skips, as
    NAS-Bench-201, it hardly ranks. [1] repeats it 32 times.

    Example:

    >>> import torch, symnas as sn
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU())
    >>> sn.proxies.Zen()(model, torch.zeros(16, 8)).is_defined
    True
    """

    init: str = "normal"

    needs: ClassVar = Needs(inputs="noise")

    def watch(self, model: nn.Module) -> Handlers:
        return {NORM: _Variances(), POOL: _BeforePooling()}

    def measure(self, network: Network, handlers: Any) -> Any:
        if not first_tensor(network.inputs).is_floating_point():
            raise Undefined("Its inputs are whole numbers, which no noise changes.")
        before = _features(network.outputs, handlers)
        near: Any = {NORM: _Variances(), POOL: _BeforePooling()}
        neighbours = mapped(network.inputs, _neighbour)
        with torch.no_grad():
            outputs = network.forward(neighbours, network.parameters, [near])
        change = (
            (before - _features(outputs, near)).abs().flatten(1).sum(1).mean().item()
        )
        if not change > 0:
            raise Undefined("Its features do not depend on its inputs.")
        kept = [
            (0.81 + 0.09 * first + 0.1 * second).mean().item()
            for first, second in zip(
                handlers[NORM].found, near[NORM].found, strict=True
            )
        ]
        deviations = sum(math.log(variance) / 2 for variance in kept)
        return math.log(change) + deviations, {"norms": len(kept)}


class _Variances:
    """Keeps the variances (C,) of what batch norms see, call by call."""

    def __init__(self) -> None:
        self.found: list[Tensor] = []

    def __call__(self, call: Call) -> None:
        if call.called.__name__ != "batch_norm":
            return
        features = call.argument(0, "input").detach()
        axes = [axis for axis in range(features.ndim) if axis != 1]
        self.found.append(features.float().var(axes))


class _BeforePooling:
    """Keeps the input of the last call that took the mean over all places."""

    def __init__(self) -> None:
        self.features: Tensor | None = None

    def __call__(self, call: Call) -> None:
        features = call.argument(0, "input")
        if features.ndim == 4 and call.output.numel() == features.shape[:2].numel():
            self.features = features.detach()


def _features(outputs: Tensor, handlers: Any) -> Tensor:
    features = handlers[POOL].features
    return outputs.detach() if features is None else features


def _neighbour(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor.detach() + _STEP * torch.randn(tensor.shape).to(tensor)
