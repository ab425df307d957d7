"""Scores of one network by several proxies, which share their passes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from symnas.proxies.initialization import Parameters, drawn
from symnas.proxies.network import Network, first_tensor, mapped
from symnas.proxies.proxy import Loss, Proxy, Score, Undefined
from symnas.seeding import generators_restored, seed_generators


def score(
    model: nn.Module,
    proxies: Sequence[Proxy],
    inputs: Any = None,
    targets: Any = None,
    loss: Loss | None = None,
) -> list[Score]:
    """The scores of a network, one for each proxy.

    Proxies that need the same (batch, mode, weights) see the same forward pass, and those
    of them that need the same gradients the same backward pass.

    Args:
      model: any module. It is left as it was; see `Proxy`.
      inputs: a batch: a tensor (B, ...), a tuple of positional arguments or a mapping of
        keyword arguments. It is moved to the model's device, numbers with a point to its
        dtype.
      targets: of the samples (B, ...), for proxies that need labels.
      loss: of outputs and targets; by default the cross-entropy of logits (B, ..., classes)
        and classes (B, ...). Of several outputs the one called `logits` counts, or the
        first.

    Raises:
      ValueError: a proxy needs inputs or targets, and there are none; inputs are empty, or
        not finite.

    Example:

    >>> import torch, symnas as sn
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3))
    >>> proxies = [sn.proxies.Params(), sn.proxies.NWOT(), sn.proxies.GradNorm()]
    >>> x, y = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    >>> [s.is_defined for s in sn.proxies.score(model, proxies, x, y)]
    [True, True, True]
    """
    for proxy in proxies:
        _check_needs(proxy, inputs, targets)
    mapped(inputs, _check)
    size = 0 if inputs is None else len(first_tensor(inputs))
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, proxy in enumerate(proxies):
        groups.setdefault(_pass_of(proxy, size), []).append(i)
    scores: list[Score] = [Score(math.nan)] * len(proxies)
    for group in groups.values():
        members = [proxies[i] for i in group]
        found = _scores(model, members, inputs, targets, loss)
        for i, result in zip(group, found, strict=True):
            scores[i] = result
    return scores


def _check_needs(proxy: Proxy, inputs: Any, targets: Any) -> None:
    name = type(proxy).__name__
    if proxy.needs.inputs != "none" and inputs is None:
        what = "a batch of them" if proxy.needs.inputs == "data" else "their shape"
        raise ValueError(f"{name} needs `inputs`: {what}.")
    if proxy.needs.labels and targets is None:
        raise ValueError(f"{name} needs `targets`: the labels of the inputs.")


def _check(tensor: Tensor) -> Tensor:
    if not tensor.numel():
        raise ValueError(
            f"`inputs` hold nothing: their shape is {tuple(tensor.shape)}."
        )
    if not tensor.isfinite().all():
        raise ValueError("`inputs` must be finite, got NaN or infinity.")
    return tensor


def _pass_of(proxy: Proxy, size: int) -> tuple[Any, ...]:
    """What proxies that share a pass over at most `size` samples have in common."""
    return (
        min(proxy.batch_size or size, size),
        proxy.init,
        proxy.repeats,
        proxy.seed,
        proxy.needs.mode,
        proxy.needs.inputs == "noise",
    )


def _scores(
    model: nn.Module,
    proxies: Sequence[Proxy],
    inputs: Any,
    targets: Any,
    loss: Loss | None,
) -> list[Score]:
    """The scores of proxies that share their passes: means over the repeats."""
    first = proxies[0]
    rounds = []
    with generators_restored(), _cuda_restored(model):
        for i in range(first.repeats):
            seeds = np.random.SeedSequence([first.seed, i]).generate_state(3).tolist()
            rounds.append(_round(model, proxies, inputs, targets, loss, seeds))
    return [_mean(repeats) for repeats in zip(*rounds, strict=True)]


def _round(
    model: nn.Module,
    proxies: Sequence[Proxy],
    inputs: Any,
    targets: Any,
    loss: Loss | None,
    seeds: Sequence[int],
) -> list[Score]:
    """The scores for one initialisation.

    Args:
      seeds: of the weights, of noise in the place of inputs, and of what a proxy draws.
    """
    first = proxies[0]
    handlers = [proxy.watch(model) for proxy in proxies]
    kinds = {proxy.needs.gradients for proxy in proxies}
    seed_generators(seeds[0])
    try:
        parameters = _parameters(model, first.init)
    except Undefined as error:
        return [Score(math.nan, str(error))] * len(proxies)
    like = next(iter(parameters.values()), torch.zeros(0))

    def placed(tensor: Tensor) -> Tensor:
        tensor = tensor[: first.batch_size].detach().to(like.device)
        if not tensor.is_floating_point():
            return tensor
        if first.needs.inputs == "noise":
            tensor = torch.randn(tensor.shape).to(like)
        return tensor.to(like.dtype)

    seed_generators(seeds[1])
    inputs = mapped(inputs, placed)
    if isinstance(targets, Tensor):
        targets = targets[: first.batch_size].to(like.device)
    mode = first.needs.mode
    network = Network(model, parameters, inputs, targets, loss, mode, handlers, kinds)
    scores = []
    for proxy, own in zip(proxies, handlers, strict=True):
        seed_generators(seeds[2])  # Whatever the others have drawn.
        scores.append(_measured(proxy, network, own))
    return scores


def _parameters(model: nn.Module, init: str) -> Parameters:
    """Tensors that stand for the parameters in a pass."""
    own = dict(model.named_parameters())
    for name, parameter in own.items():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise Undefined(
                f"Its parameter {name!r} has no shape yet: run the model once before."
            )
    values = {name: parameter.detach() for name, parameter in own.items()}
    if init != "given":
        values = drawn(model, values, init)
    return {
        name: value.detach().requires_grad_(own[name].requires_grad)
        for name, value in values.items()
    }


def _measured(proxy: Proxy, network: Network, handlers: Any) -> Score:
    try:
        found = proxy.measure(network, handlers)
    except Undefined as error:
        return Score(math.nan, str(error))
    except RuntimeError as error:  # Of torch: a matrix, a precision, memory.
        return Score(math.nan, f"{type(proxy).__name__} failed: {error}")
    value, seen = found if isinstance(found, tuple) else (found, {})
    value = float(value)
    if not math.isfinite(value):
        return Score(math.nan, f"Its value is {value}.", seen)
    return Score(value, None, seen)


def _mean(repeats: Sequence[Score]) -> Score:
    for repeat in repeats:
        if not repeat.is_defined:
            return repeat
    value = float(np.mean([repeat.value for repeat in repeats]))
    return Score(value, None, repeats[0].seen)


def _cuda_restored(model: nn.Module) -> Any:
    first = next(model.parameters(), torch.zeros(0))
    return torch.random.fork_rng([first.device], enabled=first.is_cuda)
