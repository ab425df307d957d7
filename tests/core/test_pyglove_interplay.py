"""What PyGlove can do with our symbolic objects, and what it can give to us."""

import math

import numpy as np
import pyglove as pg
import pytest
import torch

import symnas as sn
from symnas import nn


@sn.symbolize
class Config:
    def __init__(self, width, act="relu", *rest, **options):
        self.values = (width, act, rest, options)


def space():
    return Config(
        sn.oneof([8, 16]),
        sn.oneof(["relu", sn.manyof(2, ["a", "b", "c"])]),
        sn.floatv(0.1, 1.0, "log"),
        steps=sn.intv(1, 3),
    )


def discrete():
    return Config(
        sn.oneof([8, 16]), sn.oneof(["relu", sn.manyof(2, ["a", "b", "c"])]), 3
    )


def tied_by_name():
    return nn.Sequential(
        nn.Linear(4, sn.oneof([8, 16], name="w")),
        nn.Linear(sn.oneof([8, 16], name="w"), 2),
    )


def tied_by_object():
    layer = nn.Linear(4, sn.oneof([4, 8]))
    return nn.Sequential(layer, nn.ReLU(), layer)


# --- one symbolic object --------------------------------------------------------------------


def test_rebind_changes_the_object_in_place_by_keyword_path_and_function():
    config = space()
    assert config.rebind(width=sn.oneof([1, 2, 3])) is config
    config.rebind({"act.candidates[0]": "gelu", "options.steps": 4, "rest[0]": 0.5})
    assert config.act.candidates[0] == "gelu"
    assert (config.options.steps, config.rest[0]) == (4, 0.5)
    config.rebind(lambda k, v, p: "tanh" if v_is(v, "gelu") else v)
    assert config.act.candidates[0] == "tanh"
    assert sn.SearchSpace(config).size == 3 * (1 + 6)
    with pytest.raises(KeyError, match="width"):
        config.rebind(widht=3)


def v_is(value, wanted):
    return isinstance(value, str) and value == wanted


def test_rebind_can_add_and_remove_arguments():
    config = Config(sn.oneof([8, 16]))
    config.rebind(act="gelu")
    assert sn.SearchSpace(config).build([1]).values == (16, "gelu", (), {})
    config.rebind(act=pg.MISSING_VALUE)
    assert sn.SearchSpace(config).build([1]).values == (16, "relu", (), {})
    config.rebind({"rest": [1, 2]})
    assert sn.SearchSpace(config).build([0]).values == (8, "relu", (1, 2), {})


def test_clone_copies_the_tree_and_takes_overrides():
    config = space()
    for twin in (config.clone(), config.clone(deep=True)):
        assert twin == config and twin is not config
        twin.rebind(width=1)
        assert twin != config
    other = config.clone(override={"width": 5})
    assert (other.width, isinstance(config.width, pg.hyper.OneOf)) == (5, True)


def test_query_finds_parts_by_path_value_and_type():
    config = space()
    choices = pg.query(
        config, where=lambda v: isinstance(v, pg.hyper.HyperValue), enter_selected=True
    )
    assert set(choices) == {
        "width",
        "act",
        "act.candidates[1]",
        "rest[0]",
        "options.steps",
    }
    assert pg.query(config, r"width\.candidates.*\[1\]") == {"width.candidates[1]": 16}
    model = nn.Sequential(nn.Linear(4, sn.oneof([8])), nn.Sequential(nn.Linear(8, 2)))
    found = pg.query(
        model, where=lambda v: getattr(v, "sym_target", None) is torch.nn.Linear
    )
    assert list(found) == ["args[0]", "args[1].args[0]"]
    assert pg.contains(model, type=pg.hyper.OneOf)


def test_paths_follow_a_part_that_moves():
    layer = nn.Linear(4, sn.oneof([8, 16]))
    assert str(layer.out_features.sym_path) == "out_features"
    model = nn.Sequential(nn.ReLU(), layer)
    assert str(layer.out_features.sym_path) == "args[1].out_features"
    assert layer.sym_root is model
    assert model.args[1].sym_parent is not None


def test_diff_names_what_differs():
    left, right = nn.Linear(4, sn.oneof([8, 16])), nn.Linear(5, sn.oneof([8, 16]))
    assert "in_features" in str(pg.diff(left, right))
    assert "Diff(left=4, right=5)" in str(pg.diff(left, right, flatten=True)).replace(
        "\n", ""
    )
    other = nn.Bilinear(4, 5, sn.oneof([8, 16]))
    assert "Bilinear" in str(pg.diff(left, other, mode="diff"))
    assert not pg.diff(left, left.clone())


def test_equality_goes_by_content():
    assert pg.eq(space(), space())
    assert space() == space()
    assert pg.ne(space(), discrete())
    assert pg.eq(tied_by_object(), tied_by_object())
    assert hash(space().rebind(width=1)) != hash(discrete())


