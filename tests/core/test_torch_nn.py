"""`sn.nn` against `torch.nn`, over torch's own database of modules."""

import inspect
import io
import pickle
import typing
import warnings

import pytest
import torch

import symnas as sn
from symnas import nn

with warnings.catch_warnings():  # Importing torch's test tools warns, and sets flags.
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import module_db
torch.backends.__allow_nonbracketed_mutation_flag = True

# `torch.manual_seed` formats a stack trace for each kind of device.
SEED = torch.default_generator.manual_seed
INFOS = {info.module_cls.__qualname__: info for info in module_db}
assert len(INFOS) == len(module_db) > 100


def inputs_of(info):
    """Arguments of the constructor and of `forward`, as torch itself tests them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        SEED(0)
        inputs = info.module_inputs_func(
            info, device="cpu", dtype=torch.float32, requires_grad=False, training=True
        )
        return [
            (
                list(i.constructor_input.args),
                i.constructor_input.kwargs,
                i.forward_input,
            )
            for i in inputs
        ]


def seeded(make, *args, **kwargs):
    SEED(1)
    return make(*args, **kwargs)


def facts(module, given):
    """What tells two equal modules from unequal ones; runs `module`."""
    state = {
        key: None if is_lazy(value) else value.clone()
        for key, value in module.state_dict(keep_vars=True).items()
        if not isinstance(value, bytes)
    }
    return (
        type(module),
        module.extra_repr(),
        module.training,
        state,
        output(module, given),
    )


def is_lazy(tensor):
    return isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin)


def output(module, given):
    """What the module returns, or the kind of error it raises."""
    if given is None:
        return None
    SEED(2)
    try:
        with torch.no_grad():
            result = module(*given.args, **given.kwargs)
    except Exception as error:
        return type(error)
    return torch.utils._pytree.tree_leaves(result)


def equal(left, right):
    if isinstance(left, torch.Tensor):
        same = left.dtype == right.dtype and left.shape == right.shape
        return same and torch.allclose(left, right, rtol=0, atol=0, equal_nan=True)
    if isinstance(left, dict):
        return list(left) == list(right) and equal([*left.values()], [*right.values()])
    if isinstance(left, (list, tuple)) and len(left) == len(right):
        return all(map(equal, left, right))
    return left == right


def symbolic_constructor(cls):
    """`sn.nn.X`; classes that torch keeps elsewhere are symbolized by hand."""
    known = getattr(torch.nn, cls.__name__, None) is cls
    return getattr(nn, cls.__name__) if known else sn.symbolize(cls)


def check(cls, args, kwargs, given):
    expected = facts(seeded(cls, *args, **kwargs), given)
    make = symbolic_constructor(cls)
    module = seeded(make, *args, **kwargs)
    symbolic = sn.symbolic(module)
    # In a space: the module itself, its symbolic form, and a call with a choice.
    candidates = [torch.nn.Identity(), module, symbolic]
    if args:
        candidates.append(make(sn.oneof([args[0]]), *args[1:], **kwargs))
    elif kwargs:
        first = next(iter(kwargs))
        candidates.append(make(**{**kwargs, first: sn.oneof([kwargs[first]])}))
    space = sn.SearchSpace(sn.oneof(candidates))
    for gene in range(1, len(candidates)):
        built = seeded(space.build, [gene, 0][: space.num_columns])
        assert equal(facts(built, given), expected), (args, kwargs)
    built = seeded(sn.build, symbolic)
    assert equal(facts(built, given), expected), (args, kwargs)
    assert equal(facts(module, given), expected), (args, kwargs)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", INFOS)
def test_every_module_equals_torchs_own_however_it_is_made(name):
    cases = inputs_of(INFOS[name])
    assert cases
    for case in cases[:: -(-len(cases) // 4)]:  # Up to four, spread over all of them.
        check(INFOS[name].module_cls, *case)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", INFOS)
def test_every_module_equals_torchs_own_for_all_arguments(name):
    for case in inputs_of(INFOS[name]):
        check(INFOS[name].module_cls, *case)


def test_constructors_pass_as_the_class():
    layer = nn.Linear(2, 3)
    assert type(layer) is torch.nn.Linear
    assert isinstance(layer, nn.Linear)
    assert not isinstance(layer, nn.Conv2d)
    assert isinstance(torch.nn.Linear(2, 3), (nn.Conv2d, nn.Linear))
    assert issubclass(torch.nn.Linear, nn.Linear)
    assert issubclass(nn.Linear, nn.Linear)
    assert not issubclass(torch.nn.Conv2d, nn.Linear)
    assert nn.Linear == torch.nn.Linear == nn.Linear
    assert nn.Linear != torch.nn.Conv2d
    assert {nn.Linear: 1}[torch.nn.Linear] == 1
    assert nn.Linear.__name__ == "Linear"
    assert nn.Linear.__doc__ == torch.nn.Linear.__doc__
    assert nn.Linear.forward is torch.nn.Linear.forward
    assert "in_features" in nn.Linear.__constants__


def test_a_subclass_is_an_ordinary_class():
    class Wide(nn.Linear):
        def __init__(self, n, *, factor=2):
            super().__init__(n, n * factor)

    layer = Wide(3)
    assert Wide.__mro__[1] is torch.nn.Linear
    assert layer.weight.shape == (6, 3)
    assert isinstance(layer, nn.Linear) and issubclass(Wide, nn.Linear)
    assert not isinstance(nn.Linear(2, 2), Wide)
    # A subclass is not symbolic until somebody symbolizes it.
    space = sn.SearchSpace(sn.symbolize(Wide)(sn.oneof([2, 3])))
    assert [space.build([i]).weight.shape for i in (0, 1)] == [(4, 2), (6, 3)]


def test_constructors_stand_in_annotations_and_unions():
    def f(layer: nn.Linear, other: nn.Linear | None = None) -> nn.Linear | nn.Conv2d:
        return layer

    assert typing.get_type_hints(f)["layer"] == torch.nn.Linear
    assert nn.Linear | None == torch.nn.Linear | None
    assert None | nn.Linear == None | torch.nn.Linear
    assert nn.Linear | nn.Conv2d == torch.nn.Linear | torch.nn.Conv2d
    assert isinstance(nn.Linear(2, 2), nn.Linear | nn.Conv2d)
    assert typing.Optional[nn.Linear] is not None  # noqa: UP045
    assert list[nn.Linear] == list[torch.nn.Linear]


def test_constructors_pickle_as_the_class():
    assert pickle.loads(pickle.dumps(nn.Linear)) is torch.nn.Linear
    assert b"symnas" not in pickle.dumps(nn.Linear)
    file = io.BytesIO()
    layer = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    torch.save(layer, file)
    assert b"symnas" not in file.getvalue().replace(b"_symnas_record", b"")
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert torch.equal(loaded[0].weight, layer[0].weight)


def test_constructors_have_the_signature_of_the_class():
    for name in ("Linear", "Conv2d", "LSTM", "Sequential", "MultiheadAttention"):
        wanted = inspect.signature(getattr(torch.nn, name))
        assert inspect.signature(getattr(nn, name)) == wanted


def test_everything_else_is_torchs_own():
    for name in ("Module", "Parameter", "functional", "init", "utils", "modules"):
        assert getattr(nn, name) is getattr(torch.nn, name)
    assert set(dir(nn)) == set(dir(torch.nn))
    with pytest.raises(AttributeError, match="Linaer"):
        nn.Linaer  # noqa: B018


@pytest.mark.filterwarnings("ignore")
def test_every_module_class_of_torch_nn_is_wrapped():
    classes = {
        name
        for name, value in vars(torch.nn).items()
        if isinstance(value, type) and issubclass(value, torch.nn.Module)
    }
    for name in classes - {"Module"}:
        assert getattr(nn, name) == getattr(torch.nn, name)
        assert getattr(nn, name) is not getattr(torch.nn, name)
        assert getattr(nn, name) is getattr(nn, name)
    assert len(classes) > 150


def test_wrong_arguments_raise_the_error_of_the_class_at_the_call():
    for args, kwargs in [((), {}), ((1, 2, 3, 4, 5, 6), {}), ((1, 2), {"widht": 3})]:
        with pytest.raises(TypeError) as ours:
            nn.Linear(*args, **kwargs)
        with pytest.raises(TypeError) as theirs:
            torch.nn.Linear(*args, **kwargs)
        assert str(ours.value) == str(theirs.value)
    with pytest.raises(TypeError, match=r"nn\.Linear.*widht"):
        nn.Linear(1, sn.oneof([2, 3]), widht=3)
    with pytest.raises(TypeError, match=r"nn\.Linear.*out_features"):
        nn.Linear(sn.oneof([2, 3]))


def test_containers_of_modules_take_choices_anywhere():
    space = sn.SearchSpace(
        nn.ModuleDict(
            {
                "a": nn.Sequential(nn.Linear(2, 2), sn.oneof([nn.ReLU(), nn.Tanh()])),
                "b": nn.ModuleList([nn.Linear(2, sn.oneof([3, 4]))]),
            }
        )
    )
    model = space.build([1, 1])
    assert type(model) is torch.nn.ModuleDict
    assert type(model["a"][1]) is torch.nn.Tanh
    assert model["b"][0].out_features == 4


def test_an_ordered_dict_keeps_the_names_of_layers():
    import collections

    layers = [("fc", nn.Linear(2, sn.oneof([3, 4]))), ("act", nn.ReLU())]
    space = nn.Sequential(collections.OrderedDict(layers))
    for given in (space, sn.from_json(sn.to_json(space))):
        model = sn.SearchSpace(given).build([1])
        assert list(model.state_dict()) == ["fc.weight", "fc.bias"]
        assert model.fc.out_features == 4
    plain = nn.Sequential(collections.OrderedDict(fc=nn.Linear(2, 3)))
    assert list(sn.build(sn.symbolic(plain)).state_dict()) == ["fc.weight", "fc.bias"]
