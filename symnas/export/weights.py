"""Weights and statistics as safetensors, which hold tensors and nothing else."""

from __future__ import annotations

import os

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_model


def to_safetensors(model: torch.nn.Module, path: str | os.PathLike[str]) -> None:
    """Writes the state dict of a model; tensors that are tied are written once.

    Args:
      path: of the file, which is replaced.

    Raises:
      TypeError: the state dict holds something that is no tensor.

    Example:

    >>> import symnas as sn, tempfile, torch
    >>> model, other = torch.nn.Linear(4, 2), torch.nn.Linear(4, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sn.export.to_safetensors(model, f"{folder}/weights.safetensors")
    ...     sn.export.from_safetensors(other, f"{folder}/weights.safetensors")
    >>> torch.equal(model.weight, other.weight)
    True
    """
    for name, value in model.state_dict().items():
        if not isinstance(value, torch.Tensor):
            raise TypeError(
                f"`{name}` of the state dict is a {type(value).__name__}, and safetensors "
                "hold tensors only."
            )
    save_model(model, str(path))


def from_safetensors(model: torch.nn.Module, path: str | os.PathLike[str]) -> None:
    """Gives a model what `to_safetensors` has written, in the precision it has there.

    Nothing in the file is executed.

    Raises:
      ValueError: the file is of another kind, or belongs to another model.

    Example:

    >>> import symnas as sn, tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sn.export.to_safetensors(torch.nn.Linear(4, 2), f"{folder}/weights.safetensors")
    ...     sn.export.from_safetensors(torch.nn.Linear(4, 3), f"{folder}/weights.safetensors")
    Traceback (most recent call last):
        ...
    ValueError: The weights in ...weights.safetensors' do not fit this Linear: ...
    """
    try:
        stored = load_file(path)
        tensors = model.state_dict(keep_vars=True)
        for name in stored.keys() & tensors.keys():
            tensors[name].data = tensors[name].data.to(stored[name].dtype)
        load_model(model, path)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"The weights in {str(path)!r} do not fit this {type(model).__name__}: {error}"
        ) from error
