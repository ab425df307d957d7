"""The symbolic tree: constructor calls that have not been made yet.

A tree consists of `Call` (a constructor and its arguments), `SymbolicList`,
`SymbolicDict`, hyper-values (`symnas.hyper`) and leaves. All inner nodes are
PyGlove objects, so `rebind`, `clone`, `pg.query`, `pg.diff` and the HTML view
work, with three differences that PyGlove's containers cannot offer:

- What is put into a tree passes `convert`, never PyGlove's JSON reader, which
  unpickles and imports when it meets a plain dict with a `_type` key.
- An object that is put into a second place is copied, since a PyGlove node has
  one parent, but the copy keeps the token of the original: both stand for one
  object, which is built once.
- Paths are computed when asked for. PyGlove updates those of a whole subtree at
  every insertion, which makes a large tree quadratic.
"""

from __future__ import annotations

import collections
import copy
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import pyglove as pg
import torch

from symnas.signature import bind, signature, target_name

_PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes))
_LONGEST_SYMBOLIC_LIST = 256  # Longer constant lists stay one leaf.

_creation_order = itertools.count(1)


class Token:
    """What two places of a tree have in common when they hold the same object."""

    __slots__ = ()


class Foreign:
    """A leaf that is not described by a call: a module, tensor or large constant.

    Each example gets its own deep copy, unless `shared`.
    """

    __slots__ = ("shared", "value")

    def __init__(self, value: Any, shared: bool = False) -> None:
        self.value = value
        self.shared = shared

    # A symbolic clone keeps the reference: copies are made when examples are.
    def __copy__(self) -> Foreign:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Foreign:
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Foreign) or self.shared != other.shared:
            return False
        if self.value is other.value:
            return True
        plain = (list, tuple, dict, set, frozenset)
        return isinstance(self.value, plain) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash((type(self.value), self.shared))

    def __repr__(self) -> str:
        if isinstance(self.value, torch.nn.Module):
            what = f"<{type(self.value).__name__} instance>"
        elif isinstance(self.value, torch.Tensor):
            what = f"<tensor of shape {tuple(self.value.shape)}>"
        else:
            what = repr(self.value)
        return f"share({what})" if self.shared else what


# --- Nodes ------------------------------------------------------------------


class _Node:
    """What all our nodes do differently from PyGlove's."""

    _sym_key: Any = None
    _sym_parent: Any

    @property
    def sym_path(self) -> pg.KeyPath:
        keys: list[Any] = []
        node: Any = self
        while isinstance(node, _Node):
            if node._sym_key is not None:  # A container of fields has no key.
                keys.append(node._sym_key)
            node = node._sym_parent
        above = [] if node is None else node.sym_path.keys
        return pg.KeyPath([*above, *keys[::-1]])

    def sym_setpath(self, path: Any) -> None:
        object.__setattr__(self, "_sym_key", path.key if path else None)

    def _relocate_if_symbolic(self, key: Any, value: Any) -> Any:
        # An object of PyGlove that holds no space is a leaf, and stays as it is.
        if isinstance(value, _Node):
            if value._sym_parent is not None:
                value = _second_place(value)
            object.__setattr__(value, "_sym_key", key)
            parent = self._sym_parent_for_children()  # type: ignore[attr-defined]
            value.sym_setparent(parent)
        return value

    def sym_clone(
        self, deep: bool = False, memo: Any = None, override: Any = None
    ) -> Any:
        """A copy that stands for other objects than the original."""
        del memo
        twin = copy_tree(self, deep)
        fresh: dict[Token, Token] = {}
        for node in walk(twin):
            if isinstance(node, Call):
                token = fresh.setdefault(node.sym_token, Token())
                object.__setattr__(node, "sym_token", token)
        if override:
            twin.sym_rebind(override, raise_on_no_change=False)
        return twin

    def _sym_clone(self, deep: bool, memo: Any = None) -> Any:
        del memo
        return copy_tree(self, deep)

    def sym_jsonify(self, **kwargs: Any) -> Any:
        from symnas import serialization

        del kwargs
        return serialization.to_data(self)

    def to_json(self, **kwargs: Any) -> Any:
        return self.sym_jsonify(**kwargs)

    def format(self, compact: bool = False, *args: Any, **kwargs: Any) -> str:
        from symnas import description

        del args, kwargs
        return description.describe(self, width=None if compact else 88)

    def __repr__(self) -> str:
        return self.format(compact=True)

    def __str__(self) -> str:
        return self.format()


