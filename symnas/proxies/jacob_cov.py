"""How differently a network treats different inputs: the covariance of its Jacobian [1].

[1] J. Mellor et al., "Neural Architecture Search without Training", first version, 2020.
    https://arxiv.org/abs/2006.04647v1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from symnas.proxies.network import Network
from symnas.proxies.proxy import Needs, Proxy, Undefined

_OFFSET = 1e-5  # k in [1].


@dataclass(frozen=True, kw_only=True)
class JacobCov(Proxy):
    """-sum(log(l + k) + 1 / (l + k)) over the eigenvalues l of the correlation of gradients.

    The gradients are those of the sum of the outputs with respect to each sample. At most
    about -B, when they are all uncorrelated: compare scores of one batch size only.

    Example:

    >>> import torch, symnas as sn
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU())
    >>> sn.proxies.JacobCov()(model, torch.randn(4, 8)).value < -4
    True
    """

    needs: ClassVar = Needs(gradients="inputs")

    def measure(self, network: Network, handlers: Any) -> Any:
        eigenvalues = torch.linalg.eigvalsh(correlation(network.input_gradient))
        shifted = eigenvalues.clamp(min=0) + _OFFSET
        return -(shifted.log() + 1 / shifted).sum().item(), {"samples": network.size}


def correlation(rows: Tensor) -> Tensor:
    """The correlation matrix (n, n) of rows (n, d), in double precision.

    Raises:
      Undefined: there is one row, or one that is constant.
    """
    if len(rows) < 2:
        raise Undefined("It takes a batch of at least two samples.")
    if not rows.isfinite().all():
        raise Undefined("A gradient is not finite.")
    centred = rows.double() - rows.double().mean(1, keepdim=True)
    norms = centred.norm(dim=1, keepdim=True)
    if not (norms > 0).all():
        raise Undefined("The gradient of a sample is constant.")
    unit = centred / norms
    return unit @ unit.T
