"""How differently a network treats inputs of one class [1].

[1] V. Lopes, S. Alirezazadeh and L. A. Alexandre, "EPE-NAS: Efficient Performance
    Estimation Without Training for Neural Architecture Search", ICANN 2021.
    https://arxiv.org/abs/2102.08099
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from symnas.proxies.jacob_cov import correlation
from symnas.proxies.network import Network
from symnas.proxies.proxy import Needs, Proxy, Undefined

_OFFSET = 1e-5
_MANY_CLASSES = 100


@dataclass(frozen=True, kw_only=True)
class EPENAS(Proxy):
    """Sums of log |correlation| of the gradients of each class, taken together.

    Up to 100 classes: the sum of their absolute values. With more: each is divided by the
    number of its samples, and the mean of their differences counts. The published code
    always does the first, that of NAS-Bench-Suite-Zero both. Choose batches in which
    each class has several samples; a class with one adds next to nothing.

    Example:

    >>> import torch, symnas as sn
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU())
    >>> x, y = torch.randn(6, 8), torch.tensor([0, 0, 0, 1, 1, 1])
    >>> sn.proxies.EPENAS()(model, x, y).value > 0
    True
    """

    needs: ClassVar = Needs(labels=True, gradients="inputs")

    def measure(self, network: Network, handlers: Any) -> Any:
        gradients, targets = network.input_gradient, network.targets
        if targets.ndim != 1:
            raise Undefined(
                f"It takes a class for each sample, got {targets.ndim} axes."
            )
        sums, sizes = [], []
        for label in targets.unique():
            rows = gradients[targets == label]
            matrix = (
                correlation(rows) if len(rows) > 1 else torch.ones(1, 1).to(gradients)
            )
            sums.append((matrix.abs() + _OFFSET).log().sum().double())
            sizes.append(len(rows))
        values = torch.stack(sums)
        seen = {"classes": len(sizes), "samples": network.size}
        if network.outputs.shape[-1] <= _MANY_CLASSES:
            return values.abs().sum().item(), seen
        scaled = values / torch.tensor(sizes).to(values)
        pairs = (scaled[:, None] - scaled).abs().triu(1).sum()
        return pairs.item() / len(sizes), seen
