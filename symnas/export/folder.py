"""A model as a folder: each format that can hold it, side by side."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from symnas.constructors import symbolic
from symnas.export.onnx_file import to_onnx
from symnas.export.python_code import to_python
from symnas.export.torch_program import check, to_torch_export
from symnas.export.weights import from_safetensors, to_safetensors
from symnas.seeding import generators_restored
from symnas.serialization import from_json, to_json
from symnas.space import build

DESCRIPTION, CODE, WEIGHTS = "description.json", "model.py", "weights.safetensors"
ONNX, PROGRAM = "model.onnx", "model.pt2"


def save(
    model: torch.nn.Module, folder: str | os.PathLike[str], inputs: Any = None
) -> list[Path]:
    """Writes a model in every format that can hold it; what cannot is warned about.

    - `weights.safetensors`: weights and statistics;
    - `description.json`: its constructor calls, read by `load`, which executes nothing;
    - `model.py`: code with a function `make_model`, as from `to_python`;
    - with `inputs` also `model.onnx` (extra `onnx`) and `model.pt2`, a program of
      `torch.export`, both in evaluation mode.

    The description and the code stand for the constructor call. They are written only if
    what it makes takes the weights: a model that was changed afterwards has neither, and
    neither has one of a function that is traced.

    Args:
      folder: made if it is not there. Files of these names in it are replaced or removed.
      inputs: as in `to_onnx`.

    Returns:
      The files that were written.

    Raises:
      ValueError: the model does not take `inputs`.

    Example:

    >>> import symnas as sn, tempfile, torch
    >>> model = sn.nn.Sequential(sn.nn.Linear(4, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print([path.name for path in sn.export.save(model, folder)])
    ...     loaded = sn.export.load(folder)
    ['weights.safetensors', 'description.json', 'model.py']
    >>> torch.equal(loaded(torch.ones(4)), model(torch.ones(4)))
    True
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            "What can be exported are modules, got "
            f"{str(model)[:200]!r} of type {type(model).__name__}."
        )
    if inputs is not None:
        check(model, inputs)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (DESCRIPTION, CODE, WEIGHTS, ONNX, PROGRAM):
        (folder / name).unlink(missing_ok=True)  # It would be of another model.
    weights = folder / WEIGHTS
    to_safetensors(model, weights)
    node = functools.cache(lambda: _checked(model, weights))
    writers: dict[str, Callable[[Path], object]] = {
        DESCRIPTION: lambda path: path.write_text(to_json(node()), encoding="utf-8"),
        CODE: lambda path: path.write_text(to_python(node()), encoding="utf-8"),
    }
    if inputs is not None:
        writers[ONNX] = lambda path: to_onnx(model, path, inputs)
        writers[PROGRAM] = lambda path: to_torch_export(model, path, inputs)
    written = [weights]
    for name, write in writers.items():
        try:
            write(folder / name)
        except Exception as error:
            (folder / name).unlink(missing_ok=True)
            reason = f"{str(error).strip()[:500]} ({type(error).__name__})"
            warnings.warn(f"{name} was not written: {reason}", stacklevel=2)
        else:
            written.append(folder / name)
    return written


def _checked(model: torch.nn.Module, weights: Path) -> Any:
    """The symbolic form of a model that takes its weights."""
    node = symbolic(model)
    with generators_restored():
        twin = build(node)
    if type(twin) is not type(model):
        raise ValueError(
            f"The calls that made this {type(model).__name__} make a "
            f"{type(twin).__name__} now."
        )
    from_safetensors(twin, weights)
    return node


def load(folder: str | os.PathLike[str], allow: Sequence[Any] = ()) -> torch.nn.Module:
    """The model that `save` has written, in evaluation mode, with its weights.

    Nothing in the folder is executed or imported: it is read from `description.json` and
    `weights.safetensors`.

    Args:
      allow: classes and functions it may be made of, besides those of torch and those
        that this program has symbolized; as in `from_json`.

    Raises:
      ValueError: the description names something else, or the weights do not fit.

    Example:

    >>> import symnas as sn, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = sn.export.save(sn.nn.Linear(4, 2), folder)
    ...     print(sn.export.load(folder))
    Linear(in_features=4, out_features=2, bias=True)
    """
    folder = Path(folder)
    description = folder / DESCRIPTION
    if not description.exists():
        raise FileNotFoundError(
            f"{str(folder)!r} has no {DESCRIPTION}, from which a model could be made."
        )
    model = build(from_json(description.read_text(encoding="utf-8"), allow))
    if not isinstance(model, torch.nn.Module):
        raise ValueError(
            f"{str(description)!r} describes a {type(model).__name__} and no model."
        )
    from_safetensors(model, folder / WEIGHTS)
    return model.eval()
