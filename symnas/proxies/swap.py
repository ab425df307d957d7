"""SWAP: how many different sample-wise activation patterns a network has [1].

[1] Y. Peng et al., "SWAP-NAS: Sample-Wise Activation Patterns for Ultra-fast NAS", ICLR
    2024. https://arxiv.org/abs/2403.04161
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from symnas.proxies.network import Network
from symnas.proxies.proxy import Needs, Proxy, Undefined
from symnas.proxies.watching import ACTIVATION, Call, Handlers

_WORD = 8  # Bits of a word of patterns.
_LONGEST_IN_TABLE = 16  # Samples up to which all patterns have a place in a table.


@dataclass(frozen=True, kw_only=True)
class SWAP(Proxy):
    """The number of different columns of the binary matrix (samples, activation values).

    Each activation value is on for some of the samples: that is its pattern (definition 3.1
    of [1]). There are at most min(values, 2 ** samples) of them, so the batch size is no
    detail: with few samples all patterns occur, with many all differ. 16 is that of [1];
    below 12 or above 32 samples the ranking suffers on NAS-Bench-201.

    With `mu` and `sigma` the score is regularised by the size of the network (definition
    3.2 of [1]), and its value is the logarithm: log(patterns) - (size - mu)^2 / sigma. It
    ranks alike, and does not underflow where sizes differ much. Sigma is not squared.

    Args:
      init: [1] draws weights anew from N(0, 1) and takes the mean of 32 draws.
      mu: the size to which the score leads, in units of `params_unit` parameters.
      sigma: how strongly, smaller is stronger; both must be given, or none.

    Example:

    >>> import torch, symnas as sn
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    >>> sn.proxies.SWAP()(torch.nn.ReLU(), x).value  # The columns 101 and 010.
    2.0
    """

    batch_size: int | None = 16
    init: str = "normal"
    mu: float | None = None
    sigma: float | None = None
    params_unit: float = 1e3

    needs: ClassVar = Needs()

    @classmethod
    def up_to(cls, size: float, **options: Any) -> SWAP:
        """Regularised for a family whose largest network has `size` parameters.

        `mu` is that size and `sigma` is 2 mu^2, so a network that is smaller by a share s
        of it loses s^2 / 2. [1] chooses both by hand; this rule was found by trying some
        that need no accuracies on two spaces, where it does about as well as is published
        (docs/results.md).

        >>> SWAP.up_to(500_000).mu
        500.0
        """
        mu = size / options.get("params_unit", 1e3)
        return cls(mu=mu, sigma=2 * mu**2, **options)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.mu is None) != (self.sigma is None):
            raise ValueError("`mu` and `sigma` must both be given, or none of them.")
        for name in ("sigma", "params_unit"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` must be above 0, got {value}.")

    def watch(self, model: nn.Module) -> Handlers:
        return {ACTIVATION: Patterns()}

    def measure(self, network: Network, handlers: Any) -> Any:
        outputs, patterns = network.outputs, handlers[ACTIVATION]
        if patterns.is_complex:
            raise Undefined("An activation is complex.")
        if not patterns.num_calls:
            raise Undefined("No activation function was seen.")
        count = patterns.count()
        limit = min(float(patterns.num_values), 2.0 ** len(outputs))
        seen = {
            "activations": patterns.num_calls,
            "values": patterns.num_values,
            "of the possible patterns": count / limit,
        }
        if self.mu is None or self.sigma is None:
            return count, seen
        size = sum(
            parameter.numel()
            for name, parameter in network.parameters.items()
            if "auxiliary" not in name
        )
        distance = size / self.params_unit - self.mu
        return math.log(count) - distance**2 / self.sigma, seen


class Patterns:
    """Counts different patterns (columns) of activation outputs (samples, values).

    Patterns are packed into bits as they are seen. Up to 16 samples nothing is kept but
    which of them have occurred.
    """

    def __init__(self) -> None:
        self.num_calls = 0
        self.num_values = 0
        self.is_complex = False
        self._seen: NDArray[np.bool_] | None = None  # (2 ** samples,)
        self._columns: list[NDArray[Any]] = []  # (values,) each, one number a pattern.

    def __call__(self, call: Call) -> None:
        output = _in_order_of_memory(call.output.detach())
        if output.is_complex():
            self.is_complex = True
            return
        self.num_calls += 1
        self.num_values += output.shape[1]
        words = packed(_above(output, call.at_zero))
        if len(output) > _LONGEST_IN_TABLE:
            self._columns.append(_as_numbers(words))
            return
        if self._seen is None:
            self._seen = np.zeros(2 ** len(output), dtype=bool)
        index = words[0].astype(np.uint16)
        for i, word in enumerate(words[1:], 1):
            index |= word.astype(np.uint16) << _WORD * i
        self._seen[index] = True

    def count(self) -> int:
        if self._seen is not None:
            return int(self._seen.sum())
        return len(np.unique(np.concatenate(self._columns)))


def _as_numbers(words: NDArray[np.uint8]) -> NDArray[Any]:
    """Words (words, values) as (values,): of up to 64 bits, which sort fast, or of bytes."""
    longer = -len(words) % 8 if len(words) <= 8 else 0
    columns = np.ascontiguousarray(np.pad(words, ((0, longer), (0, 0))).T)
    kind = np.uint64 if len(words) <= 8 else f"V{len(words)}"
    return columns.view(kind)[:, 0]


def _in_order_of_memory(output: Tensor) -> Tensor:
    """Values (samples, values) in whatever order needs no copy."""
    axes = sorted(range(1, output.ndim), key=output.stride, reverse=True)
    return output.permute(0, *axes).flatten(1)


def _above(output: Tensor, at_zero: float) -> NDArray[np.bool_]:
    if output.device.type != "cpu" or output.dtype == torch.bfloat16:
        return (output > at_zero).cpu().numpy()
    return np.greater(output.numpy(), at_zero)  # Twice as fast as torch's.


def packed(on: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Words (ceil(samples / 8), values) of 8 bits, of on (samples, values).

    >>> packed(np.array([[True, False], [True, True]]))
    array([[3, 2]], dtype=uint8)
    """
    rows = -(-len(on) // _WORD) * _WORD
    if rows > len(on):
        on = np.concatenate([on, np.zeros((rows - len(on), on.shape[1]), dtype=bool)])
    bits = on.view(np.uint8).reshape(-1, _WORD, on.shape[1])
    while (
        bits.shape[1] > 1
    ):  # The later half of the bits of a word goes above the first.
        half = bits.shape[1] // 2
        bits = bits[:, :half] | (bits[:, half:] << half).astype(np.uint8, copy=False)
    return bits[:, 0]
