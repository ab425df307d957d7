"""What is one thing and what are two: names, shared objects, and modules made before."""

import collections
import copy
import re

import pytest
import torch

import symnas as sn
from symnas import nn


def examples(space):
    compiled = sn.SearchSpace(space)
    return [compiled.build(genotype) for genotype in compiled.enumerate()]


def seeded(make):
    torch.default_generator.manual_seed(0)
    return make()


def states_equal(left, right):
    left, right = left.state_dict(), right.state_dict()
    return list(left) == list(right) and all(
        torch.equal(left[k], right[k]) for k in left
    )


@sn.symbolize
class Block(torch.nn.Module):
    def __init__(self, first, second=None):
        super().__init__()
        self.first, self.second = first, second


# --- names ------------------------------------------------------------------------------


def test_a_name_is_one_decision():
    def width():
        return sn.oneof([8, 16], name="width")

    space = sn.SearchSpace(nn.Sequential(nn.Linear(4, width()), nn.Linear(width(), 2)))
    assert (space.size, len(space.decisions)) == (2, 1)
    assert space.build([1])[1].in_features == 16


def test_one_object_with_a_name_may_stand_anywhere():
    width = sn.oneof([8, 16], name="width")
    space = {"a": width, "b": [width, (width,)], "c": sn.oneof([width, 0])}
    assert len(examples(space)) == 4
    assert {"a": 16, "b": [16, (16,)], "c": 16} in examples(space)


def test_unnamed_hyper_values_are_independent_even_when_they_are_one_object():
    width = sn.oneof([8, 16])
    assert sn.SearchSpace([width, width]).size == 4
    assert sn.SearchSpace([sn.oneof([8, 16]), sn.oneof([8, 16])]).size == 4


@pytest.mark.parametrize(
    "first, second",
    [
        (lambda: sn.oneof([1, 2], name="n"), lambda: sn.oneof([1, 3], name="n")),
        (lambda: sn.oneof([1, 2], name="n"), lambda: sn.oneof([1, 2, 3], name="n")),
        (lambda: sn.oneof([1, 2], name="n"), lambda: sn.oneof([1.0, 2.0], name="n")),
        (lambda: sn.oneof([1, 2], name="n"), lambda: sn.oneof([True, 2], name="n")),
        (lambda: sn.oneof([1, 2], name="n"), lambda: sn.intv(1, 2, name="n")),
        (lambda: sn.oneof([1, 2], name="n"), lambda: sn.manyof(1, [1, 2], name="n")),
        (lambda: sn.intv(1, 2, name="n"), lambda: sn.intv(1, 3, name="n")),
        (lambda: sn.intv(1, 4, name="n"), lambda: sn.intv(1, 4, log=True, name="n")),
        (lambda: sn.floatv(1, 2, name="n"), lambda: sn.floatv(1, 3, name="n")),
        (lambda: sn.floatv(1, 2, name="n"), lambda: sn.floatv(1, 2, "log", name="n")),
        (
            lambda: sn.manyof(2, [1, 2], name="n"),
            lambda: sn.manyof(2, [1, 2], distinct=False, name="n"),
        ),
        (
            lambda: sn.manyof(2, [1, 2], name="n"),
            lambda: sn.manyof(2, [1, 2], sorted=True, name="n"),
        ),
        (
            lambda: sn.oneof([nn.Linear(1, 2), 3], name="n"),
            lambda: sn.oneof([nn.Conv2d(1, 2, 3), 3], name="n"),
        ),
    ],
)
def test_a_name_with_different_choices_raises_and_names_both_places(first, second):
    with pytest.raises(ValueError, match="'n'") as error:
        sn.SearchSpace({"left": first(), "right": [0, second()]})
    assert "`left`" in str(error.value) and "`right[1]`" in str(error.value)


def test_candidates_under_one_name_may_be_layers_with_other_arguments():
    def op(width):
        return sn.oneof([nn.Linear(width, width), nn.Identity()], name="op")

    models = examples(nn.Sequential(op(2), op(3)))
    assert [[type(layer).__name__ for layer in m] for m in models] == [
        ["Linear", "Linear"],
        ["Identity", "Identity"],
    ]
    assert models[0][1].in_features == 3


# --- symbolic objects used twice ----------------------------------------------------------


def test_a_symbolic_object_used_twice_is_one_module():
    layer = nn.Linear(4, sn.oneof([4, 8]))
    model = sn.SearchSpace(nn.Sequential(layer, nn.ReLU(), layer)).build([0])
    assert model[0] is model[2]
    assert len(list(model.parameters())) == 2


