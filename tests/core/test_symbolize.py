"""The one rule: a call means what it always meant, until a hyper-value is inside."""

import abc
import collections
import copy
import dataclasses
import enum
import functools
import inspect
import itertools
import pickle
import typing
import warnings

import numpy as np
import pyglove as pg
import pytest
import torch

import symnas as sn
from symnas import nn


def examples(space):
    """All examples of a space without floats."""
    compiled = sn.SearchSpace(space)
    return [compiled.build(genotype) for genotype in compiled.enumerate()]


# Module level, since instances are pickled.
@sn.symbolize
class Net(torch.nn.Module):
    """A small model."""

    def __init__(self, width, depth=1, *, dropout=0.0):
        super().__init__()
        sizes = [4, *[width] * depth]
        self.layers = torch.nn.ModuleList(
            torch.nn.Linear(a, b) for a, b in itertools.pairwise(sizes)
        )
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.dropout(x)


@sn.symbolize
@dataclasses.dataclass(frozen=True)
class Frozen:
    width: int
    depth: int = 2


@sn.symbolize
def stack(layer, times=2):
    return torch.nn.Sequential(*[layer for _ in range(times)])


Pair = collections.namedtuple("Pair", ["left", "right"])


class Size(typing.NamedTuple):
    height: int
    width: int = 3


# --- a concrete call --------------------------------------------------------------------


