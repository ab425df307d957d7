"""Whether inputs switch different activations on [1].

[1] J. Mellor et al., "Neural Architecture Search without Training", ICML 2021.
    https://arxiv.org/abs/2006.04647
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from symnas.proxies.network import Network
from symnas.proxies.proxy import Needs, Proxy, Undefined
from symnas.proxies.watching import ACTIVATION, Call, Handlers


@dataclass(frozen=True, kw_only=True)
class NWOT(Proxy):
    """log |K|; K counts the activations on which two samples agree (equation 2 of [1]).

    An activation is on above what it makes of 0: any activation counts, not only ReLU. On
    NAS-Bench-201 it ranks much as the number of convolutions does.

    Example:

    >>> import torch, symnas as sn
    >>> x = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])  # Opposite codes: K = 2 I.
    >>> round(sn.proxies.NWOT()(torch.nn.ReLU(), x).value, 4)
    1.3863
    """

    needs: ClassVar = Needs()

    def watch(self, model: nn.Module) -> Handlers:
        return {ACTIVATION: _Agreement()}

    def measure(self, network: Network, handlers: Any) -> Any:
        outputs, agreement = network.outputs, handlers[ACTIVATION]
        if agreement.counts is None:
            raise Undefined("No activation function was seen.")
        log_determinant = torch.linalg.slogdet(agreement.counts).logabsdet.item()
        if log_determinant == float("-inf"):
            raise Undefined("Two samples switch the same activations on.")
        seen = {"activations": agreement.num_calls, "values": agreement.num_values}
        return log_determinant, seen | {"samples": len(outputs)}


class _Agreement:
    """Adds up on how many activations samples agree."""

    def __init__(self) -> None:
        self.counts: Tensor | None = None  # (B, B)
        self.num_calls = 0
        self.num_values = 0  # Of a sample.

    def __call__(self, call: Call) -> None:
        codes = (call.output.detach() > call.at_zero).flatten(1).float()
        ones = codes.sum(1, dtype=torch.float64)
        # Both on, and both off: V - (a + b - 2 ab).
        both = (codes @ codes.T).double()
        counts = codes.shape[1] - (ones[:, None] + ones - 2 * both)
        self.counts = counts if self.counts is None else self.counts + counts
        self.num_calls += 1
        self.num_values += codes.shape[1]
