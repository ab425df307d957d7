"""The code that makes a model, as a file that runs by itself."""

from __future__ import annotations

import collections
import enum
import functools
import keyword
import math
import operator
import sys
from typing import Any

import numpy as np
import torch

from symnas import hyper, tree
from symnas.constructors import symbolic
from symnas.description import Document, call_parts, layout, names_of_shared
from symnas.tree import Call, Foreign, SymbolicDict, SymbolicList

_WIDTH = 88


def to_python(model: Any) -> str:
    """Python code with a function `make_model` that makes a model like this one.

    What it calls is imported by name from where it is defined, so code for layers of
    torch needs torch alone. Weights are not in it: see `to_safetensors`.

    Args:
      model: made by a search or by symbolized constructors; or its symbolic form.

    Raises:
      ValueError: nothing is known about how the model was made, or a decision is open.
      TypeError: something in it cannot be written as code; the error names it.

    Example:

    >>> import symnas as sn
    >>> from symnas import nn
    >>> print(sn.export.to_python(nn.Sequential(nn.Linear(4, 8), nn.ReLU())))
    from torch import nn
    <BLANKLINE>
    <BLANKLINE>
    def make_model():
        return nn.Sequential(nn.Linear(in_features=4, out_features=8), nn.ReLU())
    <BLANKLINE>
    """
    root = symbolic(model)
    code = _Code(names_of_shared(root))
    try:
        result = code.write(root, "")
        lines = [*code.statements, f"    return {layout(result, _WIDTH, 4, 7)}"]
    except RecursionError:
        raise TypeError(
            "This model is nested too deeply to be written as code."
        ) from None
    imports = sorted(code.imports, key=lambda line: (line.startswith("from"), line))
    return "\n".join([*imports, "\n", "def make_model():", *lines, ""]).lstrip("\n")