def test_the_class_stays_the_same_class():
    class Model(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.fc = torch.nn.Linear(2, width)

    assert sn.symbolize(Model) is Model
    assert sn.symbolize(Model) is Model  # Twice is as good as once.
    assert type(Model(3)) is Model
    assert list(Model(3).state_dict()) == ["fc.weight", "fc.bias"]


def test_the_signature_name_and_documentation_survive():
    assert list(inspect.signature(Net).parameters) == ["width", "depth", "dropout"]
    assert list(inspect.signature(Frozen).parameters) == ["width", "depth"]
    assert list(inspect.signature(stack).parameters) == ["layer", "times"]
    assert (Net.__name__, Net.__doc__) == ("Net", "A small model.")
    assert stack.__name__ == "stack"
    assert next(iter(inspect.signature(Net.__init__).parameters)) == "self"


def test_weights_equal_those_of_the_undecorated_class():
    torch.default_generator.manual_seed(0)
    expected = torch.nn.Linear(4, 8)
    torch.default_generator.manual_seed(0)
    assert torch.equal(Net(8).layers[0].weight, expected.weight)


def test_a_subclass_is_symbolic_too_and_may_override_everything():
    class Deeper(Net):
        def __init__(self, width, extra):
            super().__init__(width, depth=2)
            self.extra = extra

    assert type(Deeper(3, extra=4)) is Deeper
    assert Deeper(3, 4).extra == 4
    models = examples(Deeper(sn.oneof([3, 5]), extra=sn.oneof([6, 7])))
    assert [(len(m.layers), m.layers[1].out_features, m.extra) for m in models] == [
        (2, 3, 6),
        (2, 3, 7),
        (2, 5, 6),
        (2, 5, 7),
    ]
    assert all(type(m) is Deeper for m in models)
    with pytest.raises(TypeError, match="Deeper.*extra"):
        Deeper(sn.oneof([3, 5]))


def test_a_chain_of_symbolized_classes_calls_each_init_once():
    calls = []

    @sn.symbolize
    class A:
        def __init__(self, a):
            calls.append(("A", a))
            self.a = a

    @sn.symbolize
    class B(A):
        def __init__(self, a, b):
            super().__init__(a)
            calls.append(("B", b))
            self.b = b

    class C(B):
        pass

    @sn.symbolize
    class D(C):
        def __init__(self, *args, d=0):
            super().__init__(*args)
            calls.append(("D", d))

    assert vars(D(1, 2, d=3)).items() >= {"a": 1, "b": 2}.items()
    assert calls == [("A", 1), ("B", 2), ("D", 3)]
    calls.clear()
    (first, second) = examples(D(1, sn.oneof([2, 5]), d=3))
    assert calls == [("A", 1), ("B", 2), ("D", 3), ("A", 1), ("B", 5), ("D", 3)]
    assert (first.b, second.b, type(first)) == (2, 5, D)
    assert sn.symbolic(D(1, 2, d=3)) == D(1, sn.oneof([2]), d=3).rebind({"args[1]": 2})


def test_diamonds_and_cooperative_super_work():
    @sn.symbolize
    class Base:
        def __init__(self, **kwargs):
            assert not kwargs
            self.trail = ["Base"]

    @sn.symbolize
    class Left(Base):
        def __init__(self, left, **kwargs):
            super().__init__(**kwargs)
            self.left = left
            self.trail.append("Left")

    class Right(Base):
        def __init__(self, right, **kwargs):
            super().__init__(**kwargs)
            self.right = right
            self.trail.append("Right")

    class Both(Left, Right):
        pass

    model = Both(left=1, right=2)
    assert model.trail == ["Base", "Right", "Left"]
    (_, second) = examples(Both(left=sn.oneof([1, 3]), right=2))
    assert (second.left, second.right, second.trail) == (3, 2, model.trail)


def test_abstract_generic_and_protocol_classes_work():
    T = typing.TypeVar("T")

    @sn.symbolize
    class Abstract(abc.ABC):
        def __init__(self, n):
            self.n = n

        @abc.abstractmethod
        def f(self): ...

    @sn.symbolize
    class Concrete(Abstract):
        def f(self):
            return self.n

    @sn.symbolize
    class Box(typing.Generic[T]):
        def __init__(self, item: T):
            self.item = item

    with pytest.raises(TypeError, match="abstract"):
        Abstract(1)
    assert Concrete(1).f() == 1
    assert [c.f() for c in examples(Concrete(sn.oneof([1, 2])))] == [1, 2]
    assert Box[int](3).item == 3
    assert type(Box[int](3)) is Box
    assert [b.item for b in examples(Box(sn.oneof([1, 2])))] == [1, 2]
    assert [b.item for b in examples(Box[int](sn.oneof([1, 2])))] == [1, 2]


def test_dataclasses_work_frozen_ordered_and_with_slots():
    @sn.symbolize
    @dataclasses.dataclass(order=True)
    class Ordered:
        a: int
        b: list = dataclasses.field(default_factory=list)
        c: int = dataclasses.field(default=3, kw_only=True)

    @sn.symbolize
    @dataclasses.dataclass(slots=True)
    class Slotted:
        a: int

    assert Ordered(1) == Ordered(1) and Ordered(1) < Ordered(2)
    assert dataclasses.asdict(Ordered(1)) == {"a": 1, "b": [], "c": 3}
    assert examples(Ordered(sn.oneof([1, 2]), c=4)) == [
        Ordered(1, c=4),
        Ordered(2, c=4),
    ]
    assert Slotted(1) == Slotted(1)
    assert examples(Slotted(sn.oneof([1, 2]))) == [Slotted(1), Slotted(2)]
    assert Frozen(1) == Frozen(1, 2) and hash(Frozen(1)) == hash(Frozen(1, 2))
    assert dataclasses.replace(Frozen(1), depth=5) == Frozen(1, 5)
    assert examples(Frozen(sn.oneof([1, 2]))) == [Frozen(1), Frozen(2)]
    assert examples(dataclasses.replace(Frozen(1), depth=sn.oneof([3, 4]))) == [
        Frozen(1, 3),
        Frozen(1, 4),
    ]


def test_a_decorator_above_dataclass_and_below_it_both_work():
    @dataclasses.dataclass
    @sn.symbolize
    class Below:
        a: int

    assert Below(1) == Below(1)
    assert examples(Below(sn.oneof([1, 2]))) == [Below(1), Below(2)]


def test_slots_without_a_dict_work():
    @sn.symbolize
    class Slots:
        __slots__ = ("a",)

        def __init__(self, a):
            self.a = a

    assert Slots(1).a == 1
    assert [s.a for s in examples(Slots(sn.oneof([1, 2])))] == [1, 2]


def test_an_own_new_is_kept():
    @sn.symbolize
    class Interned:
        known: typing.ClassVar[dict] = {}

        def __new__(cls, key):
            if key not in cls.known:
                cls.known[key] = super().__new__(cls)
            return cls.known[key]

        def __init__(self, key):
            self.key = key

    assert Interned(1) is Interned(1)
    assert [i.key for i in examples(Interned(sn.oneof([1, 2])))] == [1, 2]
    assert list(Interned.known) == [1, 2]


def test_a_new_without_an_init_is_kept():
    @sn.symbolize
    class Meters(float):
        def __new__(cls, value, unit="m"):
            made = super().__new__(cls, value)
            made.unit = unit
            return made

    assert (Meters(2.0, "km") + 1, Meters(2.0, "km").unit) == (3.0, "km")
    made = examples(Meters(sn.oneof([1.0, 2.0]), unit="cm"))
    assert [(type(m), float(m), m.unit) for m in made] == [
        (Meters, 1.0, "cm"),
        (Meters, 2.0, "cm"),
    ]
    assert list(inspect.signature(Meters).parameters) == ["value", "unit"]


def test_a_new_that_returns_another_type_is_kept():
    @sn.symbolize
    class Factory:
        def __new__(cls, n):
            return list(range(n))

    assert Factory(2) == [0, 1]
    assert examples(Factory(sn.oneof([1, 2]))) == [[0], [0, 1]]


def test_a_metaclass_that_intercepts_calls_is_kept():
    class Meta(type):
        def __call__(cls, *args, **kwargs):
            made = super().__call__(*args, **kwargs)
            if isinstance(made, cls):
                made.seen = True
            return made

    @sn.symbolize
    class Model(metaclass=Meta):
        def __init__(self, n):
            self.n = n

    assert Model(1).seen
    assert [(m.n, m.seen) for m in examples(Model(sn.oneof([1, 2])))] == [
        (1, True),
        (2, True),
    ]


def test_a_class_without_a_constructor_works():
    @sn.symbolize
    class Empty:
        pass

    assert type(Empty()) is Empty
    with pytest.raises(TypeError):
        Empty(1)
    with pytest.raises(TypeError):
        Empty(sn.oneof([1, 2]))


def test_a_subclass_whose_new_swallows_arguments_says_so():
    @sn.symbolize
    class Base:
        def __init__(self, n):
            self.n = n

    class Swallows(Base):
        def __new__(cls, *args, **kwargs):
            return super().__new__(cls)

    assert Swallows(1).n == 1
    with pytest.raises(TypeError, match="Symbolize"):
        Swallows(sn.oneof([1, 2]))
    sn.symbolize(Swallows)
    assert [s.n for s in examples(Swallows(sn.oneof([1, 2])))] == [1, 2]


def test_parameters_may_have_any_name_and_kind():
    names = [
        "sealed",
        "allow_partial",
        "root_path",
        "name",
        "self_",
        "args",
        "kwargs",
        "override",
        "sym_path",
        "sym_target",
        "sym_token",
        "sym_init_args",
        "value",
        "fields",
        "target",
        "cls",
        "kind",
    ]
    for name in names:
        scope = {}
        exec(f"class Model:\n def __init__(self, {name}): self.got = {name}", scope)  # noqa: S102
        model = sn.symbolize(scope["Model"])
        assert model(5).got == 5
        assert [m.got for m in examples(model(sn.oneof([1, 2])))] == [1, 2], name
        assert [m.got for m in examples(model(**{name: sn.oneof([1, 2])}))] == [1, 2]
        scope = {}
        exec(f"def function({name}, other=0): return {name}", scope)  # noqa: S102
        function = sn.symbolize(scope["function"])
        assert function(5) == 5
        assert examples(function(**{name: sn.oneof([1, 2])})) == [1, 2], name
        assert examples(function(sn.oneof([1, 2]))) == [1, 2], name


def test_a_keyword_called_self_or_kind_reaches_var_keywords():
    @sn.symbolize
    def collect(*args, **kwargs):
        return args, kwargs

    class Collect:
        def __init__(this, /, **kwargs):
            this.kwargs = kwargs

    sn.symbolize(Collect)
    for name in ("self", "kind", "cls", "target", "args", "kwargs", "name", "sealed"):
        assert collect(**{name: 1}) == ((), {name: 1})
        assert examples(collect(**{name: sn.oneof([1, 2])}))[1] == ((), {name: 2})
        assert Collect(**{name: 1}).kwargs == {name: 1}
        assert examples(Collect(**{name: sn.oneof([1, 2])}))[1].kwargs == {name: 2}


def test_all_kinds_of_parameters_arrive_as_they_were_given():
    def everything(a, b=2, /, c=3, *rest, d, e=5, **more):
        return a, b, c, rest, d, e, more

    def some(a, /, b, *, c=3):
        return a, b, c

    def loose(x, *layers):
        return x, layers

    cases = [
        (everything, (1,), {"d": 4}),
        (everything, (1, 7), {"d": 4, "c": 9}),
        (everything, (1, 7, 8, 9, 10), {"d": 4, "e": 6, "z": 1, "y": 2}),
        (everything, (1, 2), {"d": 4, "a": 5, "b": 6}),  # `a` and `b` are in **more.
        (some, (1, 2), {}),
        (some, (1,), {"b": 2, "c": 4}),
        (loose, (1,), {}),
        (loose, (1, 2, 3), {}),
        (loose, (), {"x": 4}),
    ]
    for function, args, kwargs in cases:
        expected = function(*args, **kwargs)
        symbolized = sn.symbolize(function)
        assert symbolized(*args, **kwargs) == expected
        for i, value in enumerate(args):
            changed = [*args[:i], sn.oneof([0, value]), *args[i + 1 :]]
            assert examples(symbolized(*changed, **kwargs))[1] == expected
        for key, value in kwargs.items():
            changed = {**kwargs, key: sn.oneof([0, value])}
            assert examples(symbolized(*args, **changed))[1] == expected


def test_wrong_arguments_raise_pythons_error_at_the_call():
    choice = sn.oneof([1, 2])
    for args, kwargs in [
        ((), {"depth": choice}),
        ((choice, 1, 2), {}),
        ((choice,), {"widht": 1}),
        ((choice,), {"width": 1}),
    ]:
        with pytest.raises(TypeError) as python:
            Net(*[1 for _ in args], **{k: 1 for k in kwargs})
        with pytest.raises(TypeError) as ours:
            Net(*args, **kwargs)
        assert "Net" in str(ours.value)
        for name in ("width", "widht"):
            if name in str(python.value):
                assert name in str(ours.value)


def test_properties_class_methods_and_attributes_of_the_class_are_untouched():
    @sn.symbolize
    class Model:
        registry = []  # noqa: RUF012

        def __init_subclass__(cls, tag=None):
            Model.registry.append((cls.__name__, tag))

        @classmethod
        def small(cls):
            return cls(1)

        @staticmethod
        def static():
            return 7

        def __init__(self, n):
            self.n = n

    class Child(Model, tag="x"):
        pass

    assert Model.registry == [("Child", "x")]
    assert (Child.small().n, Model.static(), type(Child.small())) == (1, 7, Child)


# --- plain objects ----------------------------------------------------------------------


def test_classes_and_instances_pickle_and_copy():
    assert pickle.loads(pickle.dumps(Net)) is Net
    assert pickle.loads(pickle.dumps(Frozen(3))) == Frozen(3)
    assert pickle.loads(pickle.dumps(stack)) is stack
    for model in (Net(8), examples(Net(sn.oneof([8, 16])))[1]):
        for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
            assert type(twin) is Net
            assert all(map(torch.equal, twin.parameters(), model.parameters()))
        assert copy.copy(model).layers is model.layers
    assert copy.deepcopy(Net) is Net


def test_arguments_that_cannot_be_copied_do_no_harm():
    import threading

    @sn.symbolize
    class Holder(torch.nn.Module):
        def __init__(self, lock, function):
            super().__init__()
            self.fc = torch.nn.Linear(2, 2)

    model = Holder(threading.Lock(), lambda: 0)
    twin = copy.deepcopy(model)
    assert torch.equal(twin.fc.weight, model.fc.weight)
    assert sn.symbolic(twin).sym_target is Holder


def test_the_record_of_a_call_does_not_change_what_a_module_shows():
    model, plain = nn.Linear(2, 3), torch.nn.Linear(2, 3)
    assert repr(model) == repr(plain)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert [n for n, _ in model.named_modules()] == [
        n for n, _ in plain.named_modules()
    ]
    extra = set(vars(model)) - set(vars(plain))
    assert len(extra) == 1 and extra.pop().startswith("_symnas")


def test_constructors_that_change_their_arguments_are_described_as_called():
    @sn.symbolize
    class Pops:
        def __init__(self, sizes, options):
            self.last = sizes.pop()
            self.flag = options.pop("flag")

    sizes, options = [1, 2, 3], {"flag": True, "x": 1}
    made = Pops(sizes, options)
    assert (sizes, options) == ([1, 2], {"x": 1})  # As it always was.
    again = sn.build(sn.symbolic(made))
    assert (again.last, again.flag) == (3, True)
    (first, second) = examples(Pops([1, sn.oneof([2, 3])], {"flag": 1}))
    assert (first.last, second.last) == (2, 3)


def test_a_call_under_the_meta_device_stays_on_it():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(2, 3), Net(4))
    assert all(p.is_meta for p in model.parameters())
    space = sn.SearchSpace(nn.Sequential(nn.Linear(2, sn.oneof([3, 4])), Net(4)))
    with torch.device("meta"):
        assert all(p.is_meta for p in space.build([1]).parameters())
    assert not any(p.is_meta for p in space.build([1]).parameters())
    space = sn.SearchSpace(nn.Linear(2, sn.oneof([3, 4]), device="meta"))
    assert space.build([1]).weight.is_meta