def test_a_plain_module_used_twice_is_one_module():
    layer = nn.Linear(4, 4)
    model = sn.SearchSpace(nn.Sequential(layer, sn.oneof([nn.ReLU()]), layer)).build(
        [0]
    )
    assert model[0] is model[2]
    assert model[0] is not layer


@pytest.mark.parametrize(
    "make",
    [
        lambda shared: [shared, [shared]],
        lambda shared: {"a": shared, "b": {"c": (shared, 1)}},
        lambda shared: [nn.Sequential(shared), nn.ModuleList([nn.Sequential(shared)])],
        lambda shared: [Block(shared, shared), shared],
        lambda shared: {1: shared, 2: [shared]},
        lambda shared: collections.OrderedDict(a=shared, b=(shared,)),
    ],
)
def test_sharing_holds_across_nested_containers(make):
    for shared in (nn.Linear(4, sn.oneof([4, 8])), nn.Linear(4, 4)):
        space = sn.SearchSpace([make(shared), sn.oneof([1, 2])])
        assert space.size == (4 if sn.tree.is_symbolic(shared) else 2)
        built = space.build([0] * space.num_columns)[0]
        assert len({id(m) for m in modules_in(built)}) == 1


def modules_in(value):
    """The linear layers in containers and modules, with repetitions."""
    if isinstance(value, torch.nn.Linear):
        return [value]
    if isinstance(value, torch.nn.Module):
        return [
            m for child in value._modules.values() if child for m in modules_in(child)
        ]
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, (list, tuple, type({}.values()))):
        return [m for item in value for m in modules_in(item)]
    return []


def test_a_shared_object_may_stand_among_candidates():
    layer = nn.Linear(4, sn.oneof([4, 8], name="w"))
    space = sn.SearchSpace([sn.oneof([layer, nn.ReLU()]), sn.oneof([layer, nn.Tanh()])])
    both = [e for e in examples(space._origin) if e[0] is e[1]]
    assert sorted(e[0].out_features for e in both) == [4, 8]
    for example in examples(space._origin):
        assert all(isinstance(m, torch.nn.Module) for m in example)


def test_a_shared_object_may_contain_a_shared_object():
    inner = nn.Linear(2, sn.oneof([2, 3]))
    outer = nn.Sequential(inner, nn.ReLU())
    space = sn.SearchSpace([outer, {"x": outer}, inner])
    assert space.size == 2
    first, second, third = space.build([1])
    assert first is second["x"] and first[0] is third
    assert third.out_features == 3


def test_the_same_list_used_twice_holds_the_same_modules():
    layers = [nn.Linear(2, sn.oneof([2, 3])), nn.ReLU()]
    space = sn.SearchSpace({"a": nn.Sequential(*layers), "b": nn.Sequential(*layers)})
    model = space.build([1])
    assert model["a"][0] is model["b"][0] and model["a"][1] is model["b"][1]
    both = sn.SearchSpace({"a": layers, "b": layers}).build([1])
    assert both["a"][0] is both["b"][0]


def test_two_equal_calls_are_two_modules():
    model = sn.SearchSpace([nn.Linear(2, sn.oneof([3])), nn.Linear(2, sn.oneof([3]))])
    first, second = model.build([0, 0])
    assert first is not second
    assert not torch.equal(first.weight, second.weight)


def test_each_example_has_modules_of_its_own():
    layer = nn.Linear(4, sn.oneof([4, 8]))
    space = sn.SearchSpace([layer, layer])
    assert space.build([0])[0] is not space.build([0])[0]


def test_a_clone_stands_for_other_modules_that_are_shared_alike():
    layer = nn.Linear(4, sn.oneof([4, 8]))
    original = nn.Sequential(layer, layer)
    twin = original.clone()
    assert sn.SearchSpace(twin).size == 2
    model = sn.SearchSpace(twin).build([1])
    assert model[0] is model[1]
    both = sn.SearchSpace([original, twin])
    assert both.size == 4
    first, second = both.build([0, 1])
    assert first[0] is first[1] and second[0] is second[1]
    assert (first[0].out_features, second[0].out_features) == (4, 8)
    for copied in (
        copy.copy(original),
        copy.deepcopy(original),
        original.clone(deep=True),
    ):
        model = sn.SearchSpace(copied).build([0])
        assert model[0] is model[1]


def test_a_clone_of_a_part_is_not_shared_with_it():
    layer = nn.Linear(4, sn.oneof([4, 8]))
    space = sn.SearchSpace([layer, layer.clone()])
    assert space.size == 4