class _Code:
    """Code in the making: what it imports, and what it makes before the model."""

    def __init__(self, names: dict[Any, str]) -> None:
        self.names = names  # Of what stands in several places.
        self.imports: set[str] = set()
        self.statements: list[str] = []
        self._made: set[Any] = set()

    def write(self, value: Any, where: str) -> Document:
        if isinstance(value, hyper.HyperValue):
            raise ValueError(
                f"The decision `{value!r}`{_at(where)} is open. Take a model from the "
                "space with `symnas.sample` or `symnas.search` first."
            )
        if isinstance(value, Call):
            return self._call(value, where)
        if isinstance(value, Foreign):
            return self._foreign(value, where)
        if isinstance(value, SymbolicList):
            return self._items("[", list.__iter__(value), "]", where)
        if isinstance(value, SymbolicDict):
            return self._pairs(dict.items(value), where)
        return self._leaf(value, where)

    def _call(self, value: Call, where: str) -> Document:
        name = self.names.get(value.sym_token)
        if name is not None and value.sym_token in self._made:
            return Document(name, [], "")
        opening, items, closing = call_parts(value, self.name(value.sym_target, where))
        labels = [label.removesuffix("=") for label, _ in items]
        if any(label and not _is_name(label) for label in labels):
            items = _with_odd_names(items)
        made = [
            (label, self.write(item, _below(where, label, i)))
            for i, (label, item) in enumerate(items)
        ]
        document = Document(opening, made, closing)
        if name is None:
            return document
        self._made.add(value.sym_token)
        code = layout(document, _WIDTH, 4, len(name) + 3)
        self.statements.append(f"    {name} = {code}")
        return Document(name, [], "")

    def _items(self, opening: str, items: Any, closing: str, where: str) -> Document:
        made = [("", self.write(item, f"{where}[{i}]")) for i, item in enumerate(items)]
        return Document(opening, made, closing)

    def _pairs(self, pairs: Any, where: str) -> Document:
        made = []
        for key, item in pairs:
            code = layout(self.write(tree.convert(key), where), None)
            made.append((f"{code}: ", self.write(item, f"{where}[{code}]")))
        return Document("{", made, "}")

    def _foreign(self, node: Foreign, where: str) -> Document:
        value = node.value
        if not node.shared and type(value) is list:
            return self._items("[", map(tree.convert, value), "]", where)
        if not node.shared and type(value) is dict:
            return self._pairs(
                ((key, tree.convert(item)) for key, item in value.items()), where
            )
        if not node.shared and type(value) is collections.OrderedDict:
            pairs = map(tree.convert, value.items())
            opening = f"{self.name(collections.OrderedDict, where)}(["
            return self._items(opening, pairs, "])", where)
        if not node.shared and type(value) is set:
            return self._set(value, where)
        if isinstance(value, (torch.nn.Module, torch.Tensor, np.ndarray)):
            reason = "it holds data. Make it inside a symbolized function or class"
        else:
            reason = "it is an object of this process"
        raise TypeError(f"{node!r}{_at(where)} cannot be written as code: {reason}.")

    def _set(self, value: Any, where: str) -> Document:
        items = sorted(value, key=repr)
        return self._items(f"{type(value).__name__}([", items, "])", where)

    def _leaf(self, value: Any, where: str) -> Document:
        if isinstance(value, enum.Enum) and value.name in type(value).__members__:
            return _text(f"{self.name(type(value), where)}.{value.name}")
        if isinstance(value, (np.integer, np.floating, np.bool_)):
            value = value.item()
        if isinstance(value, (torch.dtype, torch.layout, torch.memory_format)):
            self.imports.add("import torch")
            return _text(repr(value))
        if isinstance(value, torch.device):
            self.imports.add("import torch")
            return _text(f"torch.device({str(value)!r})")
        if isinstance(value, torch.Size):
            self.imports.add("import torch")
            return _text(f"torch.Size({list(value)!r})")
        if type(value) is float and not math.isfinite(value):
            return _text(f"float({str(value)!r})")
        if value is None or value is ... or type(value) in (bool, int, float):
            return _text("..." if value is ... else repr(value))
        if type(value) in (str, bytes, complex, range, slice):
            return _text(repr(value))
        if type(value) is tuple:
            closing = ",)" if len(value) == 1 else ")"
            return self._items("(", map(tree.convert, value), closing, where)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            opening = f"{self.name(type(value), where)}("
            return self._items(opening, map(tree.convert, value), ")", where)
        if type(value) is frozenset:
            return self._set(value, where)
        if type(value) is functools.partial:
            parts = tree.call(
                functools.partial, [value.func, *value.args], value.keywords
            )
            return self._call(parts, where)
        if isinstance(value, type) or callable(value):
            return _text(self.name(value, where))
        raise TypeError(
            f"{repr(value)[:200]} of type {type(value).__name__}{_at(where)} cannot be "
            "written as code. Pass numbers, strings or what is made by a symbolized class."
        )

    def name(self, target: Any, where: str) -> str:
        """How code names a class or function, once it has imported what it must."""
        own = str(getattr(target, "__name__", ""))
        for space, prefix, line in _SHORT:
            if getattr(space, own, None) is target:
                self.imports.add(line)
                return f"{prefix}.{own}"
        module = getattr(target, "__module__", None)
        name = getattr(target, "__qualname__", "")
        if module == "builtins" and getattr(sys.modules[module], name, None) is target:
            return str(name)
        if not _is_found(target, module, name) or module == "__main__":
            raise TypeError(
                f"{target!r}{_at(where)} cannot be written as code, because no import "
                "finds it. Define it at the top level of a module of its own."
            )
        self.imports.add(f"import {module}")
        return f"{module}.{name}"


_SHORT = (
    (torch.nn, "nn", "from torch import nn"),
    (torch.nn.functional, "nn.functional", "from torch import nn"),
    (torch, "torch", "import torch"),
)


def _is_found(target: Any, module: Any, name: str) -> bool:
    """Whether `module.name` is `target`, which `symbolize` may have wrapped."""
    try:
        found = operator.attrgetter(name)(sys.modules[module])
    except (AttributeError, KeyError, TypeError):
        return False
    return target in (found, getattr(found, "__symnas_target__", found))


def _is_name(text: str) -> bool:
    return text == "**" or (text.isidentifier() and not keyword.iskeyword(text))


def _with_odd_names(items: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Arguments, with those that no keyword can name in a dict."""
    plain, odd = [], {}
    for label, item in items:
        name = label.removesuffix("=")
        if name and not _is_name(name):
            odd[name] = item
        else:
            plain.append((label, item))
    return [*plain, ("**", SymbolicDict(odd))]


def _text(code: str) -> Document:
    return Document(code, [], "")


def _below(where: str, label: str, index: int) -> str:
    name = label.removesuffix("=") or f"[{index}]"
    return f"{where}.{name}" if where and label else f"{where}{name}"


def _at(where: str) -> str:
    return f" at `{where}`" if where else ""
