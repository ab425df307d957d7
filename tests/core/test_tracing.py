"""Define-by-run: spaces written as ordinary code."""

import functools
import random

import numpy as np
import pytest
import torch

import symnas as sn
from symnas import nn


def compiled(function):
    return sn.SearchSpace(function)


def examples(function, n=200):
    """Distinct examples among random ones."""
    space = compiled(function)
    made = []
    for genotype in space.random(np.random.default_rng(0), n):
        example = space.build(genotype)
        if example not in made:
            made.append(example)
    return sorted(made, key=repr)


def test_a_function_is_a_space():
    def code():
        return (
            sn.oneof([1, 2]),
            sn.floatv(0.0, 1.0),
            sn.intv(3, 9, 3),
            sn.manyof(2, ["abc"]),
        )

    with pytest.raises(ValueError, match="distinct"):
        compiled(code)

    def right():
        return (
            sn.oneof([1, 2]),
            sn.floatv(0.0, 2.0),
            sn.intv(3, 9, 3),
            sn.manyof(2, [1, 2]),
        )

    space = compiled(right)
    assert [d.kind for d in space.decisions] == ["choice", "float", "int", "choice"]
    assert space.build([1, 0.5, 2, 1, 0]) == (2, 1.0, 9, [2, 1])


def test_branches_may_contain_further_decisions():
    # PyGlove fails here: "no decision provided".
    def code():
        if sn.oneof(["conv", "pool"]) == "conv":
            kernel = sn.oneof([1, 3])
            return ("conv", kernel, sn.oneof(["a", "b"]) if kernel == 3 else None)
        return ("pool", sn.oneof(["max", "mean"]))

    assert examples(code) == sorted(
        [
            ("conv", 1, None),
            ("conv", 3, "a"),
            ("conv", 3, "b"),
            ("pool", "max"),
            ("pool", "mean"),
        ],
        key=repr,
    )


def test_loops_make_one_decision_per_turn():
    def code():
        return [sn.oneof([1, 2]) for _ in range(3)]

    assert compiled(code).size == 8
    assert len(examples(code)) == 8

    def nested():
        depth = sn.intv(1, 3)
        return [[sn.oneof([1, 2]) for _ in range(2)] for _ in range(depth)]

    assert len(compiled(nested).decisions) == 1 + 3 * 2
    assert len(examples(nested, 2000)) == 4 + 16 + 64


def test_recursion_makes_one_decision_per_call():
    def tree(depth):
        if depth == 0 or sn.oneof([True, False]):
            return 0
        return [tree(depth - 1), tree(depth - 1)]

    assert len(examples(lambda: tree(2))) == 5


def test_a_name_is_one_decision_wherever_it_is_met():
    def code():
        width = sn.oneof([8, 16], name="width")
        if sn.oneof([True, False]):
            return width, sn.oneof([8, 16], name="width")
        return (sn.oneof([8, 16], name="width"),)

    space = compiled(code)
    assert len(space.decisions) == 2
    assert examples(code) == sorted([(16,), (16, 16), (8,), (8, 8)], key=repr)


def test_a_name_with_other_choices_raises_and_says_where():
    def code():
        return sn.oneof([1, 2], name="n"), sn.oneof([1, 2, 3], name="n")

    with pytest.raises(ValueError, match="`n`.*2 candidates.*3 candidates"):
        compiled(code)


def test_a_name_with_other_constants_raises_and_says_where():
    def code():
        return sn.oneof([1, 2], name="n"), sn.oneof([3, 4], name="n")

    with pytest.raises(ValueError, match=r"`n`.*\[1, 2\] at code:.*at code:.*\[3, 4\]"):
        compiled(code)

    def layers():  # Candidates that are made anew may differ in what they are made of.
        return [sn.oneof([nn.Linear(n, n), n * [None]], name="op") for n in (1, 2)]

    assert compiled(layers).build([0])[1].in_features == 2


def test_candidates_may_depend_on_earlier_decisions():
    def code():
        a = sn.oneof([1, 2])
        return a, sn.oneof([10 * a, 20 * a])

    assert examples(code) == [(1, 10), (1, 20), (2, 20), (2, 40)]


def test_a_number_of_candidates_that_depends_on_a_decision_needs_names():
    def code():
        n = sn.oneof([2, 3])
        return sn.oneof(list(range(n)))

    with pytest.raises(ValueError, match="name"):
        compiled(code)


