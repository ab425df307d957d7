"""What every search space in `symnas.spaces` must do."""

from __future__ import annotations

import copy
import inspect
import io
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import symnas as sn

SPACES = sorted(sn.spaces.by_name().items())

# Sizes with which a test is quick, for the spaces that have such an argument.
SMALL = {
    "channels": 8,
    "cells_per_stage": 1,
    "cells_per_stack": 1,
    "num_cells": 3,
    "width_multiplier": 0.25,
    "num_classes": 3,
}
IMAGE_SIZE = 16

# The numbers of genotypes, each from the paper or a derivation.
COUNTS = {
    "nas_bench_101": 2**21 * 3**5,  # Edges and operations; valid or not.
    "nas_bench_201": 5**6,
    "darts": ((1 * 3 * 6 * 10) * 7**8) ** 2,  # Pairs of sources, operations.
    "mobilenet": (9**2 + 9**3 + 9**4) ** 5,  # Layers of 3 kernels x 3 expansions.
}

Kind = type[torch.nn.Module]


@pytest.fixture(params=[kind for _, kind in SPACES], ids=[name for name, _ in SPACES])
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


def small(kind: Kind, **options: Any) -> Any:
    """The space, called with its defaults but small."""
    known = inspect.signature(kind).parameters
    arguments = {name: value for name, value in SMALL.items() if name in known}
    return kind(**(arguments | options))


def compiled(kind: Kind, **options: Any) -> sn.SearchSpace:
    # A space in which not every genotype is valid says so in its `constraint`.
    return sn.SearchSpace(small(kind, **options), getattr(kind, "constraint", None))


def drawn(space: sn.SearchSpace, n: int, seed: int = 0) -> np.ndarray:
    return space.random(np.random.default_rng(seed), n)


def weights(model: torch.nn.Module) -> list[torch.Tensor]:
    return list(model.state_dict().values())


def same(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    pairs = zip(weights(left), weights(right), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_every_space_has_a_count():
    assert COUNTS.keys() == dict(SPACES).keys()


@pytest.mark.parametrize(("name", "kind"), SPACES)
def test_it_holds_as_many_genotypes_as_it_says(name, kind):
    space = sn.SearchSpace(kind())
    assert space.size >= COUNTS[name]
    if space.size_is_exact:
        assert space.size == COUNTS[name]


@pytest.mark.parametrize(("name", "kind"), SPACES)
def test_it_is_known_by_the_name_of_its_file(name, kind):
    assert kind.__module__ == f"symnas.spaces.{name}"
    assert getattr(sn.spaces, kind.__name__) is kind


def test_called_without_an_architecture_it_is_a_space_of_named_decisions(kind):
    space = sn.SearchSpace(kind())
    assert len(space.decisions) > 1
    assert all(decision.name for decision in space.decisions)


def test_other_arguments_may_be_open_too(kind):
    space = sn.SearchSpace(small(kind, num_classes=sn.oneof([2, 3], name="classes")))
    assert len(space.decisions) == len(sn.SearchSpace(kind()).decisions) + 1


def test_random_examples_are_ordinary_modules_that_run_and_learn(kind):
    space = compiled(kind)
    x = torch.randn(2, 3, IMAGE_SIZE, IMAGE_SIZE)
    for genotype in drawn(space, 6):
        model = space.build(genotype)
        assert type(model) is kind
        logits = model(x)
        assert logits.shape == (2, SMALL["num_classes"])
        assert logits.isfinite().all()
        logits.square().sum().backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert gradients
        assert all(gradient.isfinite().all() for gradient in gradients)
        model.eval()
        with torch.no_grad():
            assert torch.equal(model(x[:1]), model(x[:1]))


def test_images_of_another_number_of_channels_are_possible(kind):
    space = compiled(kind, image_channels=1)
    model = space.build(drawn(space, 1)[0])
    assert model(torch.zeros(2, 1, IMAGE_SIZE, IMAGE_SIZE)).shape == (2, 3)


def test_the_same_seed_gives_the_same_weights(kind):
    found = []
    for _ in range(2):
        samples = sn.sample(compiled(kind), "random", 3, seed=4)
        found.append([])
        for model, feedback in samples:
            found[-1].append(model)
            feedback(0.0)
    assert all(map(same, *found))


def test_equal_architectures_are_equal_and_have_one_fingerprint(kind):
    space = compiled(kind)
    one, other = drawn(space, 2)
    first, again = space.symbolic(one), compiled(kind).symbolic(one)
    assert first == again
    assert first != space.symbolic(other)
    assert sn.to_json(first) == sn.to_json(again)
    assert space.fingerprint == compiled(kind).fingerprint


def test_examples_and_their_architectures_survive_copy_pickle_and_save(kind):
    space = compiled(kind)
    model = space.build(drawn(space, 1)[0])
    described = sn.symbolic(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for twin in (
        copy.deepcopy(model),
        copy.copy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(file, weights_only=False),
    ):
        assert type(twin) is kind
        assert same(twin, model)
    assert pickle.loads(pickle.dumps(described)) == described


def test_a_replica_is_made_as_data_parallel_makes_it(kind):
    space = compiled(kind)
    model = space.build(drawn(space, 1)[0])
    assert type(model._replicate_for_data_parallel()) is kind


def test_the_space_and_its_architectures_come_back_from_json(kind):
    space = compiled(kind)
    restored = sn.SearchSpace.from_json(space.to_json(), space.constraint)
    assert restored.fingerprint == space.fingerprint
    assert sn.from_json(sn.to_json(small(kind))) == small(kind)
    for genotype in drawn(space, 3):
        symbolic = space.symbolic(genotype)
        assert sn.from_json(sn.to_json(symbolic)) == symbolic
        torch.manual_seed(0)
        model = sn.build(sn.from_json(sn.to_json(symbolic)))
        torch.manual_seed(0)
        assert same(model, restored.build(genotype))


def test_a_network_made_by_hand_can_be_opened(kind):
    """What a static program has made is changed by `rebind` alone."""
    space = compiled(kind)
    description = sn.symbolic(sn.build(space.symbolic(drawn(space, 1)[0])))
    description.rebind(num_classes=sn.oneof([2, 3]))
    assert sn.SearchSpace(description).size == 2


def test_algorithms_search_it(kind):
    space = compiled(kind)
    evolution = sn.algorithms.RegularizedEvolution(population_size=4, tournament_size=2)
    for algorithm in ("random", evolution):
        samples = sn.sample(space, algorithm, 10, seed=0)
        for model, feedback in samples:
            feedback(-math.log(sum(p.numel() for p in model.parameters())))
        assert samples.result.num_completed == 10


def test_networks_are_exported_as_a_graph(kind):
    space = compiled(kind)
    model = space.build(drawn(space, 1)[0]).eval()
    x = torch.randn(2, 3, IMAGE_SIZE, IMAGE_SIZE)
    exported = torch.export.export(model, (x,), strict=False).module()
    assert torch.allclose(exported(x), model(x), atol=1e-5)
