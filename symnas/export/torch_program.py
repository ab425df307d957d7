"""Models as programs of `torch.export`."""

from __future__ import annotations

import copy
import os
import warnings
from typing import Any

import torch

from symnas.seeding import generators_restored


def to_torch_export(
    model: torch.nn.Module, path: str | os.PathLike[str], inputs: Any
) -> None:
    """Writes a model in evaluation mode as a program that needs none of its code.

    It is read by `torch.export.load(path).module()`. That is torch's reader, and it
    unpickles parts of some files: read those of people you trust only.

    Args:
      path: of the file, by custom `.pt2`. It also holds the inputs.
      inputs: a tensor, or a tuple of all that the forward pass takes. Of a batch of two
        or more the size stays free, if the model allows.

    Example:

    >>> import symnas as sn, tempfile, torch
    >>> model = sn.nn.Linear(4, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sn.export.to_torch_export(model, f"{folder}/model.pt2", torch.zeros(2, 4))
    ...     loaded = torch.export.load(f"{folder}/model.pt2").module()
    >>> x = torch.rand(3, 4)
    >>> torch.equal(loaded(x), model(x))
    True
    """
    exported = program(model, inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # What torch says about its own code.
        torch.export.save(exported, path)


def check(model: torch.nn.Module, inputs: Any) -> None:
    """Raises `ValueError` if a copy of the model does not run on the inputs."""
    with generators_restored(), torch.no_grad():
        try:
            copy.deepcopy(model).eval()(*_arguments(inputs))
        except Exception as error:
            raise ValueError(f"The model does not take `inputs`: {error}") from error


def _arguments(inputs: Any) -> tuple[Any, ...]:
    if isinstance(inputs, torch.Tensor):
        return (inputs,)
    if isinstance(inputs, (tuple, list)):
        return tuple(inputs)
    raise TypeError(
        "`inputs` must be a tensor, or a tuple of what the model takes, got "
        f"{str(inputs)[:200]} of type {type(inputs).__name__}."
    )


def program(model: torch.nn.Module, inputs: Any) -> torch.export.ExportedProgram:
    """The program of a copy of the model."""
    arguments = _arguments(inputs)
    batches = tuple(
        {0: torch.export.Dim.AUTO}
        if isinstance(item, torch.Tensor) and item.ndim
        else None
        for item in arguments
    )
    twin = copy.deepcopy(model).eval()
    with generators_restored(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(twin, arguments, dynamic_shapes=batches)
