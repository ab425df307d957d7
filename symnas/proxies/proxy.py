"""What a zero-cost proxy is: a number for a network that was not trained, and its needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import nn

if TYPE_CHECKING:
    from symnas.proxies.network import Network
    from symnas.proxies.watching import Handlers

Loss = Callable[[Any, Any], Any]
INITS = ("given", "normal", "kaiming")


class Undefined(Exception):
    """A proxy has no value for this network; the message is the reason."""


@dataclass(frozen=True)
class Score:
    """What a proxy says of a network.

    Attributes:
      value: higher is better; NaN if it is not defined.
      reason: why it is not defined; None if it is.
      seen: what the value was made of, by name: calls of activations, weights that have
        a gradient, ...

    Example:

    >>> import torch, symnas as sn
    >>> sn.proxies.Params()(torch.nn.Linear(3, 2))
    Score(value=8.0, reason=None, seen={'parameters': 2})
    """

    value: float
    reason: str | None = None
    seen: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_defined(self) -> bool:
        return self.reason is None

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True)
class Needs:
    """What a proxy works with.

    Attributes:
      inputs: 'none'; 'shape', if only the shape of the inputs counts; 'noise', if numbers
        drawn from N(0, 1) take their place; or 'data'.
      labels: whether it needs targets.
      gradients: of what.
      mode: of the network while it runs; dropout is left out in both.
      norms: 'batch' statistics, 'running' ones, or 'removed'.
    """

    inputs: Literal["none", "shape", "noise", "data"] = "data"
    labels: bool = False
    gradients: Literal["none", "weights", "inputs", "samples"] = "none"
    mode: Literal["train", "eval"] = "train"
    norms: Literal["batch", "running", "removed"] = "batch"


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A zero-cost proxy: a value for a network and a batch, with no training.

    Called with a network it gives a `Score`, and leaves the network as it was: nothing is
    written into it, so parameters, gradients, buffers and hooks stay, and its mode and the
    global random generators are set back, also when it fails.

    A network for which there is no value (it raises, gives NaN, has nothing to look at)
    gets an undefined score with the reason. Only what is wrong for every network, as
    missing labels, raises.

    `score` measures several proxies at once, and shares their passes.

    Args:
      batch_size: how many of the inputs are used, from the first; None for all.
      init: 'given' weights; 'normal' draws them from N(0, 1), 'kaiming' from
        N(0, 2 / fan_in), both with biases of 0 and norms that scale by 1.
      repeats: the value is the mean over so many initialisations or noises.
      seed: of the first of them.
    """

    batch_size: int | None = None
    init: str = "given"
    repeats: int = 1
    seed: int = 0

    needs: ClassVar[Needs]

    def __post_init__(self) -> None:
        if self.init not in INITS:
            raise ValueError(f"`init` must be one of {INITS}, got {self.init!r}.")
        for name in ("batch_size", "repeats"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")

    def __call__(
        self,
        model: nn.Module,
        inputs: Any = None,
        targets: Any = None,
        loss: Loss | None = None,
    ) -> Score:
        """The score of one network; see `score` for the arguments."""
        from symnas.proxies.scoring import score

        return score(model, [self], inputs, targets, loss)[0]

    def on(
        self, inputs: Any = None, targets: Any = None, loss: Loss | None = None
    ) -> ProxyEvaluation:
        """An `evaluate` for `sn.search`: the score on these inputs is the reward.

        Example:

        >>> import torch, symnas as sn
        >>> space = sn.nn.Linear(4, sn.oneof([2, 8, 4]))
        >>> evaluate = sn.proxies.Params().on()
        >>> sn.search(space, evaluate, "grid", progress=False).best.reward
        40.0
        """
        return ProxyEvaluation(self, inputs, targets, loss)

    # --- to be implemented --------------------------------------------------------------

    def watch(self, model: nn.Module) -> Handlers:
        """What watches the forward pass that it shares with other proxies."""
        return {}

    def measure(
        self, network: Network, handlers: Any
    ) -> float | tuple[float, Mapping[str, float]]:
        """The value, perhaps with what was seen.

        `network.outputs` makes the shared forward pass, which `handlers` watch; a proxy
        may also make passes of its own. Torch's generator is seeded before.

        Raises:
          Undefined: there is no value.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class ProxyEvaluation:
    """A proxy with the batch on which it scores networks; what `Proxy.on` makes.

    Raises:
      Undefined: when called with a network for which there is no score. A search records
        the trial as failed with this reason.
    """

    proxy: Proxy
    inputs: Any = None
    targets: Any = None
    loss: Loss | None = None

    def __repr__(self) -> str:
        shape = getattr(self.inputs, "shape", None)
        shown = type(self.inputs).__name__ if shape is None else tuple(shape)
        return f"{self.proxy!r}.on({shown})"

    def __call__(self, model: nn.Module) -> float:
        score = self.proxy(model, self.inputs, self.targets, self.loss)
        if score.reason is not None:
            raise Undefined(score.reason)
        assert math.isfinite(score.value)
        return score.value
