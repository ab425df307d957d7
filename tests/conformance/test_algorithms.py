"""What every algorithm in `symnas.algorithms` must do on every toy space."""

from __future__ import annotations

import functools
import math
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyglove as pg
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import symnas as sn

ALGORITHMS = sorted(
    set(sn.algorithms.by_name().values()), key=lambda kind: kind.__name__
)

Algorithm = sn.algorithms.Algorithm
Kind = type[Algorithm]


@pytest.fixture(params=ALGORITHMS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


# Populations that a short test fills, for the algorithms that have such a field.
# Fields for searches of some hundred examples at most.
SMALL = {
    "population_size": 12,
    "tournament_size": 4,
    "exploration_steps": 80,
    "actor_rate": 1e-3,
    "critic_rate": 1e-3,
}


def small(kind: Kind) -> Algorithm:
    fields = kind().sym_init_args
    return kind(**{name: value for name, value in SMALL.items() if name in fields})


def bound(
    kind: Kind, space: sn.SearchSpace, seed: int = 0, **options: Any
) -> Algorithm:
    algorithm = small(kind)
    algorithm.setup(space, seed, **options)
    return algorithm


def reward_of(genotype: Any) -> float:
    """A reward without ties, so that what was told decides what is proposed."""
    return float(sum(gene * math.sqrt(2 + i) for i, gene in enumerate(genotype)))


def run(algorithm: Algorithm, n: int, sign: float = 1.0) -> list[tuple[float, ...]]:
    """`n` proposals, each told at once."""
    rows = []
    for _ in range(n):
        for genotype in algorithm.ask(1):
            rows.append(tuple(genotype.tolist()))
            algorithm.tell(genotype, [sign * reward_of(genotype)])
    return rows


def sampled(
    kind: Kind, space: Any, n: int | None, seed: int = 0, **options: Any
) -> sn.Result:
    samples = sn.sample(space, small(kind), n, seed=seed, **options)
    for _, feedback in samples:
        feedback(reward_of(feedback.genotype))
    return samples.result


def reporting(evaluate: Callable[[Any], float]) -> Callable[[Any], Iterator[float]]:
    """The same evaluation as one that reports as it goes, which some algorithms need."""

    def steps(example: Any) -> Iterator[float]:
        yield evaluate(example)

    return steps


def is_random(kind: Kind) -> bool:
    """Whether it draws anything: some list what there is, in order."""
    algorithm = bound(kind, sn.SearchSpace([sn.oneof(range(5))] * 3))
    try:
        algorithm._ask(1, None)
    except AttributeError:  # Of None.
        return True
    return False


def proposes_budgets(kind: Kind) -> bool:
    """Whether it spends examples on proposing what it knows again, with more steps."""
    algorithm = bound(kind, sn.SearchSpace([sn.oneof(range(5))] * 3))
    algorithm.ask(1)
    return algorithm.budget is not None


def learns(kind: Kind) -> bool:
    """Whether rewards make a difference to what is proposed."""
    space = sn.SearchSpace([sn.oneof(range(5)) for _ in range(10)])
    return run(bound(kind, space), 50) != run(bound(kind, space), 50, sign=-1)


def assert_valid(space: sn.SearchSpace, genotypes: np.ndarray) -> None:
    assert genotypes.dtype == np.float64
    assert genotypes.ndim == 2
    assert genotypes.shape[1] == space.num_columns
    for genotype in genotypes:
        assert space.check(genotype).tolist() == genotype.tolist()


# --- seeds ----------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_proposals_whatever_other_generators_do(kind, toy):
    """Acceptance check 2; PyGlove's evolution does not repeat (defect 1)."""
    space = toy.compile()
    found = []
    for other in (1, 2):
        random.seed(other)
        np.random.seed(other)
        torch.manual_seed(other)
        rows = []
        samples = sn.sample(space, small(kind), 25, seed=7)
        for _, feedback in samples:
            rows.append(feedback.genotype)
            feedback(reward_of(feedback.genotype))
            for _ in range(other):
                random.random()
                np.random.random()
                torch.rand(1)
        found.append(rows)
    assert found[0] == found[1]


def test_proposing_leaves_the_global_generators_alone(kind, toy):
    samples = sn.sample(toy.compile(), small(kind), 20, seed=7)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    for _, feedback in samples:
        feedback(reward_of(feedback.genotype))
    assert random.getstate() == states[0]
    assert all(map(np.array_equal, np.random.get_state(), states[1]))
    assert torch.equal(torch.get_rng_state(), states[2])


def test_another_seed_gives_other_proposals_if_it_draws_any(kind, toys):
    space = toys["large"].compile()
    first, second = (run(bound(kind, space, seed), 30) for seed in (0, 1))
    assert (first != second) == is_random(kind)


def test_drawing_twice_draws_the_same_and_another_attempt_something_else(kind, toys):
    algorithm = bound(kind, toys["large"].compile())
    different = 0
    for _ in range(60):
        drawn = algorithm.draw(1)
        other = algorithm.draw(1, attempt=1)
        different += not np.array_equal(drawn, other)
        assert np.array_equal(algorithm.draw(1), drawn)
        assert np.array_equal(algorithm.draw(1, attempt=1), other)
        genotype = algorithm.ask(1)
        assert np.array_equal(genotype, drawn)
        algorithm.tell(genotype, [reward_of(genotype[0])])
    assert different > 40


# --- what is proposed -----------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 30])
def test_batches_of_valid_genotypes_are_proposed(kind, toy, n):
    space = toy.compile()
    algorithm = bound(kind, space)
    for _ in range(3):
        genotypes = algorithm.ask(n)
        assert_valid(space, genotypes)
        assert len(genotypes) == n or (len(genotypes) < n and not is_random(kind))
        if len(genotypes):
            algorithm.tell(genotypes, [reward_of(g) for g in genotypes])


def test_proposals_after_many_results_are_valid(kind, toy):
    space = toy.compile()
    algorithm = bound(kind, space)
    for row in run(algorithm, 40):
        assert space.check(row).tolist() == list(row)


def test_no_example_is_proposed_twice_until_all_were(kind, small_toy):
    """Half of what PyGlove's `Deduping` yields are duplicates.

    With another budget it is another proposal.
    """
    for seed in (0, 1):
        samples = sn.sample(
            small_toy.make(), small(kind), seed=seed, constraint=small_toy.constraint
        )
        examples, rows = [], []
        for example, feedback in samples:
            examples.append(repr(example))
            rows.append((feedback.budget, *feedback.genotype))
            feedback(reward_of(feedback.genotype))
        assert len(set(rows)) == len(rows)
        assert len(set(examples)) == small_toy.size
        assert len({row[1:] for row in rows}) == small_toy.size
        assert samples.result.why_stopped == "every example was proposed"


def test_known_results_are_taken_in_and_not_proposed_again(kind, toy):
    options = {"constraint": toy.constraint}
    known = sampled(sn.algorithms.RandomSearch, toy.make(), 8, seed=5, **options)
    runs = [
        sampled(kind, toy.make(), 12, warm_start=known, **options) for _ in range(2)
    ]
    rows = [[trial.genotype for trial in run.trials] for run in runs]
    assert rows[0] == rows[1]
    assert {trial.genotype for trial in known.trials}.isdisjoint(
        # With a budget it is another proposal.
        trial.genotype
        for trial in runs[0].trials
        if trial.budget is None
    )


def test_no_example_is_proposed_twice_in_a_large_space(kind, toy):
    rows = []
    for _, feedback in sn.sample(toy.compile(), small(kind), 60, seed=0):
        rows.append((feedback.budget, *feedback.genotype))
        feedback(reward_of(feedback.genotype))
    assert len(set(rows)) == len(rows)
    if is_random(kind):
        again = sum(budget is not None and budget > 1 for budget, *_ in rows)
        assert len(rows) == 60 or len(rows) == toy.size + again


def test_examples_without_feedback_are_not_proposed_again_either(kind, small_toy):
    samples = sn.sample(small_toy.compile(), small(kind), seed=0)
    rows = [tuple(feedback.genotype) for _, feedback in samples]
    assert len(set(rows)) == len(rows) == small_toy.size


@st.composite
def small_spaces(draw: Any) -> Any:
    """Functions that make a space: choices, of which some open others."""
    counts = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    inner = draw(
        st.lists(st.integers(0, 3), min_size=len(counts), max_size=len(counts))
    )
    k = draw(st.integers(1, 2))
    distinct, ordered = draw(st.booleans()), draw(st.booleans())

    def make() -> Any:
        space: list[Any] = []
        for count, below in zip(counts, inner, strict=True):
            candidates: list[Any] = list(range(count))
            if below:
                candidates[0] = {"below": sn.oneof([f"b{i}" for i in range(below)])}
            space.append(sn.oneof(candidates))
        space.append(sn.manyof(k, ["x", "y"], distinct, ordered))
        return space

    return make


@pytest.mark.parametrize("kind", ALGORITHMS, ids=lambda kind: kind.__name__)
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(make=small_spaces(), seed=st.integers(0, 100), pending=st.integers(0, 5))
def test_every_example_of_any_space_is_proposed_exactly_once(kind, make, seed, pending):
    space = sn.SearchSpace(make())
    rows, waiting = [], []
    for _, feedback in sn.sample(space, small(kind), seed=seed):
        rows.append((feedback.budget, *feedback.genotype))
        waiting.append(feedback)
        if len(waiting) > pending:  # Out of order.
            done = waiting.pop(len(rows) % len(waiting))
            done(reward_of(done.genotype))
    assert len(set(rows)) == len(rows)
    assert {row[1:] for row in rows} == {tuple(row) for row in space.enumerate()}


def test_duplicates_are_allowed_if_wanted(kind, toys):
    result = sampled(kind, toys["flat"].compile(), 100, duplicates="allow")
    assert len(result.trials) == (100 if is_random(kind) else toys["flat"].size)


# --- feedback -------------------------------------------------------------------------


def test_feedback_may_come_late_out_of_order_or_never(kind, toy):
    space = toy.compile()
    algorithm = bound(kind, space)
    rng = random.Random(0)
    waiting: list[np.ndarray] = []
    for i in range(60):
        proposed = algorithm.ask(1)
        assert_valid(space, proposed)
        waiting.extend(proposed)
        if len(waiting) > 30:
            rng.shuffle(waiting)
            told, waiting = waiting[:20], waiting[20 + i % 3 :]
            algorithm.tell(np.array(told), [reward_of(g) for g in told])


def test_failed_skipped_and_forgotten_trials_are_survived(kind, toy):
    samples = sn.sample(toy.compile(), small(kind), 30, seed=0)
    for _, feedback in samples:
        match feedback.id % 6:
            case 0:
                feedback.fail("broken")
            case 1:
                feedback.skip()
            case 2:
                pass  # No feedback at all.
            case 3:
                feedback(math.nan)
            case _:
                feedback(reward_of(feedback.genotype))
    result = samples.result
    assert result.num_completed <= len(result.trials) / 2
    assert all(
        math.isfinite(t.reward) for t in result.trials if t.status == "completed"
    )


def test_if_nothing_ever_succeeds_it_goes_on(kind, toy):
    samples = sn.sample(toy.compile(), small(kind), 30, seed=0)
    for _, feedback in samples:
        feedback.fail("broken")
    assert samples.result.num_failed == len(samples.result.trials) > 0


def test_equal_rewards_are_survived(kind, toy):
    samples = sn.sample(toy.compile(), small(kind), 30, seed=0)
    for _, feedback in samples:
        feedback(1.0)
    assert samples.result.best.id == 1


def test_huge_rewards_are_survived(kind, toys):
    samples = sn.sample(toys["large"].compile(), small(kind), 30, seed=0)
    for _, feedback in samples:
        feedback((-1) ** feedback.id * 1e300)
    assert samples.result.num_completed == 30


def test_genotypes_that_were_never_proposed_may_be_told(kind, toy):
    space = toy.compile()
    algorithm = bound(kind, space)
    genotypes = space.random(np.random.default_rng(3), 10)
    algorithm.tell(genotypes, [reward_of(g) for g in genotypes])
    assert_valid(space, algorithm.ask(20))


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_not_finite_is_not_taken(kind, toys, reward):
    algorithm = bound(kind, toys["flat"].compile())
    with pytest.raises(ValueError, match="finite"):
        algorithm.tell(algorithm.ask(1), [reward])


def test_two_objectives_work_or_are_refused_at_once(kind, toy):
    try:
        samples = sn.sample(toy.make(), small(kind), 30, seed=0, objectives=("a", "-b"))
    except ValueError as error:
        assert not kind.supports_multi_objective
        assert kind.__name__ in str(error)
        assert "one objective, got 2" in str(error)
        return
    for _, feedback in samples:
        assert_valid(samples.result.space, np.array([feedback.genotype]))
        reward = reward_of(feedback.genotype)
        feedback({"a": reward, "b": reward**2})
    front = samples.result.pareto_front()
    assert front


# --- the configuration ----------------------------------------------------------------


def test_the_configuration_comes_back_from_json_and_pickle(kind):
    algorithm = kind()
    assert sn.build(sn.from_json(sn.to_json(algorithm))) == algorithm
    assert pickle.loads(pickle.dumps(algorithm)) == algorithm
    assert algorithm.clone() == algorithm
    assert kind() == algorithm
    assert eval(repr(algorithm), {kind.__name__: kind}) == algorithm


def test_changed_fields_are_part_of_the_configuration(kind):
    for key, value in kind().sym_init_args.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        other = value / 2 if isinstance(value, float) and value else value + 1
        changed = kind(**{key: other})
        assert changed != kind()
        assert sn.build(sn.from_json(sn.to_json(changed))) == changed
        assert kind().rebind({key: other}) == changed


def test_one_that_is_used_has_the_same_configuration(kind, toys):
    used = bound(kind, toys["flat"].compile())
    run(used, 20)
    assert used == small(kind)
    for fresh in (used.clone(), pickle.loads(pickle.dumps(used))):
        assert fresh == small(kind)
        fresh.setup(toys["large"].compile(), 0)
        assert run(fresh, 5) == run(bound(kind, toys["large"].compile()), 5)


@pytest.mark.parametrize("again", ["flat", "large"])
def test_using_it_again_raises(kind, toys, again):
    algorithm = kind()
    sampled_ = sn.sample(toys["flat"].make(), algorithm, 3)
    list(sampled_)
    with pytest.raises(ValueError, match=r"already drives another search.*clone\(\)"):
        sn.sample(toys[again].make(), algorithm, 3)


# --- resuming -------------------------------------------------------------------------


Event = tuple[str, int, Any]


def history(algorithm: Algorithm, n: int) -> list[Event]:
    """What happens in a study with up to 5 trials at a time, of which some fail."""
    rng = random.Random(0)
    events: list[Event] = []
    waiting: list[tuple[int, np.ndarray]] = []
    for number in range(n):
        genotypes = algorithm.draw(1)  # As a study does; told by number, unlike `ask`.
        if not len(genotypes):
            return events
        waiting.append((number, genotypes[0]))
        events.append(("proposed", number, genotypes[0]))
        take(algorithm, events[-1])
        while len(waiting) > 4 or (waiting and rng.random() < 0.3):
            done, genotype = waiting.pop(rng.randrange(len(waiting)))
            event = ("dropped" if done % 7 == 3 else "told", done, genotype)
            events.append(event)
            take(algorithm, event)
    return events


def take(algorithm: Algorithm, event: Event) -> None:
    what, number, genotype = event
    if what == "proposed":
        assert algorithm.proposed(genotype) == number
    elif what == "told":
        algorithm.told(number, [reward_of(genotype)])
    else:
        algorithm.dropped(number)


@pytest.mark.parametrize(
    "name", ["large", "conditional", "floats", "mixed", "many_deep_any", "log_int"]
)
def test_a_study_that_is_resumed_continues_as_if_never_stopped(kind, toys, name):
    """Acceptance check 3; PyGlove restores the population only (defect 11)."""
    space = toys[name].compile()
    population = getattr(small(kind), "population_size", 20)
    events = history(bound(kind, space, 5), population + 20)
    proposals = [i for i, event in enumerate(events) if event[0] == "proposed"]
    for stop in (1, population - 1, population, population + 7):
        if stop >= len(proposals):
            continue
        resumed = bound(kind, space, 5)
        for event in events[: proposals[stop]]:
            take(resumed, event)
        for event in events[proposals[stop] :]:
            if event[0] == "proposed":
                assert np.array_equal(resumed.draw(1)[0], event[2])
            take(resumed, event)


def test_batches_are_a_function_of_what_happened_before(kind, toys):
    space = toys["conditional"].compile()
    first, second = bound(kind, space, 5), bound(kind, space, 5)
    for size in (3, 1, 8, 20, 5):
        genotypes = first.ask(size)
        for genotype in genotypes:
            second.proposed(genotype)
        if len(genotypes):
            rewards = [reward_of(g) for g in genotypes]
            first.tell(genotypes, rewards)
            second.tell(genotypes, rewards)
        assert np.array_equal(first.draw(4), second.draw(4))


@pytest.mark.parametrize("name", ["large", "conditional", "float_below", "traced"])
def test_a_stored_study_that_is_interrupted_continues_exactly(
    kind, toys, name, tmp_path
):
    """Acceptance check 4: wherever it was stopped, also with a trial pending."""
    toy = toys[name]

    def run(stop: int | None, **options: Any) -> list[Any]:
        samples = sn.sample(
            toy.make(), small(kind), 40, seed=3, constraint=toy.constraint, **options
        )
        for _, feedback in samples:
            if feedback.id == stop:
                break
            if feedback.id % 7 == 3:
                feedback.fail("broken")
            else:
                feedback(reward_of(feedback.genotype))
        return [(t.id, t.status, t.genotype, t.rewards) for t in samples.result.trials]

    options = {"name": "study", "storage": tmp_path / "studies.db"}
    expected = run(None)
    for stop in (1, 2, 12, 13, 14, 25):
        found = run(stop, **options)
        assert found[: stop - 1] == expected[: stop - 1]
    assert run(None, **options) == expected


# --- inside PyGlove -------------------------------------------------------------------


def test_it_runs_inside_pyglove(kind, toy):
    if not toy.listed:
        return
    space = toy.compile()
    number = 0
    algorithm = small(kind)
    for make, feedback in pg.sample(space.for_pyglove(), algorithm, 3):
        genotype = space.from_dna(feedback.dna)
        assert repr(make()) == repr(space.build(genotype)) or toy.size == math.inf
        feedback(reward_of(genotype))
        number += 1
    assert len(algorithm.pending) == 0
    assert number == 3 or (number < 3 and toy.size <= number)


def test_it_learns_inside_pyglove(kind):
    space = pg.List([pg.oneof(range(5)) for _ in range(4)])
    algorithm = small(kind)
    pending = []
    for example, feedback in pg.sample(space, algorithm, 40):
        feedback(float(sum(example)))
        pending.append(len(algorithm.pending))
    assert algorithm.num_proposals == algorithm.num_feedbacks == 40
    assert max(pending) == 0
    with pytest.raises(ValueError, match="already drives"):
        algorithm.setup(pg.dna_spec(space))


# --- learning -------------------------------------------------------------------------


def five_choices() -> tuple[Any, Any]:
    return [sn.oneof(range(5)) for _ in range(5)], sum


def parabola() -> tuple[Any, Any]:
    space = [sn.floatv(0.0, 1.0) for _ in range(5)]
    return space, lambda xs: -sum((x - 0.3) ** 2 for x in xs)


@functools.cache
def chance(problem: Any) -> tuple[float, float]:
    """The mean reward of random examples, and of the best of 150 of them."""
    space, evaluate = problem()
    compiled = sn.SearchSpace(space)
    draws = compiled.random(np.random.default_rng(0), 6000)
    rewards = np.array([evaluate(compiled.build(row)) for row in draws])
    return float(rewards.mean()), float(rewards.reshape(40, 150).max(axis=1).mean())


@pytest.mark.parametrize("problem", [five_choices, parabola])
def test_an_easy_problem_is_solved_better_than_by_chance(kind, problem):
    mean, best_of_random = chance(problem)
    found = []
    for seed in range(3):
        space, evaluate = problem()
        result = sn.search(
            space, reporting(evaluate), small(kind), 150, seed=seed, progress=False
        )
        found.append(result.best.reward)
    better = learns(kind) and not proposes_budgets(kind)
    assert np.mean(found) > (best_of_random if better else mean)


@pytest.mark.parametrize("name", sorted(sn.algorithms.by_name()))
def test_it_is_found_by_its_name(name):
    space = sn.oneof(range(4))
    result = sn.search(space, reporting(float), name, 4, seed=0, progress=False)
    assert {trial.status for trial in result.trials} == {"completed"}