class SymbolicList(_Node, pg.List):
    """A list inside a symbolic tree."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self.__dict__.update(_NEW_CONTAINER)
        list.__init__(self)
        for i, item in enumerate(items):
            list.append(self, self._relocate_if_symbolic(i, convert(item)))

    def _formalized_value(self, idx: int, value: Any) -> Any:
        return self._relocate_if_symbolic(idx, convert(value))

    def __reduce__(self) -> Any:
        return SymbolicList, (list(list.__iter__(self)),)


class SymbolicDict(_Node, pg.Dict):
    """A dict with string keys inside a symbolic tree."""

    def __init__(self, items: Mapping[str, Any] | None = None) -> None:
        self.__dict__.update(_NEW_CONTAINER)
        dict.__init__(self)
        for key, item in (items or {}).items():
            dict.__setitem__(self, key, self._relocate_if_symbolic(key, convert(item)))

    def _formalized_value(self, name: Any, field: Any, value: Any) -> Any:
        del field
        return self._relocate_if_symbolic(name, convert(value))

    def __reduce__(self) -> Any:
        return SymbolicDict, (dict(dict.items(self)),)


class SymbolicObject(_Node, pg.Object):
    """A node with named fields, made without PyGlove's per-object validation."""

    auto_schema = False
    auto_register = False

    # PyGlove's looks for fields whenever an attribute is read; `Call` does so last.
    __getattribute__ = object.__getattribute__

    @classmethod
    def _make(cls, fields: Mapping[str, Any]) -> Any:
        node = object.__new__(cls)
        node._fill(fields)
        return node

    def _fill(self, fields: Mapping[str, Any]) -> None:
        attributes = SymbolicDict()
        state = attributes.__dict__
        state["_as_object_attributes_container"] = True  # Children have us as parent.
        state["_sym_parent"] = self
        self.__dict__.update(_UNBOUND, _sym_attributes=attributes)
        for key, value in fields.items():
            dict.__setitem__(
                attributes, key, attributes._relocate_if_symbolic(key, convert(value))
            )

    def _why_unusable(self) -> str:
        return f"`{self!r}` is part of a search space"

    def _advice(self) -> str:
        return (
            f"{self._why_unusable()}, so its value cannot be used here. Put "
            "`@symnas.symbolize` on the class or function that uses it, compute with it "
            "through `symnas.derive(lambda value: ..., open_value)`, or give the function "
            "that contains this code to `symnas.sample`, which traces it."
        )

    def _unusable(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(self._advice())

    __bool__ = __int__ = __float__ = __index__ = __complex__ = _unusable
    __iter__ = __getitem__ = __len__ = __contains__ = __call__ = _unusable
    __lt__ = __le__ = __gt__ = __ge__ = _unusable
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _unusable
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _unusable
    __mod__ = __rmod__ = __pow__ = __rpow__ = __divmod__ = __rdivmod__ = _unusable
    __neg__ = __pos__ = __abs__ = __invert__ = __round__ = _unusable
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _unusable
    __lshift__ = __rshift__ = __matmul__ = __rmatmul__ = _unusable

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> NoReturn:
        leaves = torch.utils._pytree.tree_leaves([args, kwargs])
        next(leaf for leaf in leaves if isinstance(leaf, cls))._unusable()

    def __eq__(self, other: object) -> bool:
        # `if width == 32` would be silently false.
        if isinstance(other, str) and other == pg.JSONConvertible.TUPLE_MARKER:
            return False  # PyGlove looks for it at the head of lists.
        if isinstance(other, (bool, int, float, str)):
            self._unusable()
        return bool(self.sym_eq(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = pg.Object.__hash__

    def __format__(self, spec: str) -> str:
        return self._unusable() if spec else str(self)

    def _enter_second_place(self) -> None:
        """Raises if this node may stand in one place only."""

    @classmethod
    def from_json(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("Symbolic objects are read by `symnas.from_json`.")

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith(("_", "sym_")):
            raise AttributeError(
                f"Symbolic objects are changed with `rebind({name}=...)`, "
                f"not by assigning to `{name}`."
            )
        object.__setattr__(self, name, value)


# The state of a new PyGlove object: not partial, not sealed, without a parent.
_UNBOUND: dict[str, Any] = {
    "_allow_partial": False,
    "_accessor_writable": False,
    "_sealed": False,
    "_sym_parent": None,
    "_sym_puresymbolic": None,
    "_sym_missing_values": None,
    "_sym_nondefault_values": None,
    "_sym_origin": None,
}
_NEW_CONTAINER: dict[str, Any] = {
    **_UNBOUND,
    "_accessor_writable": True,
    "_value_spec": None,
    "_onchange_callback": None,
    "_as_object_attributes_container": False,
}


class Call(SymbolicObject):
    """A call of a class or function, with a space somewhere in its arguments.

    There is one light subclass for each class or function called, so that
    `pg.diff` tells `nn.Linear` from `nn.Conv2d`. Fields are the parameters that
    were given, in the order in which they were written: `*args` is a list and
    `**kwargs` a dict under the name it has in the signature.
    """

    sym_target: Callable[..., Any]
    sym_token: Token
    sym_order: int

    @pg.explicit_method_override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("Symbolic calls are made by symbolized constructors.")

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"This `{target_name(self.sym_target)}` is a search space, so it cannot be "
            "called like a model. Take models from it with `symnas.sample` or "
            "`symnas.search`. If it is a part of a larger model, decorate the class "
            "or function that uses it with `@symnas.symbolize`."
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_", "sym_")):
            raise AttributeError(name)
        if dict.__contains__(self._sym_attributes, name):
            return dict.__getitem__(self._sym_attributes, name)
        parameter = signature(self.sym_target).parameters.get(name)
        if parameter is not None and parameter.default is not parameter.empty:
            return parameter.default
        what = target_name(self.sym_target)
        if hasattr(self.sym_target, name):
            raise AttributeError(
                f"`{name}` belongs to models, and this `{what}` is a search space. Take "
                "models from it with `symnas.sample`, or use `symnas.build` when it "
                "holds no open choice."
            )
        raise AttributeError(f"{self._advice()} It has no parameter `{name}`.")

    def sym_hasattr(self, key: Any) -> bool:
        return dict.__contains__(self._sym_attributes, key)

    def _set_item_without_permission_check(self, key: Any, value: Any) -> Any:
        return self._sym_attributes._set_item_without_permission_check(
            self._checked(key), value
        )

    def _sym_rebind(self, path_value_pairs: dict[pg.KeyPath, Any]) -> Any:
        for path in path_value_pairs:
            if path.depth == 1:
                self._checked(path.key)
        return super()._sym_rebind(path_value_pairs)

    def _checked(self, key: Any) -> Any:
        names = signature(self.sym_target).parameters
        if key not in names:
            raise KeyError(
                f"`{target_name(self.sym_target)}` has no parameter `{key}`; "
                f"it has {', '.join(f'`{name}`' for name in names) or 'none'}."
            )
        return key

    def sym_eq(self, other: Any) -> bool:
        return self is other or (
            isinstance(other, Call)
            and self.sym_target is other.sym_target
            and pg.eq(self._sym_attributes, other._sym_attributes)
        )

    def __reduce__(self) -> Any:
        fields = dict(dict.items(self._sym_attributes))
        return make_call, (self.sym_target, fields, self.sym_token, self.sym_order)


@functools.cache
def _call_class(target: Callable[..., Any]) -> type[Call]:
    name = getattr(target, "__name__", type(target).__name__)
    return type(name, (Call,), {"sym_target": staticmethod(target)})


def make_call(
    target: Callable[..., Any],
    fields: Mapping[str, Any],
    token: Token | None = None,
    order: int | None = None,
) -> Call:
    """The call of `target` with `fields`, named as in its signature."""
    call: Call = _call_class(target)._make(fields)
    object.__setattr__(call, "sym_token", token or Token())
    object.__setattr__(call, "sym_order", order or next(_creation_order))
    return call


def call(
    target: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Call:
    """The symbolic form of `target(*args, **kwargs)`."""
    return make_call(target, bind(target, args, kwargs))


# --- What may enter a tree ------------------------------------------------------


def is_symbolic(value: Any) -> bool:
    """Whether `value` is, or contains, a search space or part of one."""
    kind = type(value)
    if kind in _PLAIN:
        return False
    if isinstance(value, (pg.Symbolic, Foreign)):
        if isinstance(value, (SymbolicObject, Foreign)):
            return True
        return _pyglove_space(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(is_symbolic, value))
    if isinstance(value, dict):
        return any(map(is_symbolic, value.values()))
    if isinstance(value, functools.partial):
        return is_symbolic(value.args) or is_symbolic(value.keywords)
    return False


def _pyglove_space(value: Any) -> bool:
    kinds = (pg.hyper.HyperValue, SymbolicObject)
    return pg.contains(value, type=kinds)


# Set by `symnas.hyper` and `symnas.symbolic`: hyper-values of PyGlove become ours,
# and modules whose constructor call was recorded become that call.
from_pyglove: Callable[[Any], Any] = NotImplemented
from_module: Callable[[torch.nn.Module], Call | None] = NotImplemented


def convert(value: Any) -> Any:
    """`value` as a node or leaf of a symbolic tree."""
    kind = type(value)
    if kind in _PLAIN or isinstance(value, (_Node, Foreign)):
        return value
    if isinstance(value, pg.Symbolic):
        return _convert_pyglove(value)
    if kind is list:
        if len(value) > _LONGEST_SYMBOLIC_LIST and not is_symbolic(value):
            return Foreign(value)
        return SymbolicList(value)
    if isinstance(value, dict):
        # `_type` is what PyGlove's readers execute; other readers of the tree
        # should not meet it either.
        strings = all(isinstance(key, str) and key != "_type" for key in value)
        if kind is dict and strings:
            return SymbolicDict(value)
        if not is_symbolic(value):
            return Foreign(value)
        if kind not in (dict, collections.OrderedDict):
            raise TypeError(
                f"It is not known how a `{kind.__name__}` with an open decision inside is "
                f"made again: use a dict instead of {value!r}."
            )
        return call(kind, [[(key, item) for key, item in value.items()]], {})
    if isinstance(value, (torch.nn.Module, torch.Tensor)):
        recorded = from_module(value) if isinstance(value, torch.nn.Module) else None
        return Foreign(value) if recorded is None else recorded
    if isinstance(value, (list, tuple, set, frozenset)):
        if is_symbolic(value) or _holds_modules(value):
            if hasattr(value, "_fields"):  # A named tuple takes its items one by one.
                return call(kind, list(value), {})
            return call(kind, [list(value)], {})
        return value if isinstance(value, (tuple, frozenset)) else Foreign(value)
    if isinstance(value, functools.partial) and is_symbolic(value):
        return call(kind, [value.func, *value.args], value.keywords)
    unwrapped = getattr(kind, "__symnas_unwrap__", None)
    return value if unwrapped is None else unwrapped(value)


def _holds_modules(value: Any) -> bool:
    if isinstance(value, (torch.nn.Module, torch.Tensor, list, dict)):
        return True
    return isinstance(value, tuple) and any(map(_holds_modules, value))


def _convert_pyglove(value: Any) -> Any:
    if isinstance(value, pg.List):
        return SymbolicList(list(value.sym_values()))
    if isinstance(value, pg.Dict):
        return convert(dict(value.sym_items()))
    if isinstance(value, pg.hyper.HyperValue):
        return from_pyglove(value)
    if isinstance(value, pg.hyper.DerivedValue):
        raise TypeError(
            f"{value!r} refers to another value by its path. Use `symnas.derive` with "
            "a named hyper-value."
        )
    if isinstance(value, pg.Object) and _pyglove_space(value):
        return call(type(value), [], dict(value.sym_items()))
    return value


def _second_place(node: Any) -> Any:
    """The copy of an owned node that stands for the same objects."""
    if isinstance(node, SymbolicObject):
        node._enter_second_place()
    for inner in walk(node):
        if isinstance(inner, Call):
            object.__setattr__(inner, "_sym_tied", True)
    return copy_tree(node, deep=False)


# --- Walking and copying ------------------------------------------------------


def children(node: Any) -> Iterator[tuple[Any, Any]]:
    """Keys and values below `node`; nothing for a leaf."""
    if isinstance(node, SymbolicObject):
        return iter(dict.items(node._sym_attributes))
    if isinstance(node, dict) and isinstance(node, _Node):
        return iter(dict.items(node))
    if isinstance(node, SymbolicList):
        return enumerate(list.__iter__(node))
    return iter(())


def walk(node: Any) -> Iterator[Any]:
    """`node` and everything below it, parents first."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        if type(node) not in _PLAIN:
            stack.extend([value for _, value in children(node)][::-1])


def repeated_tokens(root: Any) -> set[Token]:
    """Tokens of the calls that stand in several places."""
    seen: set[Token] = set()
    repeated: set[Token] = set()
    for node in walk(root):
        if isinstance(node, Call) and getattr(node, "_sym_tied", False):
            (repeated if node.sym_token in seen else seen).add(node.sym_token)
    return repeated


def copy_tree(root: Any, deep: bool = False) -> Any:
    """A copy of `root` without parent, with the same tokens."""
    memo: dict[int, Any] = {}
    copies: dict[int, Any] = {}
    for node in reversed(list(walk(root))):  # Children come before their parents.
        if isinstance(node, _Node):
            items = [
                (key, copies.pop(id(value)) if isinstance(value, _Node) else value)
                for key, value in children(node)
            ]
            if deep:
                items = [
                    (k, v if isinstance(v, _Node) else copy.deepcopy(v, memo))
                    for k, v in items
                ]
            copies[id(node)] = _like(node, items)
    return copies[id(root)]


def _like(node: Any, items: list[tuple[Any, Any]]) -> Any:
    if isinstance(node, SymbolicList):
        return SymbolicList([value for _, value in items])
    if isinstance(node, Call):
        twin = make_call(node.sym_target, dict(items), node.sym_token, node.sym_order)
        object.__setattr__(twin, "_sym_tied", getattr(node, "_sym_tied", False))
        return twin
    if isinstance(node, SymbolicObject):
        return type(node)._make(dict(items))
    return SymbolicDict(dict(items))