def test_views_show_what_a_person_would_have_written():
    assert repr(nn.Linear(4, sn.oneof([8, 16], name="w"))) == (
        "nn.Linear(in_features=4, out_features=oneof([8, 16], name='w'))"
    )
    html = space().to_html()
    assert "Config" in str(html) and "16" in str(html)
    assert "Linear" in str(tied_by_object().to_html())
    assert "Config" in space().format(verbose=True)


def test_inspecting_helpers_work():
    config = space()
    assert list(config.sym_keys()) == ["width", "act", "rest", "options"]
    assert dict(config.sym_items())["act"] is config.act
    assert config.sym_get("options.steps") is config.options.steps
    assert config.sym_has("rest[0]") and not config.sym_has("rest[1]")
    assert config.sym_missing() == {}
    seen = []
    pg.traverse(config, lambda k, v, p: seen.append(str(k)) or pg.TraverseAction.ENTER)
    assert "options.steps" in seen


def test_pyglove_json_is_ours_and_not_executable():
    data = space().to_json()
    assert "_type" not in str(data)
    assert sn.from_json(space().to_json_str()) == space()
    with pytest.raises((TypeError, ValueError)):
        type(space()).from_json({})


def test_symbolic_objects_stand_inside_objects_of_pyglove():
    @pg.members([("model", pg.typing.Any())])
    class Experiment(pg.Object):
        pass

    experiment = Experiment(nn.Linear(4, pg.oneof([8, 16])))
    assert experiment.model.in_features == 4
    assert str(experiment.model.out_features.sym_path) == "model.out_features"
    compiled = sn.SearchSpace(experiment)
    assert compiled.size == 2
    built = compiled.build([1])
    assert isinstance(built, Experiment)
    assert type(built.model) is torch.nn.Linear


# --- search with PyGlove ----------------------------------------------------------------------


def test_dna_spec_describes_the_decisions():
    spec = pg.dna_spec(space())
    assert spec.space_size == -1
    assert pg.dna_spec(discrete()).space_size == 2 * (1 + 6)
    assert [str(p.id) for p in spec.decision_points][:2] == ["width", "act"]
    assert pg.dna_spec(sn.intv(1, 9, 2)).space_size == 5
    assert pg.dna_spec([sn.oneof([1, 2]), sn.permutate([1, 2, 3])]).space_size == 12


def test_dna_of_ours_and_of_pyglove_are_the_same():
    for make in (space, discrete):
        compiled = sn.SearchSpace(make())
        spec = pg.dna_spec(make())
        for genotype in compiled.random(np.random.default_rng(0), 20):
            dna = compiled.to_dna(genotype)
            assert spec.validate(dna) is None
            np.testing.assert_allclose(compiled.from_dna(dna), genotype)
            decoded = pg.template(make()).decode(dna)
            assert decoded == compiled.symbolic(genotype)
        for _ in range(20):
            dna = pg.random_dna(spec)
            again = compiled.to_dna(compiled.from_dna(dna))
            np.testing.assert_allclose(again.to_numbers(), dna.to_numbers())


def test_iter_goes_through_all_examples():
    examples = list(pg.iter(discrete()))
    assert len(examples) == 14
    assert len({repr(e) for e in examples}) == 14
    built = [sn.build(e).values for e in examples if isinstance(e.act, str)]
    assert built == [(8, "relu", (3,), {}), (16, "relu", (3,), {})]
    limited = list(pg.iter(discrete(), 3))
    assert len(limited) == 3


def test_sample_searches_with_the_algorithms_of_pyglove():
    algorithm = pg.evolution.regularized_evolution(
        pg.evolution.mutators.Uniform(seed=1),
        population_size=5,
        tournament_size=3,
        seed=1,
    )
    best = 0.0
    for example, feedback in pg.sample(space(), algorithm, num_examples=15):
        assert example.sym_target is Config
        values = sn.build(example).values
        feedback(float(values[0]))
        best = max(best, values[0])
    assert best == 16


def test_random_sample_draws_examples():
    drawn = [next(pg.random_sample(space(), seed=i)) for i in range(8)]
    assert {e.width for e in drawn} == {8, 16}
    assert all(0.1 <= e.rest[0] <= 1.0 for e in drawn)
    assert all(e.options.steps in (1, 2, 3) for e in drawn)
    assert [e.width for e in drawn] == [
        next(pg.random_sample(space(), seed=i)).width for i in range(8)
    ]


def test_template_encodes_an_example_back():
    template = pg.template(discrete())
    for example in pg.iter(discrete(), 5):
        assert template.decode(template.encode(example)) == example
    assert pg.materialize(discrete(), {"width": 1, "act": 0}).width == 16


@pytest.mark.parametrize("make", [tied_by_name, tied_by_object])
@pytest.mark.parametrize(
    "use",
    [
        lambda s: pg.dna_spec(s),
        lambda s: next(pg.iter(s)),
        lambda s: next(pg.random_sample(s)),
        lambda s: next(iter(pg.sample(s, pg.geno.Random(1), num_examples=1))),
        lambda s: pg.template(s).dna_spec(),
    ],
    ids=["dna_spec", "iter", "random_sample", "sample", "template"],
)
def test_a_tied_space_is_refused_with_the_way_out(make, use):
    with pytest.raises(ValueError, match=r"for_pyglove\(\)"):
        use(make())


