"""What channels contribute to the loss [1], as a score of networks [2].

[1] J. Turner et al., "BlockSwap: Fisher-guided Block Substitution for Network Compression
    on a Budget", ICLR 2020. https://arxiv.org/abs/1906.04113
[2] M. S. Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021.
    https://arxiv.org/abs/2101.08134
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from symnas.proxies.network import Network, gradients
from symnas.proxies.proxy import Needs, Proxy, Undefined
from symnas.proxies.watching import LAYER, Call, Handlers


@dataclass(frozen=True, kw_only=True)
class Fisher(Proxy):
    """Sum over channels of half the mean over samples of (sum of activation * gradient)^2.

    Of every output of a convolution or a linear layer; its channels are axis 1 of images
    and the last axis of everything else. As in the code of [2], a channel counts as often
    as it has weights; [1] and the text of [2] count it once.

    Example:

    >>> import torch, symnas as sn
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> layer.weight.data = torch.tensor([[3.0]])
    >>> x = torch.ones(2, 1)  # Loss: the sum of the outputs.
    >>> sn.proxies.Fisher()(layer, x, x, loss=lambda y, _: y.sum()).value
    4.5
    """

    needs: ClassVar = Needs(labels=True, gradients="weights")

    def watch(self, model: nn.Module) -> Handlers:
        return {LAYER: _Outputs()}

    def measure(self, network: Network, handlers: Any) -> Any:
        loss = network.loss
        layers = [layer for layer in handlers[LAYER].layers if layer[0].requires_grad]
        found = gradients(loss, [output for output, _ in layers])
        values = [
            num_weights * _fisher(output.detach(), gradient)
            for (output, num_weights), gradient in zip(layers, found, strict=True)
            if gradient is not None
        ]
        if not values:
            raise Undefined("No convolution or linear layer that the loss depends on.")
        return sum(values), {"layers": len(values)}


class _Outputs:
    """Keeps the outputs of layers, and hands on copies, which later calls may change."""

    def __init__(self) -> None:
        # Each with the number of weights of a channel.
        self.layers: list[tuple[Tensor, int]] = []

    def __call__(self, call: Call) -> Tensor:
        weight = call.argument(1, "weight")
        self.layers.append((call.output, weight[0].numel()))
        return call.output.clone()


def _fisher(output: Tensor, gradient: Tensor) -> float:
    contributions = output * gradient
    if output.ndim in (2, 3):  # (B, C), (B, T, C)
        contributions = contributions.movedim(-1, 1)
    per_channel = contributions.flatten(2).sum(2) if output.ndim > 2 else contributions
    return per_channel.double().square().mean(0).sum().item() / 2
