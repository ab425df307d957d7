"""Files of `numpy.savez`, read without pickles."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read(path: Path, *names: str) -> list[NDArray[Any]]:
    """The arrays with these names.

    Raises:
      ValueError: the file is damaged, lacks one, or holds Python objects.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            missing = [name for name in names if name not in file.files]
            if missing:
                raise ValueError(f"it has no array `{missing[0]}`")
            return [file[name] for name in names]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from None
    except (AttributeError, TypeError, KeyError):  # One array alone, not a zip of them.
        raise ValueError(f"{path} is no file of `numpy.savez`.") from None


def rows_by_index(path: Path, values: NDArray[Any], size: int) -> NDArray[np.float64]:
    """Values (A, C) of C columns as numbers (C, A), or an error if the shape is another."""
    if values.ndim != 2 or len(values) != size or values.dtype.kind not in "fiu":
        raise ValueError(
            f"{path} needs numbers of the shape ({size}, columns), got {values.dtype} of "
            f"the shape {values.shape}."
        )
    return values.T.astype(np.float64)
