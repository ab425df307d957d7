"""How independent the channels of each layer are, for one random image [1].

[1] T. Jiang, H. Wang and R. Bie, "MeCo: Zero-Shot NAS with One Data and Single Forward Pass
    via Minimum Eigenvalue of Correlation", NeurIPS 2023.
    https://openreview.net/forum?id=KFm2lZiI7n
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from symnas.proxies.network import Network
from symnas.proxies.proxy import Needs, Proxy, Undefined
from symnas.proxies.watching import MODULE, Call, Handlers


@dataclass(frozen=True, kw_only=True)
class MeCo(Proxy):
    """The sum over modules of the least eigenvalue of their channels' correlation.

    Of the first sample of a batch drawn from N(0, 1); [1] has one sample. As in the code of [1] every module counts, also
    one that only holds others: scores depend on how modules are nested. Modules with fewer
    places than channels add nothing, as their least eigenvalue is 0.

    Example:

    >>> import torch, symnas as sn
    >>> layer = torch.nn.Conv2d(3, 4, 3)
    >>> 0 < sn.proxies.MeCo()(layer, torch.zeros(1, 3, 8, 8)).value < 1
    True
    """

    needs: ClassVar = Needs(inputs="noise")

    def watch(self, model: nn.Module) -> Handlers:
        return {MODULE: _LeastEigenvalues()}

    def measure(self, network: Network, handlers: Any) -> Any:
        network.outputs  # noqa: B018  # Makes the forward pass.
        found = handlers[MODULE].found
        if not found:
            raise Undefined("No module has an output of channels and places.")
        return sum(found), {"modules": len(found)}


class _LeastEigenvalues:
    def __init__(self) -> None:
        self.found: list[float] = []

    def __call__(self, call: Call) -> None:
        features = call.result
        if not isinstance(features, Tensor) or features.ndim < 3:
            return
        channels = features[0].detach().flatten(1)  # (C, places)
        if features.ndim == 3:  # Of sequences they come last.
            channels = channels.T
        if not 1 < channels.shape[0] < channels.shape[1]:
            return
        matrix = torch.corrcoef(channels.double())
        # A constant channel correlates with nothing.
        if matrix.isfinite().all():
            self.found.append(torch.linalg.eigvalsh(matrix)[0].item())
