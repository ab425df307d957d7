"""Studies that are interrupted and go on as if they had not been."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest

import symnas as sn
from symnas.algorithms import RegularizedEvolution
from symnas.stop_rules import Plateau, TargetReached


def evolution() -> Any:
    return RegularizedEvolution(population_size=8, tournament_size=3)


def flat() -> Any:
    return {name: sn.oneof(range(6)) for name in "abcd"}


def nested() -> Any:
    ops = [{"x": sn.oneof([1, 2, 3])}, {"y": sn.oneof([4, 5]), "z": sn.intv(6, 9)}, 8]
    return [
        sn.oneof(ops),
        sn.manyof(2, ["a", "b", "c"], False),
        sn.floatv(1e-3, 1.0, "log"),
    ]


def traced() -> Any:
    def code() -> Any:
        op = sn.oneof(["conv", "pool"])
        if op == "conv":
            return op, sn.oneof([1, 3, 5]), sn.intv(2, 9)
        return op, sn.manyof(2, ["max", "mean", "min"], sorted=True)

    return code


@sn.symbolize
class Picky:
    """Can be built with even widths only."""

    def __init__(self, width: int, kernel: int) -> None:
        if width % 2:
            raise ValueError(f"{width} is odd")
        self.width, self.kernel = width, kernel


def partly_built() -> Any:
    return Picky(sn.oneof(range(2, 20)), sn.oneof(range(9)))


def reward_of(feedback: Any) -> float:
    """A reward without ties, which a seed decides as well."""
    genes = enumerate(feedback.genotype)
    return sum(g * math.sqrt(2 + i) for i, g in genes) + feedback.seed % 1000 / 1e6


# --- evaluations ------------------------------------------------------------------------


def at_once(example: Any, feedback: Any) -> None:
    feedback(reward_of(feedback))


def two(example: Any, feedback: Any) -> None:
    reward = reward_of(feedback)
    feedback({"a": reward, "b": abs(reward - 5), "size": 3}, metadata={"of": [1, None]})


def of_all_kinds(example: Any, feedback: Any) -> None:
    match feedback.seed % 6:
        case 0:
            feedback.fail("broken")
        case 1:
            feedback.skip("boring")
        case 2:
            feedback(math.nan)
        case 3:
            feedback.fail(ValueError("raised"))
        case _:
            feedback(reward_of(feedback))


def in_steps(example: Any, feedback: Any) -> None:
    for step in range(4):
        feedback.add_measurement(reward_of(feedback) + step, metrics={"lr": 0.1})
        if feedback.should_stop_early():
            break
    feedback.done()


def ends_at_twelve(example: Any, feedback: Any) -> None:
    if feedback.id == 12:
        feedback.end_loop()
    feedback(reward_of(feedback))


def worse_than_median(feedback: Any, study: Any) -> bool:
    """Compares with all that others have reported at the same step."""
    step = len(feedback.measurements)
    others = sorted(
        trial.measurements[step - 1].metrics["reward"]
        for trial in study.seen_by(feedback.id)
        if len(trial.measurements) >= step
    )
    value = feedback.measurements[-1].metrics["reward"]
    return bool(others) and value < others[len(others) // 2]


# --- the same trials --------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """A study.

    Attributes:
      raises: it ends with this error.
    """

    name: str
    space: Callable[[], Any] = flat
    evaluate: Callable[[Any, Any], None] = at_once
    algorithm: Callable[[], Any] = evolution
    num_examples: int | None = 30
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def sample(self, **options: Any) -> Any:
        options = {"seed": 3, **self.options, **options}
        number = options.pop("num_examples", self.num_examples)
        return sn.sample(self.space(), self.algorithm(), number, **options)


def is_small(values: Any) -> bool:
    return values["a"] + values["b"] < 7


EARLY: dict[str, Any] = {"early_stopping": worse_than_median}
HALVING: dict[str, Any] = {"early_stopping": sn.early_stopping.SuccessiveHalving()}

CASES = [
    Case("one worker"),
    Case("random", algorithm=lambda: "random"),
    Case("grid", algorithm=lambda: "grid"),
    Case("nested", nested),
    Case("traced", traced),
    Case("traced, all", traced, num_examples=None),
    Case("built", lambda: sn.nn.Linear(sn.oneof(range(1, 30)), sn.oneof([1, 2]))),
    Case("failed builds", partly_built),
    Case("constraint", options={"constraint": is_small}),
    Case("duplicates", options={"duplicates": "allow"}),
    Case("exhausted", lambda: sn.oneof(range(25)), num_examples=None),
    Case("two objectives", evaluate=two, algorithm=lambda: "random"),
    Case("minimised", evaluate=at_once, options={"objectives": ("-loss",)}),
    Case("failures", evaluate=of_all_kinds),
    Case("early stopping", evaluate=in_steps, options=EARLY),
    Case("lag", options={"lag": 3}),
    Case("lag, nested", nested, of_all_kinds, options={"lag": 3}),
    Case("lag, early stopping", evaluate=in_steps, options={"lag": 3, **EARLY}),
    Case("a rule", evaluate=in_steps, options=HALVING),
    Case("lag, a rule", evaluate=in_steps, options={"lag": 3, **HALVING}),
    Case("ended", evaluate=ends_at_twelve),
    Case("ended with lag", evaluate=ends_at_twelve, options={"lag": 3}),
    Case("target", options={"stop_rules": [TargetReached(28.0)]}),
    Case("plateau", options={"stop_rules": [Plateau(6)]}, num_examples=60),
]
CASES[11].options["objectives"] = ("a", "-b")


ON_A_SERVER = {"one worker", "traced", "failures", "two objectives", "ended"}
ON_A_SERVER |= {"lag, early stopping"}


def with_stores() -> list[Any]:
    """All cases in files, and some on a server, which takes longer."""
    stores = [(case, "sqlite") for case in CASES]
    stores += [(c, "postgresql") for c in CASES if c.name in ON_A_SERVER]
    return [pytest.param(*pair, id=f"{pair[0].name}-{pair[1]}") for pair in stores]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def described(result: sn.Result) -> list[Any]:
    """All of the trials but when, how long and where they ran or raised."""
    return [
        dataclasses.replace(
            trial,
            begun=0,
            seconds=0,
            worker="",
            error=trial.error and trial.error.splitlines()[-1],
        )
        for trial in result.trials
    ]


def drive(samples: Any, evaluate: Any, limit: int | None = None) -> sn.Result:
    """Runs a study, or its next trials and one more that gets no feedback."""
    for number, (example, feedback) in enumerate(samples):
        if number == limit:
            feedback.add_measurement(dict.fromkeys(samples.result.objectives, 1e9))
            break
        evaluate(example, feedback)
    return samples.result


def uninterrupted(case: Case, **options: Any) -> list[Any]:
    return described(drive(case.sample(**options), case.evaluate))


@pytest.mark.parametrize(("case", "storage"), with_stores(), indirect=["storage"])
def test_an_interrupted_study_continues_as_if_it_had_not_been(case, storage):
    """Issue 4: exact resume."""
    expected = uninterrupted(case)
    assert len(expected) > 5
    for stop in (1, len(expected) - 1):
        name = f"stopped after {stop}"
        drive(case.sample(name=name, storage=storage), case.evaluate, stop)
        resumed = case.sample(name=name, storage=storage)
        assert len(resumed.result.trials) == stop + 1
        assert described(drive(resumed, case.evaluate)) == expected
    assert described(sn.load_study(storage, name, case_space(case))) == expected


def case_space(case: Case) -> Any:
    constraint = case.options.get("constraint")
    return sn.SearchSpace(case.space(), constraint) if constraint else case.space()


def test_so_does_one_that_is_interrupted_again_and_again(case, sqlite):
    """Each time it ends five trials, of which it was left the first one."""
    expected = uninterrupted(case)
    for _ in range(len(expected)):
        samples = case.sample(name="a", storage=sqlite)
        drive(samples, case.evaluate, 5)
        if samples.result.why_stopped:
            break
    assert described(samples.result) == expected
    assert described(sn.load_study(sqlite, "a", case_space(case))) == expected


def test_going_on_after_the_end_changes_nothing(case, sqlite):
    first = drive(case.sample(name="a", storage=sqlite), case.evaluate)
    assert described(first) == uninterrupted(case)
    again = case.sample(name="a", storage=sqlite)
    assert list(again) == []
    assert described(again.result) == described(first)


def test_the_initial_weights_are_those_of_the_uninterrupted_run(storage):
    def weights(number: int, **options: Any) -> list[Any]:
        space = sn.nn.Linear(sn.oneof(range(1, 30)), 2)
        found = []
        for model, feedback in sn.sample(space, "random", 5, seed=0, **options):
            found.append(model.weight.tolist())
            if feedback.id == number:
                break
            feedback(found[-1][0][0])
        return found

    expected = weights(9)
    options = {"name": "a", "storage": storage}
    assert weights(3, **options) + weights(9, **options)[1:] == expected
    assert weights(9, **options) == []


def test_pending_trials_are_given_out_first_and_under_their_ids(storage):
    def sample() -> Any:
        return sn.sample(flat(), evolution(), 30, seed=0, name="a", storage=storage)

    first = [(f.id, e) for e, f in itertools.islice(sample(), 4)]
    samples = sample()
    assert [(f.id, e) for e, f in itertools.islice(samples, 4)] == first
    assert [t.status for t in samples.result.trials] == ["pending"] * 4


def test_results_that_came_out_of_order_are_told_in_that_order(storage):
    """The proposals of evolution depend on it."""

    def run(limit: int, **options: Any) -> sn.Result:
        samples = sn.sample(flat(), evolution(), 60, seed=0, **options)
        waiting: list[Any] = []
        for _, feedback in samples:
            waiting.append(feedback)
            if len(waiting) == 3 and feedback.id <= limit:
                for i in (1, 2, 0):
                    waiting[i](reward_of(waiting[i]))
                waiting = []
            if feedback.id == limit:
                break
            if feedback.id > limit:  # One after the other again.
                waiting.pop()(reward_of(feedback))
        return samples.result

    in_order = drive(sn.sample(flat(), evolution(), 60, seed=0), at_once)
    samples = sn.sample(flat(), evolution(), 60, seed=0)
    whole = []
    for _, feedback in samples:
        whole.append(feedback)
        if feedback.id > 30:
            feedback(reward_of(feedback))
        elif len(whole) % 3 == 0:
            for i in (1, 2, 0):
                done = whole[len(whole) - 3 + i]
                done(reward_of(done))
    expected = described(samples.result)
    assert [t.genotype for t in expected] != [t.genotype for t in in_order.trials]
    run(30, name="a", storage=storage)
    resumed = sn.sample(flat(), evolution(), 60, seed=0, name="a", storage=storage)
    assert described(drive(resumed, at_once)) == expected


def test_num_examples_may_grow(storage):
    expected = uninterrupted(CASES[0], num_examples=40)
    for number in (0, 5, 5, 12, 40):
        options = {"name": "a", "storage": storage, "num_examples": number}
        result = drive(CASES[0].sample(**options), at_once)
        assert described(result) == expected[:number]
        assert result.why_stopped == f"{number} examples were proposed"


def test_a_smaller_num_examples_ends_at_once(sqlite):
    drive(CASES[0].sample(name="a", storage=sqlite), at_once)
    samples = CASES[0].sample(name="a", storage=sqlite, num_examples=3)
    assert list(samples) == []
    assert len(samples.result.trials) == 30


def test_without_a_seed_the_stored_one_is_used(storage):
    options = {"name": "a", "storage": storage, "seed": None}
    first = drive(CASES[0].sample(**options), at_once, 9)
    resumed = drive(CASES[0].sample(**options), at_once)
    assert resumed.seed == first.seed
    assert described(resumed) == uninterrupted(CASES[0], seed=first.seed)
    other = drive(CASES[0].sample(**{**options, "name": "b"}), at_once)
    assert other.seed != first.seed


def test_feedback_that_was_forgotten_fails_at_the_end_and_stays_failed(storage):
    samples = sn.sample(flat(), "grid", 6, name="a", storage=storage)
    for _, feedback in samples:
        if feedback.id % 2:
            feedback(1.0)
    expected = ["completed", "failed"] * 3
    assert [t.status for t in samples.result.trials] == expected
    loaded = sn.load_study(storage, "a")
    assert [t.status for t in loaded.trials] == expected
    assert loaded.trials[1].error == "no feedback was given"
    assert math.isnan(loaded.trials[1].seconds)
    more = drive(sn.sample(flat(), "grid", 8, name="a", storage=storage), at_once)
    assert [t.status for t in more.trials] == [*expected, "completed", "completed"]


def test_an_error_in_the_loop_leaves_its_trial_to_the_next_run(storage):
    expected = uninterrupted(CASES[0])

    def interrupted() -> None:
        for example, feedback in CASES[0].sample(name="a", storage=storage):
            if feedback.id == 7:
                raise KeyboardInterrupt
            at_once(example, feedback)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sn.load_study(storage, "a").trials[6].status == "pending"
    resumed = drive(CASES[0].sample(name="a", storage=storage), at_once)
    assert described(resumed) == expected


def test_a_search_that_is_stopped_by_the_user_goes_on(storage):
    calls = []

    def evaluate(example: Any) -> Any:
        calls.append(example)
        for step in range(3):
            if len(calls) == 8 and not step:
                raise KeyboardInterrupt
            yield example["a"] * 6 + example["b"] + step

    def search(**options: Any) -> sn.Result:
        options = {"progress": False, "seed": 0, **options}
        return sn.search(flat(), evaluate, evolution(), 20, **EARLY, **options)

    stopped = search(name="a", storage=storage)
    assert stopped.why_stopped == "interrupted by the user"
    resumed = search(name="a", storage=storage)
    assert calls[7] == calls[8]
    assert described(resumed) == described(search())


def test_a_space_in_which_nothing_can_be_built_says_so_again(sqlite):
    def search() -> sn.Result:
        space = Picky(sn.oneof([1, 3, 5, 7]), sn.oneof(range(9)))
        return drive(sn.sample(space, "grid", name="a", storage=sqlite), at_once)

    for _ in range(2):
        with pytest.raises(ValueError, match="None of the first 10 examples"):
            search()


# --- refusals ---------------------------------------------------------------------------


def begun(storage: str, space: Any = None, **options: Any) -> None:
    options = {"seed": 0, "algorithm": "random", **options}
    space = {"width": sn.oneof([8, 16])} if space is None else space
    samples = sn.sample(space, num_examples=5, name="first", storage=storage, **options)
    samples.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, "begun with seed 0 and is now given 1"),
        ({"lag": 2}, "begun with lag None and is now given 2"),
        ({"objectives": ("-reward",)}, r'objectives \["reward"\].*\["-reward"\]'),
        ({"objectives": ("a", "b")}, r'objectives \["reward"\].*\["a", "b"\]'),
        ({"algorithm": "grid"}, r"algorithm RandomSearch\(\).*GridSearch"),
        ({"algorithm": evolution()}, r"RandomSearch\(\).*population_size=8"),
        ({"space": {"width": sn.oneof([8, 32])}}, r"(?s)-width.*16.*\+width.*32"),
        ({"space": {"depth": sn.oneof([8, 16])}}, r"(?s)-width.*\+depth"),
        (
            {"space": {"width": sn.oneof([8, 16]), "x": sn.oneof([1, 2])}},
            r"\+x: .*\[1, 2\]",
        ),
        ({"space": {"width": sn.oneof([8, 16]), "x": 1}}, "the code around them"),
    ],
)
def test_another_study_under_the_same_name_is_refused_and_says_why(
    storage, options, message
):
    begun(storage)
    with pytest.raises(ValueError, match=message) as caught:
        begun(storage, **options)
    assert "'first'" in str(caught.value)
    assert "Use another name" in str(caught.value)
    begun(storage)
    assert len(sn.list_studies(storage)) == 1


def test_other_fields_of_an_algorithm_are_refused(storage):
    begun(storage, algorithm=evolution())
    larger = RegularizedEvolution(population_size=9, tournament_size=3)
    with pytest.raises(ValueError, match=r"(?s)population_size=8.*population_size=9"):
        begun(storage, algorithm=larger)


def test_a_study_that_could_not_begin_leaves_nothing_behind(storage):
    """Else its name could not be used with the arguments set right."""
    with pytest.raises(ValueError, match="optimizes one objective"):
        begun(storage, algorithm=evolution(), objectives=("a", "b"))
    assert sn.list_studies(storage) == []
    used = evolution()
    list(itertools.islice(sn.sample(flat(), used), 1))
    with pytest.raises(ValueError, match="already drives another search"):
        begun(storage, algorithm=used)
    assert sn.list_studies(storage) == []
    begun(storage, algorithm=evolution())


def test_one_that_could_not_go_on_stays(storage):
    begun(storage)
    used = sn.algorithms.RandomSearch()
    list(itertools.islice(sn.sample(flat(), used), 1))
    with pytest.raises(ValueError, match="already drives another search"):
        begun(storage, algorithm=used)
    begun(storage)


def test_a_space_that_has_no_lasting_identity_is_refused(storage):
    with pytest.raises(TypeError, match="lambda"):
        begun(storage, {"activation": sn.oneof([lambda x: x, 2])})
    assert sn.list_studies(storage) == []
