"""What a command means by `module:name`: the space or function that it names."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from symnas import spaces
from symnas.space import SearchSpace


def space_of(text: str) -> SearchSpace:
    """The space that a command names: `module:name`, `file.py:name`, or one of ours.

    Raises:
      ValueError: it cannot be found, or is no space.

    Example:

    >>> space_of("nas_bench_201")
    SearchSpace(6 decisions, 15,625 examples)
    """
    known = spaces.by_name()
    if text in known:
        made = known[text]
        return SearchSpace(made(), getattr(made, "constraint", None))
    if ":" not in text:
        close = difflib.get_close_matches(text, known, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ValueError(
            f"{text!r} is no space.{hint} Name yours as module:name, as in my_model:space, "
            f"or one of {', '.join(known)}."
        )
    found = _object(text)
    if isinstance(found, SearchSpace):
        return found
    constraint = getattr(found, "constraint", None) if inspect.isclass(found) else None
    if found in known.values():
        found = found()
    try:
        return SearchSpace(found, constraint)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{text} is no search space. {error}") from error


def function_of(text: str, option: str) -> Callable[[Any], Any]:
    """The function of an example that a command names as `module:name`.

    Raises:
      ValueError: it cannot be found, or does not take one argument.
    """
    if ":" not in text:
        raise ValueError(
            f"{option} must be module:name, as in train:evaluate, got {text!r}."
        )
    found = _object(text)
    if not callable(found):
        raise ValueError(
            f"{option} must be a function of an example; {text} is {found!r}."
        )
    if inspect.isclass(found):
        raise ValueError(
            f"{option} must be a function of an example; {text} is a class. Name an object "
            "of it that can be called."
        )
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # Some functions in C have none.
        return found
    try:
        signature.bind(object())
    except TypeError:
        raise ValueError(
            f"{option} must take one argument, the example; {text} takes {signature}."
        ) from None
    return found


def _object(text: str) -> Any:
    module_name, _, name = text.rpartition(":")
    module = _module(module_name, text)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [key for key in vars(found) if not key.startswith("_")]
            close = difflib.get_close_matches(part, public, n=1, cutoff=0.5)
            hint = f" Did you mean {module_name}:{close[0]}?" if close else ""
            raise ValueError(f"{module_name} has no {part!r}.{hint}")
        found = getattr(found, part)
    return found


def _module(name: str, text: str) -> Any:
    """Imports a module by its name or its file; those of the current folder come first."""
    folder = Path.cwd()
    if name.endswith(".py"):
        file = Path(name)
        if not file.is_file():
            raise ValueError(f"There is no file {name} ({text!r}).")
        folder, name = file.resolve().parent, file.stem
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    # Workers are processes of their own, which Ray starts elsewhere.
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(folder) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *filter(None, paths)])
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            files = [file.stem for file in folder.glob("*.py")]
            close = difflib.get_close_matches(name, files, n=1, cutoff=0.5)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ValueError(
                f"There is no module {name!r}, neither in {folder} nor among what is "
                f"installed.{hint}"
            ) from None
        raise ValueError(f"{name} cannot be imported: {error}.") from error
    except SyntaxError as error:  # Its message tells the place.
        raise ValueError(f"{name} cannot be imported: SyntaxError: {error}.") from error
    except Exception as error:  # The code of the user.
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ValueError(
            f"{name} cannot be imported: {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno})."
        ) from error
    except SystemExit as error:
        raise ValueError(
            f"{name} ends Python when it is imported (exit code {error.code}). Put what it "
            'runs behind `if __name__ == "__main__":`.'
        ) from error