def test_hooks_on_module_registration_see_what_they_always_saw():
    seen = []
    handle = torch.nn.modules.module.register_module_module_registration_hook(
        lambda parent, name, child: seen.append((type(parent), name, type(child)))
    )
    try:
        Net(3)
    finally:
        handle.remove()
    assert (torch.nn.ModuleList, "0", torch.nn.Linear) in seen
    assert (Net, "layers", torch.nn.ModuleList) in seen


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_models_compile_export_and_trace():
    x = torch.ones(2, 4)
    for model in (Net(8).eval(), nn.Sequential(nn.Linear(4, 8), nn.ReLU())):
        expected = model(x)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        assert torch.equal(compiled(x), expected)
        exported = torch.export.export(model, (x,))
        assert torch.equal(exported.module()(x), expected)
        assert torch.equal(torch.jit.trace(model, x)(x), expected)


def test_constructing_inside_compiled_code_works():
    @torch.compile(fullgraph=False, backend="eager")
    def f(x):
        return torch.nn.functional.relu(x) + stack(torch.nn.Identity())(x)

    assert torch.equal(f(torch.ones(2)), 2 * torch.ones(2))


# --- a symbolic call --------------------------------------------------------------------


def test_a_hyper_value_is_found_in_any_container():
    class Color(enum.Enum):
        RED = 1

    def same(x):
        return x

    same = sn.symbolize(same)
    choice = functools.partial(sn.oneof, [1, 2])
    cases = [
        (lambda c: [c, 0], [2, 0]),
        (lambda c: (c, 0), (2, 0)),
        (lambda c: [[(c,)]], [[(2,)]]),
        (lambda c: {"a": c}, {"a": 2}),
        (lambda c: {1: c, (2, 3): 4}, {1: 2, (2, 3): 4}),
        (lambda c: {"a.b": c, "": 1, "x[0]": 2}, {"a.b": 2, "": 1, "x[0]": 2}),
        (lambda c: {None: {1.5: [c]}}, {None: {1.5: [2]}}),
        (lambda c: {Color.RED: c}, {Color.RED: 2}),
        (lambda c: Pair(c, 0), Pair(2, 0)),
        (lambda c: Size(c), Size(2)),
        (lambda c: {c, 5}, {2, 5}),
        (lambda c: frozenset([c]), frozenset([2])),
        (
            lambda c: collections.OrderedDict(b=c, a=1),
            collections.OrderedDict(b=2, a=1),
        ),
        (lambda c: Frozen(c), Frozen(2)),
        (lambda c: [Frozen(depth=c, width=0)], [Frozen(0, 2)]),
        (lambda c: same([c]), [2]),
        (lambda c: {"_type": c}, {"_type": 2}),
        (lambda c: {"__tuple__": [c]}, {"__tuple__": [2]}),
        (lambda c: ["__tuple__", c], ["__tuple__", 2]),
        (lambda c: [range(3), slice(1, 2), c], [range(3), slice(1, 2), 2]),
        (
            lambda c: [torch.float16, torch.device("cpu"), c],
            [torch.float16, torch.device("cpu"), 2],
        ),
        (
            lambda c: [torch.Size([1, 2]), b"x", 1j, c],
            [torch.Size([1, 2]), b"x", 1j, 2],
        ),
    ]
    for make, expected in cases:
        (_, built) = examples(same(make(choice())))
        assert built == expected
        assert type(built) is type(expected)
        # Candidates may be such containers too.
        nested = sn.oneof([0, make(choice())])
        assert examples(same(nested))[2] == expected


