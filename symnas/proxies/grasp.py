"""Whether cutting weights would reduce the flow of gradients [1], as a score [2].

[1] C. Wang, G. Zhang and R. Grosse, "Picking Winning Tickets Before Training by Preserving
    Gradient Flow", ICLR 2020. https://arxiv.org/abs/2002.07376
[2] M. S. Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021.
    https://arxiv.org/abs/2101.08134
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from symnas.proxies.network import Network
from symnas.proxies.proxy import Needs, Proxy


@dataclass(frozen=True, kw_only=True)
class GraSP(Proxy):
    """The sum of -weight * (Hessian @ gradient) over all weights, the sign of [2].

    Of very heavy tails: use its ranks.

    Example:

    >>> import torch, symnas as sn
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> layer.weight.data = torch.tensor([[3.0]])
    >>> x = torch.ones(1, 1)  # Loss w^2: gradient 6, Hessian 2.
    >>> sn.proxies.GraSP()(layer, x, x, loss=lambda y, _: (y**2).sum()).value
    -36.0
    """

    needs: ClassVar = Needs(labels=True, gradients="weights")

    def measure(self, network: Network, handlers: Any) -> Any:
        gradients = network.gradients_of(network.loss, create_graph=True)
        # The gradient of g . stop(g) is the product with the Hessian.
        product = torch.stack(
            [(g * g.detach()).sum() for g in gradients.values()]
        ).sum()
        if not product.requires_grad:  # The loss is linear in the weights.
            return 0.0, network.coverage(gradients)
        curvatures = network.gradients_of(product)
        value = -sum(
            (network.parameters[name].detach() * curvature).sum().item()
            for name, curvature in curvatures.items()
        )
        return value, network.coverage(gradients)