def test_a_function_called_once_and_used_twice_runs_once():
    calls = []

    @sn.symbolize
    def make(width):
        calls.append(width)
        return torch.nn.Linear(2, width)

    layer = make(sn.oneof([2, 3]))
    first, second = sn.SearchSpace([layer, layer]).build([1])
    assert first is second and calls == [3]


def test_manyof_without_distinct_makes_a_new_module_for_each_slot():
    space = sn.SearchSpace(sn.manyof(2, [nn.Linear(2, 2), nn.ReLU()], distinct=False))
    first, second = space.build([0, 0])
    assert type(first) is type(second) is torch.nn.Linear
    assert first is not second


def test_rebind_of_one_of_two_shared_places_raises_and_names_both():
    layer = nn.Linear(4, sn.oneof([4, 8]))
    space = nn.Sequential(layer, nn.ReLU(), layer)
    space.rebind({"args[2].in_features": 5})
    with pytest.raises(ValueError, match="rebind|Rebind") as error:
        sn.SearchSpace(space)
    assert "args[0]" in str(error.value) and "args[2]" in str(error.value)
    space.rebind({"args[0].in_features": 5})  # Both alike: they are one again.
    assert sn.SearchSpace(space).size == 2


# --- modules that were made before --------------------------------------------------------


def test_a_module_inside_a_space_counts_as_its_constructor_call():
    def hand_written(width):
        return torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Linear(6, width))

    space = sn.SearchSpace(
        nn.Sequential(nn.Linear(4, 6), nn.Linear(6, sn.oneof([2, 3])))
    )
    for gene, width in enumerate((2, 3)):
        built = seeded(lambda: space.build([gene]))  # noqa: B023
        assert states_equal(built, seeded(lambda: hand_written(width)))  # noqa: B023
    assert not states_equal(space.build([0]), space.build([0]))


def test_weights_are_drawn_in_the_order_in_which_constructors_were_called():
    def program(nn, width):
        head = nn.Linear(6, 3)
        stem = nn.Linear(4, width)
        middle = nn.Sequential(nn.Linear(8, 8), head)
        return nn.Sequential(stem, middle, nn.Linear(width, 4), nn.Sequential())

    space = sn.SearchSpace(program(nn, sn.oneof([2, 5])))
    built = seeded(lambda: space.build([1, 1]))
    assert states_equal(built, seeded(lambda: program(torch.nn, 5)))


def test_keywords_are_evaluated_in_the_order_in_which_they_are_written():
    def program(nn, width):
        return sn.nn.Sequential(
            Block(second=nn.Linear(2, 3), first=nn.Linear(4, width)),
            Block(first=nn.Linear(4, width), second=nn.Linear(2, 3)),
        )

    space = sn.SearchSpace(program(nn, sn.oneof([2, 5])))
    built = seeded(lambda: space.build([1, 1]))
    assert states_equal(built, seeded(lambda: program(torch.nn, 5)))


def test_layers_of_a_user_class_are_drawn_as_by_hand():
    @sn.symbolize
    class Head(torch.nn.Module):
        def __init__(self, width, body):
            super().__init__()
            self.before = torch.nn.Linear(3, width)
            self.body = body

    def program(nn, width):
        body = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        return Head(width, body), nn.Linear(2, 2)

    space = sn.SearchSpace(program(nn, sn.oneof([2, 5])))
    built = seeded(lambda: space.build([1]))
    by_hand = seeded(lambda: program(torch.nn, 5))
    assert all(map(states_equal, built, by_hand))


def test_a_candidate_that_was_made_early_is_drawn_early():
    def program(nn, choose):
        first = nn.Linear(2, 2)
        second = nn.Linear(2, 2)
        return nn.Sequential(nn.Linear(2, 2), choose([second, first]))

    space = sn.SearchSpace(program(nn, sn.oneof))
    for gene in (0, 1):
        torch.default_generator.manual_seed(0)
        # Only what is part of the example is made: the other candidate draws nothing.
        chosen = torch.nn.Linear(2, 2)
        last = torch.nn.Linear(2, 2)
        built = seeded(lambda: space.build([gene]))  # noqa: B023
        assert torch.equal(built[1].weight, chosen.weight)
        assert torch.equal(built[0].weight, last.weight)


def test_a_module_stays_what_it_was_when_it_is_put_into_a_space():
    layer = nn.Linear(2, 2)
    before = layer.weight.clone()
    sn.SearchSpace([layer, sn.oneof([1, 2])]).build([0])
    assert torch.equal(layer.weight, before)
    assert type(layer) is torch.nn.Linear


def change_weight(m):
    with torch.no_grad():
        m[0].weight.add_(1)


