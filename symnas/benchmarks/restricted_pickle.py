"""A reader of foreign pickles that can make numbers, text and containers, and no more.

A pickle is a program: it names functions and calls them. Here the names that the
authors' files contain lead to harmless stand-ins of ours, and any other name ends the
reading. Nothing is imported or executed; at worst a hostile file wastes memory.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import IO, Any

import numpy as np


class Record(dict[str, Any]):
    """What was an object of a foreign class: its attributes, and nothing else."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("the state of a record must be a dict")
        self.update(state)


class _Type:
    """Stands for a `numpy.dtype` of numbers."""

    def __init__(self, code: Any, *_: Any) -> None:
        # One letter and one digit, as in 'f8': no objects, no structures.
        if not isinstance(code, str) or code[:1] not in "fiub" or len(code) != 2:
            raise pickle.UnpicklingError(f"arrays of {code!r} are not read")
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = ">" if state[1] == ">" else "<"

    def values(self, data: Any) -> np.ndarray[Any, Any]:
        return np.frombuffer(data, dtype=self.order + self.code)


class Array:
    """Stands for a `numpy.ndarray` of numbers, which is in `values`."""

    def __init__(self, *_: Any) -> None:
        self.values = np.empty(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, columns_first, data = state
        if not isinstance(kind, _Type):
            raise pickle.UnpicklingError("an array needs a type of numbers")
        # Column by column is row by row of the transpose.
        self.values = kind.values(data).reshape(shape[::-1] if columns_first else shape)
        self.values = self.values.T if columns_first else self.values


def _scalar(kind: Any, data: Any) -> Any:
    if not isinstance(kind, _Type):
        raise pickle.UnpicklingError("a number needs a type of numbers")
    (value,) = kind.values(data).tolist()
    return value


def _encoded(text: Any, encoding: Any) -> bytes:
    if encoding != "latin1" or not isinstance(text, str):
        raise pickle.UnpicklingError("text can be encoded as latin1 alone")
    return text.encode("latin1")


def _plain_dict(*items: Any) -> dict[Any, Any]:
    return dict(*items)


def _plain_set(*items: Any) -> set[Any]:
    return set(*items)


def _made(kind: Any, *_: Any) -> Any:
    """Stands for `copyreg._reconstructor`, which makes an object without its state."""
    if kind is not Record:
        raise pickle.UnpicklingError("only records can be made")
    return Record()


def _not_an_array(*_: Any) -> None:
    """Stands for `numpy.ndarray` where it is an argument."""
    raise pickle.UnpicklingError("arrays are made in another way")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _plain_dict,
    ("copyreg", "_reconstructor"): _made,
    ("copy_reg", "_reconstructor"): _made,
    ("_codecs", "encode"): _encoded,
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _not_an_array,
}
for _module in ("builtins", "__builtin__"):
    _ALLOWED[_module, "set"] = _plain_set
    _ALLOWED[_module, "object"] = Record
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[_module, "scalar"] = _scalar
    _ALLOWED[_module, "_reconstruct"] = Array
for _module in (
    "nats_bench.api_utils",
    "nas_201_api.api_utils",
    "nas_201_api.api",
    "nas_201_api.api_201",
):
    for _name in ("ArchResults", "ResultsCount"):
        _ALLOWED[_module, _name] = Record


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {f'{module}.{name}'[:200]!r}, which no published table needs"
            ) from None


def load(file: IO[bytes], title: str) -> Any:
    """What one pickle holds.

    Args:
      file: is read up to the end of the pickle.
      title: of the file, for the error.

    Raises:
      ValueError: it names something that is not allowed, is truncated, or no pickle.
    """
    try:
        return _Reader(file).load()
    except (
        Exception
    ) as error:  # The format fails in a dozen ways, all of them harmless.
        what = f"{type(error).__name__}: {error}" if str(error) else "it is truncated"
        raise ValueError(f"{title} was refused: {what}.") from None


def loads(data: bytes, title: str) -> Any:
    """What the pickle in these bytes holds; see `load`."""
    return load(io.BytesIO(data), title)