def test_lambdas_as_candidates_are_called_when_chosen():
    calls = []

    def pool():
        calls.append("pool")
        return sn.oneof(["max", "mean"])

    def code():
        return sn.oneof([lambda: ("conv", sn.oneof([1, 3])), lambda: pool(), 5])

    space = compiled(code)
    assert len(space.decisions) == 3
    expected = [("conv", 1), ("conv", 3), 5, "max", "mean"]
    assert examples(code) == sorted(expected, key=repr)
    calls.clear()
    space.build([0, 1, -1])
    assert calls == []


def test_a_lambda_with_a_parameter_and_a_named_function_are_values():
    def named():
        return 1

    def code():
        return sn.oneof([lambda x: x + 1, named, torch.relu])

    space = compiled(code)
    assert space.build([0])(1) == 2
    assert space.build([1]) is named


def test_two_lambdas_on_one_line_are_two_places():
    # fmt: off
    def code():
        return sn.oneof([lambda: sn.oneof([1, 2]), lambda: sn.oneof([3, 4, 5])]), sn.oneof([6, 7]), sn.oneof([8, 9, 0])
    # fmt: on

    space = compiled(code)
    assert sorted(d.count for d in space.decisions) == [2, 2, 2, 3, 3]
    assert len(examples(code, 2000)) == 5 * 6


def test_helpers_called_from_different_places_are_different_decisions():
    def width():
        return sn.oneof([1, 2])

    def code():
        a = width()
        b = width()
        return a, b

    assert len(examples(code)) == 4


def test_a_decision_inside_a_function_that_is_called_in_another_order_keeps_its_place():
    def first():
        return sn.oneof(["a", "b"])

    def second():
        return sn.oneof([1, 2, 3])

    def code():
        if sn.oneof([True, False]):
            return first(), second()
        return second(), first()

    assert len(compiled(code).decisions) == 3
    assert len(examples(code)) == 12


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        width = sn.oneof([8, 16])
        self.first = torch.nn.Linear(4, width)
        self.act = sn.oneof([torch.nn.ReLU(), torch.nn.Tanh()])
        if sn.oneof([False, True]):
            self.second = nn.Linear(width, sn.oneof([2, 3]))

    def forward(self, x):
        return self.act(self.first(x))


def test_a_class_is_a_space():
    space = compiled(Network)
    assert len(space.decisions) == 4
    model = space.build([1, 1, 1, 1])
    assert type(model) is Network
    assert (model.first.out_features, model.second.out_features) == (16, 3)
    for example, feedback in sn.sample(Network, "random", 3, seed=0):
        assert isinstance(example(torch.ones(1, 4)), torch.Tensor)
        feedback(1.0)


def test_partials_methods_and_callable_objects_are_spaces():
    class Maker:
        def make(self, n=1):
            return n * sn.oneof([1, 2])

        def __call__(self):
            return -sn.oneof([1, 2])

    assert examples(functools.partial(Maker().make, 3)) == [3, 6]
    assert examples(Maker().make) == [1, 2]
    assert examples(Maker()) == [-1, -2]


def test_symbolized_and_nn_constructors_make_models_while_tracing():
    @sn.symbolize
    class Net(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.fc = torch.nn.Linear(2, width)

    def code():
        return nn.Sequential(Net(sn.oneof([3, 4])), sn.oneof([nn.ReLU(), nn.Tanh()]))

    model = compiled(code).build([1, 0])
    assert type(model) is torch.nn.Sequential
    assert model[0].fc.out_features == 4


def test_derive_and_share_compute_at_once_while_tracing():
    layer = torch.nn.Linear(2, 2)

    def code():
        width = sn.oneof([8, 16])
        return sn.derive(lambda w: w // 8, width), sn.share(layer)

    assert compiled(code).build([1])[0] == 2
    assert compiled(code).build([1])[1] is layer


def test_decisions_have_values_inside_the_code():
    def code():
        width = sn.oneof([8, 16])
        rate = sn.floatv(0.0, 1.0)
        assert isinstance(width, int) and isinstance(rate, float)
        layers = sn.permutate(["a", "b"])
        return [0] * sn.intv(1, 3), width // 2, f"{rate:.1f}", layers[0]

    assert compiled(code).build([1, 0.5, 1, 0, 2]) == ([0, 0, 0], 8, "0.5", "b")


def test_a_decision_nobody_had_met_says_what_to_do():
    def code():
        # The threshold is passed by few floats, and by none that exploring tries.
        if 0.4999 < sn.floatv(0.0, 1.0) < 0.5001:
            return sn.oneof([1, 2])
        return 0

    space = compiled(code)
    assert len(space.decisions) == 1
    assert space.build([0.25]) == 0
    with pytest.raises(ValueError, match="name.*move it up"):
        space.build([0.5])


def test_an_error_of_the_code_reaches_the_caller_and_a_refused_combination_does_not():
    def broken():
        sn.oneof([1, 2])
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        compiled(broken)

    def picky():
        a, b = sn.oneof([1, 2]), sn.oneof([1, 2])
        if a == b == 2:
            raise RuntimeError("mine")
        return a, b

    space = compiled(picky)
    assert space.build([1, 0]) == (2, 1)
    with pytest.raises(RuntimeError, match="mine"):
        space.build([1, 1])


def test_an_error_leaves_no_tracing_behind():
    def broken():
        sn.oneof([1, 2])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        compiled(broken)
    assert isinstance(sn.oneof([1, 2]), sn.hyper.OneOf)


def test_code_without_decisions_is_refused():
    with pytest.raises(ValueError, match="nothing to search"):
        compiled(lambda: 3)


def test_code_that_needs_arguments_says_so():
    def needs(n):
        return sn.oneof([n])

    with pytest.raises(TypeError, match="n"):
        compiled(needs)


def test_bad_hyper_values_are_refused_while_tracing():
    with pytest.raises(ValueError, match="at least one"):
        compiled(lambda: sn.oneof([]))
    with pytest.raises(ValueError, match="above"):
        compiled(lambda: sn.floatv(2.0, 1.0))


def test_exploring_leaves_the_global_generators_alone():
    def code():
        random.random()
        np.random.random()
        torch.rand(3)
        return torch.nn.Linear(2, sn.oneof([2, 3])), sn.oneof([1, 2])

    random.seed(1), np.random.seed(1), torch.default_generator.manual_seed(1)
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    compiled(code)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])


