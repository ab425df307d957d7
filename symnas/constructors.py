"""Symbolic constructors: a call means what it always meant, until a hyper-value is inside.

`symbolize` leaves a class the class it is and adds two things to its constructor. With a
hyper-value anywhere in the arguments it returns a symbolic `Call` instead of an object.
Without one it makes the object as ever, and notes the call on it, so that `symbolic` can
give the symbolic form back and so that a module written inside a space counts as its
constructor call.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, ValuesView
from typing import Any, TypeVar

import torch

from symnas import tree
from symnas.signature import bind, target_name
from symnas.tree import Call, is_symbolic

F = TypeVar("F", bound=Callable[..., Any])

_RECORD = "_symnas_record"


class _Building(threading.local):
    """Whether this thread makes an example: calls are then not recorded."""

    depth: int = 0


_building = _Building()


@contextlib.contextmanager
def unrecorded() -> Iterator[None]:
    """Within it constructors leave no record, which makes them a little faster."""
    _building.depth += 1
    try:
        yield
    finally:
        _building.depth -= 1


# --- Records --------------------------------------------------------------------


class Record:
    """How an object was made; kept in its `__dict__`, after everything else.

    A pickle of the object holds an empty dict in its place, so it can be read where
    symnas is not installed. A deep copy keeps the call but not its place in a space:
    the copy has weights of its own, so it no longer counts as a constructor call.
    """

    __slots__ = ("args", "kwargs", "order", "state", "target", "token")

    def __init__(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.target = target
        self.args = args
        self.kwargs = kwargs
        self.token = tree.Token()
        self.order = 0
        self.state: Any = None

    def call(self) -> Call:
        """The symbolic form, a new node with the token of this record."""
        fields = bind(self.target, self.args, self.kwargs)
        node = tree.make_call(self.target, fields, self.token, self.order or None)
        # The module may stand in several places of a space, each time as a new node.
        object.__setattr__(node, "_sym_tied", True)
        return node

    # Classes that compare their attributes should not see it.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record)

    def __hash__(self) -> int:
        return hash(Record)

    def __reduce__(self) -> Any:
        return dict, ()

    def __copy__(self) -> Record:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Record:
        args, kwargs = _copied(self.args, memo), _copied(self.kwargs, memo)
        return Record(self.target, args, kwargs)


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    """A deep copy of arguments; what cannot be copied (locks) stays as it is."""
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)(_copied(item, memo) for item in value)
    if isinstance(value, dict):
        return {key: _copied(item, memo) for key, item in value.items()}
    try:
        return copy.deepcopy(value, memo)
    except Exception:
        return value


def _frozen(value: Any) -> Any:
    """Arguments as they were: constructors may change the containers they get."""
    kind = type(value)
    if kind is list or kind is tuple:
        return kind([_frozen(item) for item in value])
    if kind is dict:
        return {key: _frozen(item) for key, item in value.items()}
    return value


class Example:
    """The record of a model made from a space: its symbolic form, on demand."""

    __slots__ = ("symbolic",)

    def __init__(self, symbolic: Callable[[], Any]) -> None:
        self.symbolic = symbolic

    def __reduce__(self) -> Any:
        return dict, ()

    def __copy__(self) -> Example:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Example:
        return self


def attach(value: Any, record: Record | Example) -> None:
    """Leaves `record` on `value`, if it has a `__dict__` to hold it."""
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        attributes[_RECORD] = record


def _recorded(value: Any, target: Any, args: Any, kwargs: Any) -> None:
    if any(isinstance(item, Iterator) for item in (*args, *kwargs.values())):
        return  # What an iterator gave cannot be had again.
    record = Record(target, args, kwargs)
    record.order = next(tree._creation_order)
    if isinstance(value, torch.nn.Module):
        record.state = _state(value)
    attach(value, record)


def _state(module: torch.nn.Module) -> Any:
    """What tells whether a module was changed: identities, versions, attributes.

    Values written through `tensor.data` leave no trace in it.
    """
    attributes = vars(module)
    tensors = [*module._parameters.values(), *module._buffers.values()]
    return (
        type(module),
        [
            (key, _identities(value) if isinstance(value, dict) else value)
            for key, value in attributes.items()
            if key != _RECORD
        ],
        [
            None
            if tensor is None
            else (id(tensor), tensor._version, tensor.dtype, tensor.requires_grad)
            for tensor in tensors
        ],
        [
            (name, _state(child))
            for name, child in module._modules.items()
            if child is not None
        ],
    )


def _identities(value: dict[Any, Any]) -> list[tuple[Any, int]]:
    return [(key, id(item)) for key, item in value.items()]


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(_same, left, right))
    if left is right:
        return True
    simple = (int, float, str, torch.dtype, torch.device)
    return isinstance(left, simple) and isinstance(right, simple) and left == right


def _from_module(module: torch.nn.Module) -> Call | None:
    """The constructor call of a module that nobody has changed since."""
    record = vars(module).get(_RECORD)
    if not isinstance(record, Record) or record.state is None:
        return None
    return record.call() if _same(record.state, _state(module)) else None


tree.from_module = _from_module


def symbolic(value: Any) -> Any:
    """The symbolic form of what a symbolized constructor or a search has made.

    It describes the constructor call, not what happened to the object later: weights are
    not in it. `rebind` turns it into a search space without touching the program that
    made it.

    Args:
      value: an object made by a symbolized class or by `symnas.nn`, or an example of a
        search. A symbolic object is returned as it is.

    Raises:
      ValueError: nothing is known about how `value` was made.

    Example:

    >>> import symnas as sn
    >>> from symnas import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> space = sn.symbolic(model).rebind({"args[1]": sn.oneof([nn.ReLU(), nn.Tanh()])})
    >>> sn.SearchSpace(space).size
    2
    """
    if is_symbolic(value):
        return tree.convert(value)
    if _record_of(value) is not None:
        return _symbolic_argument(value, {})
    raise ValueError(
        f"It is not known how this `{type(value).__name__}` was made. Make it with "
        "`symnas.nn`, put `@symnas.symbolize` on its class, or unpickle its description "
        "instead of the object."
    )


def _record_of(value: Any) -> Record | Example | None:
    record = getattr(value, "__dict__", {}).get(_RECORD)
    return record if isinstance(record, (Record, Example)) else None


def _symbolic_argument(value: Any, made: dict[int, Any]) -> Any:
    """The symbolic form of `value`, one for each object: a shared layer stays shared."""
    kind: Any = type(value)
    if kind in (list, tuple):
        return kind(_symbolic_argument(item, made) for item in value)
    if kind in (dict, OrderedDict):
        return kind((k, _symbolic_argument(item, made)) for k, item in value.items())
    record = _record_of(value)
    if record is None:
        return value
    if id(value) not in made:
        made[id(value)] = (
            record.symbolic()
            if isinstance(record, Example)
            else tree.call(
                record.target,
                _symbolic_argument(record.args, made),
                _symbolic_argument(record.kwargs, made),
            )
        )
    return made[id(value)]


# --- symbolize ------------------------------------------------------------------


def symbolize(target: F) -> F:
    """Lets a class or function take hyper-values in its arguments.

    A class stays the same class: instances, subclasses, pickles, `isinstance` and type
    checkers see no difference. Called with a hyper-value it returns a symbolic object, a
    search space. A function likewise returns a symbolic call of itself.

    Use it as a decorator, or as a call on a class of a library. Classes of torch and
    classes that cannot be changed are wrapped instead, as in `symnas.nn`.

    Args:
      target: a class or a function.

    Example:

    >>> import symnas as sn, torch
    >>> @sn.symbolize
    ... class Net(torch.nn.Module):
    ...     def __init__(self, width):
    ...         super().__init__()
    ...         self.fc = torch.nn.Linear(4, width)
    >>> type(Net(8)) is Net
    True
    >>> space = Net(sn.oneof([8, 16]))
    >>> sn.SearchSpace(space).size
    2
    """
    if isinstance(target, Constructor) or hasattr(target, "__symnas_target__"):
        return target
    if isinstance(target, type):
        if not (target.__module__ or "").startswith("torch."):
            try:
                _symbolize_class(target)
                return register(target)
            except TypeError:  # Built-in classes cannot be changed.
                pass
        return Constructor(target)  # type: ignore[return-value]
    if not callable(target):
        raise TypeError(f"`symbolize` takes a class or a function, got {target!r}.")
    return _symbolize_function(target)


# Names under which JSON may refer to symbolized classes and functions.
_registry: dict[str, Any] = {}


def register(target: F) -> F:
    """Makes `target` known to `from_json` by its qualified name."""
    _registry[qualified_name(target)] = target
    return target


def registered(name: str) -> Any:
    """What was symbolized under this name, or None."""
    return _registry.get(name)


def qualified_name(target: Any) -> str:
    return f"{target.__module__}.{target.__qualname__}"


def _symbolize_function(target: F) -> F:
    @functools.wraps(target)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if is_symbolic(args) or is_symbolic(kwargs):
            return tree.call(target, args, kwargs)
        return target(*args, **kwargs)

    wrapper.__symnas_target__ = target  # type: ignore[attr-defined]
    if hasattr(target, "__qualname__"):
        register(wrapper)
    return wrapper  # type: ignore[return-value]


def _symbolize_class(cls: Any) -> None:
    if getattr(cls.__dict__.get("__new__"), "__symnas__", False):
        return
    own_new = cls.__dict__.get("__new__")

    # Signatures are read from the constructor that people call.
    called = cls.__init__ if cls.__init__ is not object.__init__ else cls.__new__

    @functools.wraps(called if called is not object.__new__ else _take_nothing)
    def new(kind: Any, /, *args: Any, **kwargs: Any) -> Any:
        if is_symbolic(args) or is_symbolic(kwargs):
            return tree.call(kind, args, kwargs)
        _record_init(kind)
        make = own_new.__func__ if own_new is not None else super(cls, kind).__new__
        if make is object.__new__:
            if (args or kwargs) and kind.__init__ is object.__init__:
                raise TypeError(f"{kind.__name__}() takes no arguments")
            return make(kind)
        return make(kind, *args, **kwargs)

    new.__symnas__ = True  # type: ignore[attr-defined]
    new.__name__ = "__new__"
    cls.__new__ = staticmethod(new)


def _take_nothing(self: Any) -> None:
    """The signature of a class that defines no constructor."""


def _record_init(kind: Any) -> None:
    """Makes the outermost `__init__` of `kind` leave a record."""
    init = kind.__init__
    if init is object.__init__ or getattr(init, "__symnas__", None) is kind:
        return
    inner = getattr(init, "__wrapped__", init) if hasattr(init, "__symnas__") else init

    @functools.wraps(inner)
    def wrapper(self: Any, /, *args: Any, **kwargs: Any) -> None:
        if type(self) is not kind or _building.depth:
            return inner(self, *args, **kwargs)
        if is_symbolic(args) or is_symbolic(kwargs):
            # A subclass whose own `__new__` swallowed the arguments gets here.
            raise TypeError(
                f"A hyper-value reached `{kind.__name__}.__init__`, because its "
                "`__new__` does not pass arguments on. Symbolize this class itself."
            )
        kept_args, kept_kwargs = _frozen(args), _frozen(kwargs)
        inner(self, *args, **kwargs)
        _recorded(self, kind, kept_args, kept_kwargs)

    wrapper.__symnas__ = kind  # type: ignore[attr-defined]
    kind.__init__ = wrapper


class Constructor:
    """A class of a library, with a constructor that also takes hyper-values.

    It can be called, subclassed, and used in `isinstance`, `issubclass`, annotations and
    unions like the class itself, and compares equal to it. It cannot stand in
    `match ... case nn.Linear():` or `singledispatch.register`: use the class there.
    """

    def __init__(self, cls: type) -> None:
        functools.update_wrapper(self, cls, updated=())
        self.__dict__["_cls"] = cls

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        cls = self._cls
        args = tuple(map(_listed, args))
        kwargs = {key: _listed(item) for key, item in kwargs.items()}
        if is_symbolic(args) or is_symbolic(kwargs):
            return tree.call(cls, args, kwargs)
        if _building.depth:
            return cls(*args, **kwargs)
        kept_args, kept_kwargs = _frozen(args), _frozen(kwargs)
        value = cls(*args, **kwargs)
        _recorded(value, cls, kept_args, kept_kwargs)
        return value

    def __symnas_unwrap__(self) -> type:
        cls: type = self._cls
        return cls

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (self._cls,)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._cls)

    def __subclasscheck__(self, subclass: Any) -> bool:
        return issubclass(_unwrapped(subclass), self._cls)

    def __eq__(self, other: object) -> bool:
        return self._cls is _unwrapped(other)

    def __hash__(self) -> int:
        return hash(self._cls)

    def __or__(self, other: Any) -> Any:
        return self._cls | _unwrapped(other)

    def __ror__(self, other: Any) -> Any:
        return _unwrapped(other) | self._cls

    def __getitem__(self, item: Any) -> Any:
        return self._cls[item]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_cls"], name)

    def __reduce__(self) -> Any:
        # A pickle holds the class alone, so that it can be read without symnas.
        from operator import itemgetter

        return itemgetter(0), ((self._cls,),)

    def __repr__(self) -> str:
        return f"<symbolic {target_name(self._cls)}>"

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._cls)


def _listed(value: Any) -> Any:
    """Iterators, which can be read only once, as lists."""
    return list(value) if isinstance(value, (Iterator, ValuesView)) else value


def _unwrapped(value: Any) -> Any:
    return value._cls if isinstance(value, Constructor) else value