def change_bias_of_a_deep_layer(m):
    with torch.no_grad():
        m[1][0].bias.zero_()


def freeze(m):
    m[0].weight.requires_grad_(False)


def replace_child(m):
    m[1] = torch.nn.Tanh()


def replace_parameter(m):
    m[0].weight = torch.nn.Parameter(torch.ones(2, 2))


def add_child(m):
    m.append(torch.nn.Tanh())


def remove_child(m):
    del m[1]


def change_attribute(m):
    m[2].p = 0.9


def add_attribute(m):
    m.note = "mine"


def add_buffer(m):
    m.register_buffer("extra", torch.ones(1))


def change_buffer(m):
    m[3](torch.ones(2, 2))  # Running statistics.


def to_double(m):
    m.double()


def to_eval(m):
    m.eval()


def add_hook(m):
    m[0].register_forward_hook(lambda *args: None)


def load_state(m):
    m.load_state_dict(m.state_dict())


def train_a_step(m):
    optimizer = torch.optim.SGD(m[0].parameters(), lr=0.1)
    m[0](torch.ones(2, 2)).sum().backward()
    optimizer.step()


def initialise(m):
    torch.nn.init.zeros_(m[0].weight)


def override_a_method(m):
    m[0].forward = lambda x: x


def weight_norm(m):
    torch.nn.utils.parametrizations.weight_norm(m[0])


CHANGES = [
    change_weight,
    change_bias_of_a_deep_layer,
    freeze,
    replace_child,
    replace_parameter,
    add_child,
    remove_child,
    change_attribute,
    add_attribute,
    add_buffer,
    change_buffer,
    to_double,
    to_eval,
    add_hook,
    load_state,
    train_a_step,
    initialise,
    override_a_method,
    weight_norm,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_module_is_copied_as_it_is(change):
    def program():
        return nn.Sequential(
            nn.Linear(2, 2),
            nn.Sequential(nn.Linear(2, 2), nn.ReLU()),
            nn.Dropout(0.5),
            nn.BatchNorm1d(2),
        )

    module = program()
    change(module)
    space = sn.SearchSpace([module, sn.oneof([1, 2])])
    built = space.build([0])[0]
    assert built is not module
    assert states_equal(built, module)
    assert repr(built) == repr(module)
    assert built.training == module.training
    assert [p.requires_grad for p in built.parameters()] == [
        p.requires_grad for p in module.parameters()
    ]
    # A change deep inside a larger module leaves no part of that as its call.
    module = program()
    outer = nn.Sequential(module, nn.Linear(2, 2))
    change(module)
    built = sn.SearchSpace([outer, sn.oneof([1, 2])]).build([0])[0]
    assert states_equal(built, outer)


def test_a_module_whose_child_was_changed_before_it_was_made_is_rebuilt_around_a_copy():
    layer = nn.Linear(2, 2)
    torch.nn.init.ones_(layer.weight)
    model = nn.Sequential(layer, nn.Linear(2, 2))
    built = sn.SearchSpace([model, sn.oneof([1, 2])]).build([0])[0]
    assert torch.equal(built[0].weight, layer.weight)
    assert built[0] is not layer
    assert not torch.equal(built[1].weight, model[1].weight)


def test_a_forward_pass_alone_does_not_make_a_module_foreign():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Dropout(0.5))
    model(torch.ones(1, 2))
    built = sn.SearchSpace([model, sn.oneof([1, 2])]).build([0])[0]
    assert not torch.equal(built[0].weight, model[0].weight)


def test_foreign_modules_are_copied_with_one_memo():
    backbone = torch.nn.Linear(2, 2)
    other = torch.nn.Linear(2, 2)
    other.weight = backbone.weight  # Tied across two foreign modules.
    space = sn.SearchSpace([backbone, other, {"again": backbone}, sn.oneof([1, 2])])
    first = space.build([0])
    assert first[0] is first[2]["again"]
    assert first[0].weight is first[1].weight
    assert first[0] is not backbone
    assert torch.equal(first[0].weight, backbone.weight)
    assert space.build([0])[0] is not first[0]


def test_training_an_example_leaves_the_foreign_module_alone():
    backbone = torch.nn.Linear(2, 2)
    before = backbone.weight.clone()
    model = sn.SearchSpace(nn.Sequential(backbone, sn.oneof([nn.ReLU()]))).build([0])
    torch.nn.init.zeros_(model[0].weight)
    assert torch.equal(backbone.weight, before)