def test_dicts_that_cannot_be_made_again_are_refused():
    for kind in (collections.Counter, functools.partial(collections.defaultdict, list)):
        with pytest.raises(TypeError, match="use a dict"):
            sn.symbolize(lambda x: x)(kind({"a": sn.oneof([1, 2])}))


def test_iterators_of_layers_are_read_once():
    layers = nn.ModuleList(nn.Linear(2, sn.oneof([2, 3])) for _ in range(2))
    assert sn.SearchSpace(layers).size == 4
    plain = nn.ModuleList(map(nn.ReLU, [True, False]))
    assert len(plain) == 2 and plain[0].inplace
    assert len(sn.build(sn.symbolic(plain))) == 2
    assert len(nn.ModuleList({"a": nn.ReLU()}.values())) == 1

    @sn.symbolize
    class Model(torch.nn.Module):
        def __init__(self, layers):
            super().__init__()
            self.layers = torch.nn.ModuleList(layers)

    model = Model(torch.nn.Linear(2, 2) for _ in range(3))
    assert len(model.layers) == 3
    # Its call cannot be repeated, so it stands for itself.
    built = sn.SearchSpace([model, sn.oneof([1, 2])]).build([0])[0]
    assert len(built.layers) == 3
    assert torch.equal(built.layers[0].weight, model.layers[0].weight)
    with pytest.raises(ValueError, match="not known how"):
        sn.symbolic(model)


