"""Values of users as JSON has them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def json_value(value: Any) -> Any:
    """The value as JSON has it; what it does not have, as `nan`, becomes text.

    Example:

    >>> json_value({"loss": float("nan"), 1: (True, {"a"})})
    {'loss': 'nan', '1': [True, "{'a'}"]}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(float(value))
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    return repr(value)