def test_tensors_are_copied_per_example_and_parameters_stay_parameters():
    weight = torch.nn.Parameter(torch.ones(2))
    space = sn.SearchSpace([weight, weight, torch.zeros(2), sn.oneof([1, 2])])
    built = space.build([0])
    assert built[0] is built[1] is not weight
    assert isinstance(built[0], torch.nn.Parameter)
    built[2].add_(1)
    assert torch.equal(space.build([0])[2], torch.zeros(2))


def test_a_tensor_that_needs_a_gradient_of_another_gives_a_clear_error():
    computed = torch.ones(2, requires_grad=True) * 2
    space = sn.SearchSpace([computed, sn.oneof([1, 2])])
    with pytest.raises(RuntimeError, match="deepcopy"):
        space.build([0])
    assert (
        sn.SearchSpace([sn.share(computed), sn.oneof([1, 2])]).build([0])[0] is computed
    )


def test_share_keeps_one_object():
    backbone = torch.nn.Linear(2, 2)
    space = sn.SearchSpace(
        nn.Sequential(sn.share(backbone), nn.Linear(2, sn.oneof([2, 3])))
    )
    assert space.build([0])[0] is backbone is space.build([1])[0]
    recorded = nn.Linear(2, 2)
    assert sn.SearchSpace([sn.share(recorded), sn.oneof([1])]).build([0])[0] is recorded
    items = [1, 2]
    assert sn.SearchSpace([sn.share(items), sn.oneof([1])]).build([0])[0] is items
    # In copies of the space as well.
    symbolic = nn.Sequential(sn.share(backbone), sn.oneof([nn.ReLU(), nn.Tanh()]))
    for twin in (symbolic.clone(), symbolic.clone(deep=True), copy.deepcopy(symbolic)):
        assert sn.SearchSpace(twin).build([0])[0] is backbone


def test_share_and_a_copy_of_one_module_are_two_things():
    backbone = torch.nn.Linear(2, 2)
    shared, copied, _ = sn.SearchSpace(
        [sn.share(backbone), backbone, sn.oneof([1, 2])]
    ).build([0])
    assert shared is backbone
    assert copied is not backbone


def test_a_deep_copy_of_a_recorded_module_keeps_its_weights_and_its_call():
    layer = nn.Linear(2, 3)
    twin = copy.deepcopy(layer)
    assert torch.equal(twin.weight, layer.weight)
    assert sn.symbolic(twin) == sn.symbolic(layer)
    # The copy has weights of its own, so in a space it stands for itself.
    built = sn.SearchSpace([twin, sn.oneof([1, 2])]).build([0])[0]
    assert torch.equal(built.weight, layer.weight)


def test_models_of_a_search_that_stand_in_a_space_keep_their_weights():
    model = sn.SearchSpace(nn.Linear(2, sn.oneof([2, 3]))).build([0])
    built = sn.SearchSpace([model, sn.oneof([1, 2])]).build([0])[0]
    assert torch.equal(built.weight, model.weight)


# --- derive -------------------------------------------------------------------------------


def test_derive_refuses_an_unnamed_decision_that_is_used_elsewhere():
    width = sn.oneof([8, 16])
    with pytest.raises(ValueError, match="name"):
        nn.Linear(width, sn.derive(lambda w: 2 * w, width))
    width = sn.oneof([8, 16])
    layer = nn.Linear(4, width)
    with pytest.raises(ValueError, match="name"):
        sn.derive(lambda w: 2 * w, width)
    assert sn.SearchSpace(layer).size == 2
    width = sn.oneof([8, 16])
    double = sn.derive(lambda w: 2 * w, width)
    with pytest.raises(ValueError, match="name"):
        [nn.Linear(4, width), double][0].clone()


def test_derive_of_an_unnamed_decision_alone_is_allowed():
    assert examples({"n": sn.derive(lambda w: 2 * w, sn.oneof([1, 2]))}) == [
        {"n": 2},
        {"n": 4},
    ]


def test_a_derived_value_used_twice_is_computed_once_for_one_decision():
    double = sn.derive(lambda w: 2 * w, sn.oneof([1, 2]))
    assert examples([double, {"again": double}]) == [
        [2, {"again": 2}],
        [4, {"again": 4}],
    ]


def test_the_error_of_two_decisions_is_the_same_in_any_order():
    messages = set()
    for flip in (False, True):
        pair = [sn.oneof([1, 2], name="n"), sn.oneof([1, 3], name="n")]
        with pytest.raises(ValueError) as error:
            sn.SearchSpace(pair[::-1] if flip else pair)
        messages.add(re.sub(r"\[1, [23]\]", "", str(error.value)))
    assert len(messages) == 1