def test_a_partial_with_a_choice_becomes_a_partial():
    def use(make):
        return make(4)

    (first, second) = examples(
        sn.symbolize(use)(
            functools.partial(torch.nn.Linear, out_features=sn.oneof([2, 3]))
        )
    )
    assert (first.out_features, second.out_features) == (2, 3)
    keeps = sn.symbolize(lambda make: make)
    (_, partial) = examples(
        keeps(functools.partial(nn.Conv2d, 3, sn.oneof([4, 8]), kernel_size=3))
    )
    assert isinstance(partial, functools.partial)
    assert partial.keywords == {"kernel_size": 3}
    assert partial(bias=False).weight.shape == (8, 3, 3, 3)


def test_symbolized_functions_run_when_examples_are_made():
    calls = []

    @sn.symbolize
    def block(width, act):
        calls.append(width)
        return torch.nn.Sequential(torch.nn.Linear(2, width), act)

    space = sn.SearchSpace(nn.Sequential(block(sn.oneof([3, 4]), nn.ReLU())))
    assert calls == []
    model = space.build([1])
    assert calls == [4]
    assert type(model[0][1]) is torch.nn.ReLU


def test_unselected_candidates_are_not_constructed():
    made = []

    @sn.symbolize
    class Loud:
        def __init__(self, n):
            made.append(n)

    space = sn.SearchSpace({"a": sn.oneof([Loud(sn.oneof([i])) for i in range(3)])})
    space.build([1, *[-1, 0, -1]])
    assert made == [1]
    # A plain candidate was made by the caller, once; no example makes more than its own.
    made.clear()
    space = sn.SearchSpace(sn.oneof([Loud(7), Loud(8)]))
    assert made == [7, 8]


