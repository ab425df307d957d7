"""AZ-NAS: four scores of different kinds, the ranks of which are added up [1].

[1] J. Lee and B. Ham, "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture
    Search", CVPR 2024. https://arxiv.org/abs/2403.19232
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from symnas.proxies.flops import FLOPs
from symnas.proxies.network import Network, gradients
from symnas.proxies.proxy import Needs, Proxy, Undefined
from symnas.proxies.watching import MODULE, Call, Handlers

_OFFSET = 1e-8
_TRAINABILITY_OFFSET = 1e-6

Blocks = Callable[[nn.Module], Sequence[nn.Module]]


def az_nas_proxies(
    blocks: Blocks | None = None, batch_size: int | None = None
) -> list[Proxy]:
    """The four proxies, for `RankSum` over a pool of networks.

    Args:
      blocks: the primary blocks of a model; see `Expressivity`.
      batch_size: 64 in [1].

    Example:

    >>> import symnas as sn
    >>> [type(proxy).__name__ for proxy in sn.proxies.az_nas_proxies()]
    ['Expressivity', 'Progressivity', 'Trainability', 'FLOPs']
    """
    kinds = (Expressivity, Progressivity, Trainability)
    own = [kind(blocks=blocks, batch_size=batch_size) for kind in kinds]
    return [*own, FLOPs()]


def longest_sequence(model: nn.Module) -> list[nn.Module]:
    """The blocks of the longest `nn.Sequential` or `nn.ModuleList`, the outermost of equals.

    Example:

    >>> import symnas as sn
    >>> from symnas.spaces import NASBench201
    >>> from symnas.proxies.az_nas import longest_sequence
    >>> len(longest_sequence(NASBench201(1462)))  # 15 cells and two residual blocks.
    17
    """
    sequences = [
        list(module)
        for module in model.modules()
        if isinstance(module, (nn.Sequential, nn.ModuleList)) and len(module) > 1
    ]
    return max(sequences, key=len, default=[])


@dataclass(frozen=True, kw_only=True)
class _OfBlocks(Proxy):
    init: str = "kaiming"
    blocks: Blocks | None = None

    def watch(self, model: nn.Module) -> Handlers:
        return {MODULE: _Features(self._blocks_of(model))}

    def _blocks_of(self, model: nn.Module) -> Sequence[nn.Module]:
        return (self.blocks or longest_sequence)(model)

    def features(self, network: Network, handlers: Any) -> list[Tensor]:
        """What the first block gets, and the outputs of all blocks."""
        if not self._blocks_of(network.model):
            raise Undefined("It has no sequence of blocks: pass `blocks`.")
        network.outputs  # noqa: B018  # Makes the forward pass.
        found: list[Tensor] = handlers[MODULE].found
        if len(found) < 2:
            raise Undefined("None of its blocks was run on a tensor.")
        return found


@dataclass(frozen=True, kw_only=True)
class Expressivity(_OfBlocks):
    """Sum over blocks of the entropy of the spectrum of their features (section 3.2 of [1]).

    The spectrum is that of the covariance of channels over samples and places.

    Args:
      blocks: the primary blocks of a model, in the order in which they run; None for
        `longest_sequence`.

    Example:

    >>> import torch, symnas as sn
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1))
    >>> sn.proxies.Expressivity()(model, torch.zeros(4, 3, 8, 8)).value > 0
    True
    """

    needs: ClassVar = Needs(inputs="noise")

    def measure(self, network: Network, handlers: Any) -> Any:
        found = _entropies(self.features(network, handlers))
        return sum(found), {"blocks": len(found) - 1}


@dataclass(frozen=True, kw_only=True)
class Progressivity(_OfBlocks):
    """The least growth of that entropy from one block to the next (section 3.2 of [1]).

    Args:
      blocks: see `Expressivity`.

    Example:

    >>> import torch, symnas as sn
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1))
    >>> sn.proxies.Progressivity()(model, torch.zeros(4, 3, 8, 8)).is_defined
    True
    """

    needs: ClassVar = Needs(inputs="noise")

    def measure(self, network: Network, handlers: Any) -> Any:
        found = _entropies(self.features(network, handlers))
        steps = [after - before for before, after in itertools.pairwise(found)]
        return min(steps), {"blocks": len(steps)}


@dataclass(frozen=True, kw_only=True)
class Trainability(_OfBlocks):
    """The mean over blocks of 2 - s - 1 / s (section 3.2 of [1]).

    s is the largest singular value of the product of a random sign for every output of a
    block with what of it comes back to its inputs. Not defined where a block gives back
    exactly what it gets.

    Args:
      blocks: see `Expressivity`.

    Example:

    >>> import torch, symnas as sn
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1))
    >>> sn.proxies.Trainability()(model, torch.zeros(4, 3, 8, 8)).value < 0
    True
    """

    needs: ClassVar = Needs(inputs="noise", gradients="inputs")

    def measure(self, network: Network, handlers: Any) -> Any:
        features = self.features(network, handlers)
        values = [
            _trainability(before, after)
            for before, after in itertools.pairwise(features)
        ]
        return sum(values) / len(values), {"blocks": len(values)}


class _Features:
    """Keeps the input of the first block and the outputs of all."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        self._blocks = blocks
        self.found: list[Tensor] = []

    def __call__(self, call: Call) -> Any:
        if not any(call.called is block for block in self._blocks):
            return None
        output = call.output
        if not isinstance(output, Tensor):
            return None
        if not self.found:
            self.found.append(call.args[0])
        self.found.append(output)
        # What comes later may change its inputs in place.
        return output.clone() if call.result is output else None


def _rows(features: Tensor) -> Tensor:
    """Features by channel: (samples and places, C)."""
    if features.ndim > 3:
        features = features.movedim(1, -1)
    return features.flatten(0, -2)


def _entropies(features: Sequence[Tensor]) -> list[float]:
    found = []
    for feature in features:
        rows = _rows(feature.detach().double())
        centred = rows - rows.mean(0)
        spectrum = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0)
        if not spectrum.sum() > 0:
            raise Undefined("A block has constant features.")
        shares = spectrum / spectrum.sum()
        found.append(-(shares * (shares + _OFFSET).log()).sum().item())
    return found


def _trainability(before: Tensor, after: Tensor) -> float:
    signs = torch.randint(0, 2, after.shape).to(after) * 2 - 1
    (gradient,) = gradients((after * signs).sum(), [before])
    if gradient is None:
        raise Undefined("A block does not depend on the one before it.")
    if gradient.shape == signs.shape and torch.equal(gradient, signs):
        raise Undefined("A block gives back exactly what it gets.")
    if gradient.ndim != signs.ndim:
        raise Undefined("A block changes the number of axes.")
    if gradient.ndim == 4 and gradient.shape[2:] != signs.shape[2:]:
        stride, rest = divmod(gradient.shape[2], signs.shape[2])
        if rest or gradient.shape[3] != stride * signs.shape[3]:
            raise Undefined("A block divides the size of images by no whole number.")
        gradient = F.pixel_unshuffle(gradient, stride)
    came, went = _rows(gradient.float()), _rows(signs.float())
    product = came.T @ went / len(went)
    largest = torch.linalg.matrix_norm(product, 2).item()
    return 2 - largest - 1 / (largest + _TRAINABILITY_OFFSET)
