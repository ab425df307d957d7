"""Classes that are a search space when they are called without an architecture."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any


class SpaceByDefault(type):
    """The type of such a class.

    What is missing, or None, of the arguments that describe the architecture is filled in
    with open ones, so that `NASBench201(channels=8)` is a space over cells. Copies, pickles and
    replicas of a network make their objects without a call, and are not touched.

    The class lists these arguments, which come first in its `__init__`, in `_open`.
    """

    _open: Mapping[str, Callable[[], Any]]

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        openings = list(cls._open.items())
        given = [
            make() if value is None else value
            for value, (_, make) in zip(args, openings, strict=False)
        ]
        for name, make in openings[len(args) :]:
            if kwargs.get(name) is None:
                kwargs[name] = make()
        return super().__call__(*given, *args[len(openings) :], **kwargs)

    @property
    def __signature__(cls) -> inspect.Signature:
        init = inspect.signature(cls.__init__)  # type: ignore[misc]  # `cls` is a class
        return init.replace(parameters=list(init.parameters.values())[1:])