def test_derive_computes_from_decisions():
    width = sn.oneof([8, 16], name="width")
    model = nn.Sequential(
        nn.Linear(4, width),
        nn.Linear(width, sn.derive(lambda w: w // 4, width)),
        nn.Linear(sn.derive(lambda w: w // 4, width), 1),
    )
    built = [[layer.out_features for layer in m] for m in examples(model)]
    assert built == [[8, 2, 1], [16, 4, 1]]


def test_derive_takes_several_values_containers_and_derived_values():
    a, b = sn.oneof([1, 2], name="a"), sn.oneof([10, 20], name="b")
    total = sn.derive(lambda x, ys: x + sum(ys), a, [b, 100])
    space = {"a": a, "b": b, "t": total, "u": sn.derive(lambda t: -t, total)}
    assert [e["t"] for e in examples(space)] == [111, 121, 112, 122]
    assert [e["u"] for e in examples(space)] == [-111, -121, -112, -122]
    assert sn.derive(lambda x: x + 1, 1) == 2  # Nothing to decide: computed at once.


def test_derive_checks_its_arguments_at_the_call():
    with pytest.raises(TypeError, match="callable"):
        sn.derive(3, sn.oneof([1, 2]))
    with pytest.raises(TypeError):
        sn.derive(lambda a: a, sn.oneof([1, 2]), 3)


def test_functions_with_side_effects_on_their_arguments_get_fresh_ones():
    @sn.symbolize
    def grow(items, more):
        items.append(more)
        return items

    space = sn.SearchSpace(grow([1, [2]], sn.oneof([5, 6])))
    assert space.build([0]) == [1, [2], 5]
    assert space.build([0]) == [1, [2], 5]
    defaults = {"a": [1]}
    space = sn.SearchSpace(
        {"x": sn.oneof([1, 2]), "long": list(range(1000)), "d": defaults}
    )
    space.build([0])["long"].append(1)
    space.build([0])["d"]["a"].append(1)
    assert len(space.build([0])["long"]) == 1000
    assert space.build([0])["d"] == {"a": [1]} == defaults


def test_arguments_that_are_neither_data_nor_modules_pass_through():
    class Thing:
        pass

    thing = Thing()
    array = np.arange(3)
    (_, built) = examples({"x": sn.oneof([1, 2]), "thing": thing, "array": array})
    assert built["thing"] is thing
    assert np.array_equal(built["array"], array)


def test_the_caller_keeps_its_containers():
    inner = {"a": [sn.oneof([1, 2])], "_type": 3}
    items = [inner, (1, [2])]
    before = copy.copy(inner), list(items)
    examples(sn.symbolize(lambda x: x)(items))
    assert inner.keys() == before[0].keys()
    assert type(inner) is dict and type(inner["a"]) is list
    assert items[1] is before[1][1] and items[0] is inner


def test_the_order_of_keywords_is_the_order_in_which_they_were_written():
    space = sn.SearchSpace(
        sn.symbolize(lambda **k: list(k))(z=1, a=sn.oneof([1, 2]), m=2)
    )
    assert space.build([0]) == ["z", "a", "m"]


# --- symbolic ---------------------------------------------------------------------------


def test_a_static_program_becomes_a_space_by_rebind_alone():
    def program():
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    space = sn.symbolic(program())
    space.rebind(
        {
            "args[0].out_features": sn.oneof([8, 16], name="w"),
            "args[2].in_features": sn.oneof([8, 16], name="w"),
        }
    )
    models = examples(space)
    assert [(m[0].out_features, m[2].in_features) for m in models] == [(8, 8), (16, 16)]


def test_a_symbolic_form_finds_nested_calls_and_keeps_defaults_out():
    model = Net(8, dropout=0.1)
    form = sn.symbolic(model)
    assert (form.width, form.depth, form.dropout) == (8, 1, 0.1)
    assert sn.symbolic(form) is form
    outer = sn.symbolic(nn.Sequential(model, stack(nn.ReLU())))
    assert outer.args[0] == form


def test_what_was_not_made_symbolically_has_no_symbolic_form():
    for value in (torch.nn.Linear(2, 2), 3, object(), [1]):
        with pytest.raises(ValueError, match="not known how"):
            sn.symbolic(value)


def test_rebind_to_an_unknown_parameter_names_those_that_exist():
    space = nn.Linear(2, sn.oneof([1, 2]))
    with pytest.raises(KeyError, match="out_features"):
        space.rebind(out_featrues=3)
    with pytest.raises(AttributeError, match="rebind"):
        space.out_features = 3
    assert space.out_features == sn.oneof([1, 2])


def test_build_names_open_decisions():
    assert sn.build(sn.symbolic(nn.Linear(2, 3))).out_features == 3
    with pytest.raises(ValueError, match="width"):
        sn.build(nn.Linear(2, sn.oneof([1, 2], name="width")))


# --- misuse -----------------------------------------------------------------------------


MISUSES = {
    "if": lambda v: 1 if v else 0,
    "add": lambda v: v + 1,
    "radd": lambda v: 1 + v,
    "subtract": lambda v: 1 - v,
    "multiply": lambda v: v * 2,
    "divide": lambda v: v / 2,
    "floor": lambda v: v // 2,
    "modulo": lambda v: v % 2,
    "power": lambda v: 2**v,
    "negate": lambda v: -v,
    "abs": lambda v: abs(v),
    "round": lambda v: round(v),
    "less": lambda v: v < 3,
    "greater": lambda v: v < 3,
    "equal": lambda v: v == 3,
    "unequal": lambda v: v != 3,
    "equal to a string": lambda v: v == "relu",
    "index": lambda v: v[0],
    "as an index": lambda v: [1, 2, 3][v],
    "slice": lambda v: [1, 2, 3][:v],
    "range": lambda v: list(range(v)),
    "iterate": lambda v: list(v),
    "unpack": lambda v: [*v],
    "contains": lambda v: 1 in v,
    "len": lambda v: len(v),
    "int": lambda v: int(v),
    "float": lambda v: float(v),
    "repeat": lambda v: [0] * v,
    "tensor": lambda v: torch.zeros(v),
    "numpy": lambda v: np.zeros(3) * v,
    "tensor arithmetic": lambda v: torch.zeros(3) * v,
    "torch module": lambda v: torch.nn.Linear(4, v),
    "call": lambda v: v(3),
    "attribute": lambda v: v.shape,
    "math": lambda v: __import__("math").sqrt(v),
    "format": lambda v: f"{v:d}",
    "match": lambda v: max(v, 2),
    "sum": lambda v: sum([v, 1]),
    "functional": lambda v: torch.relu(v),
}


@pytest.mark.parametrize("misuse", MISUSES)
@pytest.mark.parametrize(
    "make",
    [
        lambda: sn.oneof([1, 2]),
        lambda: sn.manyof(2, [1, 2, 3]),
        lambda: sn.floatv(0.0, 1.0),
        lambda: sn.intv(1, 5),
        lambda: sn.derive(lambda x: x, sn.oneof([1, 2])),
    ],
    ids=["oneof", "manyof", "floatv", "intv", "derive"],
)
def test_using_an_open_decision_as_a_value_says_what_to_do(make, misuse):
    with pytest.raises((TypeError, AttributeError)) as error:
        MISUSES[misuse](make())
    assert "symbolize" in str(error.value), error.value
    assert "symnas.sample" in str(error.value), error.value


MODEL_USES = {
    "call": lambda m: m(torch.ones(1, 4)),
    "forward": lambda m: m.forward(torch.ones(1, 4)),
    "parameters": lambda m: list(m.parameters()),
    "state_dict": lambda m: m.state_dict(),
    "to": lambda m: m.to("cpu"),
    "train": lambda m: m.train(),
    "attribute": lambda m: m.layers,
}


@pytest.mark.parametrize("use", MODEL_USES)
def test_a_search_space_used_like_a_model_says_that_it_is_one(use):
    for space in (Net(sn.oneof([8, 16])), nn.Linear(4, sn.oneof([8, 16]))):
        if use == "attribute" and space.sym_target is not Net:
            continue
        with pytest.raises((TypeError, AttributeError)) as error:
            MODEL_USES[use](space)
        if use != "attribute":
            assert "search space" in str(error.value)
            assert "symnas.sample" in str(error.value)


def test_a_space_without_decisions_is_refused():
    for space in (3, "a", None, object(), [1, 2], {}, nn.Linear(2, 2), torch.ones(2)):
        with pytest.raises(ValueError, match="nothing to search"):
            sn.SearchSpace(space)


def test_a_plain_torch_container_refuses_a_search_space():
    with pytest.raises(TypeError):
        torch.nn.Sequential(nn.Linear(4, sn.oneof([8, 16])))


def test_bad_hyper_values_are_refused_at_once():
    cases = [
        (lambda: sn.oneof([]), ValueError, "candidate"),
        (lambda: sn.oneof("abc"), TypeError, "list"),
        (lambda: sn.oneof({"a": 1}), TypeError, "list"),
        (lambda: sn.oneof({1, 2}), TypeError, "order"),
        (lambda: sn.oneof(3), TypeError, "list"),
        (lambda: sn.oneof([1], name=3), TypeError, "name"),
        (lambda: sn.oneof([1], name=""), TypeError, "name"),
        (lambda: sn.manyof(3, [1, 2]), ValueError, "3 distinct"),
        (lambda: sn.manyof(0, [1, 2]), ValueError, "at least 1"),
        (lambda: sn.manyof(True, [1, 2]), ValueError, "at least 1"),
        (lambda: sn.manyof(1.0, [1, 2]), ValueError, "at least 1"),
        (lambda: sn.permutate([]), ValueError, "candidate"),
        (lambda: sn.floatv(1, 0), ValueError, "above"),
        (lambda: sn.floatv(0, 1, "log"), ValueError, "above 0"),
        (lambda: sn.floatv(-1, 1, "rlog"), ValueError, "above 0"),
        (lambda: sn.floatv(0, 1, "quadratic"), ValueError, "scale"),
        (lambda: sn.floatv(0, float("inf")), ValueError, "finite"),
        (lambda: sn.floatv(float("nan"), 1), ValueError, "finite"),
        (lambda: sn.floatv("a", 1), TypeError, "number"),
        (lambda: sn.floatv(None, 1), TypeError, "number"),
        (lambda: sn.intv(3, 1), ValueError, "above"),
        (lambda: sn.intv(0, 8, log=True), ValueError, "above 0"),
        (lambda: sn.intv(0, 8, 0), ValueError, "at least 1"),
        (lambda: sn.intv(0.5, 8), TypeError, "integer"),
        (lambda: sn.intv(True, 8), TypeError, "integer"),
        (lambda: sn.share(sn.oneof([1, 2])), TypeError, "share"),
    ]
    for make, error, message in cases:
        with pytest.raises(error, match=message):
            make()


def test_a_generator_of_candidates_is_listed():
    assert sn.SearchSpace(sn.oneof(i for i in range(5))).size == 5
    assert sn.SearchSpace(sn.oneof(np.arange(3))).build([2]) == 2


def test_a_name_is_in_the_error_of_a_bad_hyper_value():
    with pytest.raises(ValueError, match="'width'"):
        sn.oneof([], name="width")
    with pytest.raises(ValueError, match="'lr'"):
        sn.floatv(0, 1, "log", name="lr")


def test_symbolize_refuses_what_cannot_be_called():
    with pytest.raises(TypeError, match="class or a function"):
        sn.symbolize(3)


def test_classes_of_libraries_are_wrapped_rather_than_changed():
    before = dict(vars(torch.nn.Linear))
    linear = sn.symbolize(torch.nn.Linear)
    assert dict(vars(torch.nn.Linear)) == before
    assert linear == torch.nn.Linear
    assert [m.out_features for m in examples(linear(2, sn.oneof([3, 4])))] == [3, 4]
    counter = sn.symbolize(collections.Counter)
    assert examples(counter(a=sn.oneof([1, 2])))[1] == collections.Counter(a=2)
    sized = sn.symbolize(int)
    assert examples(sized(sn.oneof(["1", "2"]))) == [1, 2]


def test_methods_bound_and_callable_objects_can_be_symbolized():
    class Maker:
        def make(self, n):
            return ("made", n)

        def __call__(self, n):
            return ("called", n)

    assert examples(sn.symbolize(Maker().make)(sn.oneof([1, 2])))[1] == ("made", 2)
    assert examples(sn.symbolize(Maker())(sn.oneof([1, 2])))[1] == ("called", 2)


def test_symbolizing_warns_about_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        examples(nn.Sequential(nn.Linear(2, sn.oneof([2, 3])), nn.ReLU()))


def test_pyglove_objects_pass_through_unless_they_hold_a_space():
    class Config(pg.Object):
        n: int

    keep = sn.symbolize(lambda x: x)
    config = Config(3)
    assert keep(config) is config
    (_, built) = examples(keep(Config.partial(n=pg.oneof([1, 2]))))
    assert isinstance(built, Config) and built.n == 2