def test_exploring_costs_no_memory_for_weights():
    seen = []

    def code():
        layer = torch.nn.Linear(4, sn.oneof([4, 8]))
        seen.append(layer.weight.device.type)
        return layer

    space = compiled(code)
    assert set(seen) == {"meta"}
    assert space.build([0]).weight.device.type == "cpu"


def test_code_that_looks_at_values_of_tensors_is_explored_too():
    def code():
        layer = torch.nn.Linear(2, sn.oneof([2, 3]))
        scale = layer.weight.abs().max().item()
        return layer, scale, sn.oneof([1, 2])

    assert compiled(code).size == 4


def test_the_same_genotype_makes_the_same_example():
    space = compiled(Network)
    genotype = space.random(np.random.default_rng(0))[0]
    built = []
    for _ in range(2):
        torch.default_generator.manual_seed(0)
        built.append(space.build(genotype))
    assert torch.equal(built[0].first.weight, built[1].first.weight)
    assert repr(built[0]) == repr(built[1])


def test_compiling_twice_gives_the_same_space():
    assert compiled(Network).fingerprint == compiled(Network).fingerprint
    first, second = compiled(Network), compiled(Network)
    assert [d.path for d in first.decisions] == [d.path for d in second.decisions]


def test_paths_are_unique_and_show_the_place():
    def code():
        return [sn.oneof([1, 2]) for _ in range(3)], sn.oneof([3, 4])

    paths = [d.path for d in compiled(code).decisions]
    assert len(set(paths)) == 4
    assert all(path.startswith(("code:", "<listcomp>:")) for path in paths)


def test_examples_that_did_not_meet_a_decision_are_recognised_as_equal():
    def code():
        if sn.oneof([True, False]):
            return sn.oneof([1, 2])
        return 0

    samples = sn.sample(code, "random", 50, seed=0)
    seen = []
    for example, feedback in samples:
        seen.append(example)
        feedback(1.0)
    assert sorted(seen) == [0, 1, 2]


def test_a_search_space_may_be_traced_inside_another():
    def inner():
        return sn.oneof([1, 2, 3])

    def code():
        a = sn.oneof([1, 2])
        return a, compiled(inner).size

    space = compiled(code)
    assert len(space.decisions) == 1
    assert space.build([1]) == (2, 3)


def test_threads_trace_apart():
    import concurrent.futures

    def code():
        return [sn.oneof([1, 2, 3]) for _ in range(3)]

    space = compiled(code)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        built = list(pool.map(lambda i: space.build([i % 3] * 3), range(60)))
    assert built == [[i % 3 + 1] * 3 for i in range(60)]


def test_a_space_made_inside_the_code_is_no_hidden_choice():
    def code():
        return nn.Sequential(nn.Linear(2, sn.oneof([2, 3])))

    for example, feedback in sn.sample(code, num_examples=2, seed=0):
        assert isinstance(example, torch.nn.Module)
        feedback(0.0)


def test_where_needs_a_symbolic_space():
    with pytest.raises(ValueError, match="function"):
        sn.SearchSpace(lambda: sn.oneof([1, 2]), where=lambda v: True)