@pytest.mark.parametrize("make", [tied_by_name, tied_by_object, discrete])
def test_for_pyglove_works_in_iter_and_sample(make):
    compiled = sn.SearchSpace(make())
    built = [build() for build in pg.iter(compiled.for_pyglove())]
    assert len(built) == compiled.size
    if make is not discrete:
        assert len({m[0].out_features for m in built}) == 2
    widths = set()
    for build, feedback in pg.sample(
        compiled.for_pyglove(),
        pg.geno.Random(seed=1),
        num_examples=8,
        name=make.__name__,
    ):
        model = build()
        widths.add(repr(getattr(model, "values", model)))
        feedback(1.0)
    assert len(widths) >= 2


def test_a_space_may_be_cloned_and_still_be_given_to_pyglove():
    layer = nn.Linear(4, sn.oneof([8, 16]))
    assert len(list(pg.iter(layer.clone()))) == 2
    assert len(list(pg.iter(nn.Sequential(layer, layer.clone())))) == 4


# --- spaces of PyGlove --------------------------------------------------------------------------


def test_hyper_values_of_pyglove_are_ours():
    cases = [
        (pg.oneof([1, 2]), [1], 2),
        (pg.oneof([1, 2], name="x", hints="h"), [0], 1),
        (pg.manyof(2, [1, 2, 3]), [2, 0], [3, 1]),
        (pg.manyof(2, [1, 2, 3], distinct=False, sorted=True), [1, 1], [2, 2]),
        (pg.permutate([1, 2, 3]), [2, 0, 1], [3, 1, 2]),
        (pg.floatv(0.0, 2.0), [0.5], 1.0),
        (pg.floatv(0.01, 1.0, scale="log"), [0.5], 0.1),
        (
            pg.oneof([pg.oneof([1, 2]), {"a": pg.floatv(0.0, 1.0)}]),
            [1, -1, 0.5],
            {"a": 0.5},
        ),
    ]
    for value, genotype, expected in cases:
        example = sn.SearchSpace([value]).build(genotype)[0]
        if isinstance(expected, float):
            assert math.isclose(example, expected)
        else:
            assert example == expected
        assert sn.SearchSpace([value]).decisions[0].hints == value.hints


def test_hyper_values_of_pyglove_work_in_symbolized_constructors():
    model = nn.Sequential(
        nn.Linear(4, pg.oneof([8, 16])), pg.oneof([nn.ReLU(), nn.Tanh()])
    )
    assert sn.SearchSpace(model).size == 4
    assert sn.SearchSpace(model).build([1, 1])[0].out_features == 16


def test_containers_and_objects_of_pyglove_are_spaces():
    class Point(pg.Object):
        x: int
        y: pg.typing.Any()

    built = sn.SearchSpace(
        pg.Dict(a=pg.oneof([1, 2]), b=pg.List([3, pg.oneof([4, 5])]))
    ).build([1, 0])
    assert built == {"a": 2, "b": [3, 4]}
    point = Point(pg.oneof([1, 2]), [pg.oneof([3, 4])])
    assert sn.SearchSpace(point).build([1, 1]) == Point(2, [4])
    assert next(iter(sn.sample(point, seed=0)))[0].x in (1, 2)
    nested = pg.Dict(p=Point(1, pg.oneof([Point(2, 3), Point(pg.oneof([4, 5]), 6)])))
    assert sn.SearchSpace(nested).size == 3
    assert sn.SearchSpace(nested).build([1, 1])["p"].y == Point(5, 6)


def test_symbolized_classes_of_pyglove_are_spaces():
    @pg.symbolize
    class Layer:
        def __init__(self, n):
            self.n = n

    built = sn.SearchSpace([Layer(pg.oneof([1, 2])), Layer(3)]).build([1])
    assert [layer.n for layer in built] == [2, 3]


def test_the_space_given_by_the_caller_is_not_changed():
    given = pg.Dict(a=pg.oneof([1, 2]), b=[pg.oneof([3, 4])])
    before = given.clone(deep=True)
    sn.SearchSpace(given).build([0, 0])
    assert pg.eq(given, before)
    assert type(given.a) is pg.hyper.OneOf
    assert given.a.sym_parent is given


def test_a_dna_spec_is_a_space():
    compiled = sn.SearchSpace(
        pg.dna_spec(pg.Dict(a=pg.oneof([1, 2]), b=pg.floatv(0.0, 1.0)))
    )
    assert compiled.num_columns == 2
    assert isinstance(compiled.build([1, 0.5]), pg.DNA)


def test_what_has_no_counterpart_is_refused_by_name():
    with pytest.raises(TypeError, match="no counterpart"):
        sn.SearchSpace([pg.evolve([1], lambda value, parent, index: value)])
    with pytest.raises(TypeError, match="symnas.derive"):
        sn.SearchSpace(pg.Dict(a=pg.oneof([1, 2]), b=pg.hyper.reference("a")))
