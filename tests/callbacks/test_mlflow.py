"""Tests of `symnas.callbacks.MLflow`, on a store of MLflow in SQLite."""

import functools
import itertools
import json
import math
import sys

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

import symnas as sn
from symnas.callbacks import MLflow
from symnas.trial import COMPLETED

LONG = 7000 * "y"


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """An empty store: one for all tests, as making it takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


class Store:
    """An experiment as MLflow has it."""

    names = map("experiment {}".format, itertools.count())

    def __init__(self, uri):
        self.uri = uri
        self.name = next(self.names)

    def callback(self):
        return MLflow(self.name, self.uri)

    def log(self, result):
        callback = self.callback()
        callback.begin(result)
        callback.end(result)

    @property
    def client(self):
        return MlflowClient(self.uri)

    def runs(self, query="", view=ViewType.ACTIVE_ONLY):
        found = self.client.get_experiment_by_name(self.name)
        return list(self.client.search_runs([found.experiment_id], query, view))

    @property
    def studies(self):
        return [r for r in self.runs() if "symnas.study_seed" in r.data.tags]

    def trials(self, study=None):
        """The nested runs of the only study, by id."""
        if study is None:
            (study,) = self.studies
        nested = self.runs(f"tags.`mlflow.parentRunId` = '{study.info.run_id}'")
        return sorted(nested, key=lambda run: int(run.data.tags["symnas.trial"]))

    def history(self, run, key):
        return [
            (point.step, point.value)
            for point in self.client.get_metric_history(run.info.run_id, key)
        ]


@pytest.fixture
def store(uri):
    return Store(uri)


def space():
    return {
        "x": sn.floatv(0.0, 1.0),
        "layers": [sn.oneof([(1, 2), "é\ud800", LONG])],
        "höhe (m)": sn.oneof(["one", ""]),
        "höhe {m}": sn.oneof([3, 4]),
    }


def give(feedback):
    """One of each kind of result, by the trial's id."""
    match feedback.id % 5:
        case 1:
            feedback(0.5, metrics={"val/loss": math.nan, "größe\ud800": -math.inf})
        case 2:
            feedback.fail(LONG + "bad luck\ud800")
        case 3:
            feedback.skip("dull")
        case 4:
            for step in (1, 2, 5):
                feedback.add_measurement(step / 10, step)
            feedback.done()
        case 0:
            feedback.add_measurement(0.75, 3)
            feedback(0.25)


def study(n, seed=0):
    """A result, and its trials, each of which ends when it is asked for."""
    samples = sn.sample(space(), "random", n, seed=seed)

    def trials():
        for _, feedback in samples:
            give(feedback)
            yield samples.result.trials[feedback.id - 1]

    return samples.result, trials()


def ended(n, seed=0):
    result, trials = study(n, seed)
    list(trials)
    return result


def ids(runs):
    return [int(run.data.tags["symnas.trial"]) for run in runs]


def test_the_study_is_a_run_and_its_trials_are_nested_in_it(store):
    callback = store.callback()
    result, trials = study(5)
    callback.begin(result)
    for trial in trials:
        assert store.studies[0].info.status == "RUNNING"
        callback(trial)
        assert ids(store.trials())[-1] == trial.id
    callback.end(result)
    assert store.studies[0].info.status == "FINISHED"
    runs = store.trials()
    for run, trial in zip(runs, result.trials, strict=True):
        assert run.info.run_name == f"trial {trial.id}"
        tags = run.data.tags
        assert tags["symnas.status"] == trial.status
        assert json.loads(tags["symnas.genotype"]) == list(trial.genotype)
        took = (run.info.end_time - run.info.start_time) / 1000
        assert took == pytest.approx(trial.seconds, abs=0.002)
    assert [run.info.status for run in runs] == [
        "FINISHED", "FAILED", "FINISHED", "FINISHED", "FINISHED"
    ]  # fmt: skip
    assert runs[1].data.tags["symnas.error"].endswith("bad luck?")
    assert runs[2].data.tags["symnas.error"] == "dull"


def test_decisions_are_parameters_under_names_that_mlflow_takes(store):
    result = ended(20)
    store.log(result)
    texts = {"é\ud800": "é?", LONG: LONG[:6000]}
    for run, trial in zip(store.trials(), result.trials, strict=True):
        x, layer, one, three = trial.decisions.values()
        assert run.data.params == {
            "x": str(x),
            "layers.0": texts.get(layer, str(layer)),
            "höhe _m_": one,
            "höhe _m__2": str(three),
        }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val/a b-c_d.é", "val/a b-c_d.é"),
        ("[0].width", "0.width"),
        ("a[=0/2]", "a._0_2"),
        ("/abs", "_abs"),
        ("a//b", "a__b"),
        ("../../up", "_.._up"),
        (".", "_"),
        ("a\nb:%\x00", "a_b___"),
        (300 * "n", 250 * "n"),
        (300 * "%", 250 * "_"),
    ],
)
def test_metrics_have_names_that_mlflow_takes(store, name, expected):
    samples = sn.sample({"x": sn.floatv(0.0, 1.0)}, "random", 1, seed=0)
    next(samples)[1](1.0, metrics={name: 2.0})
    store.log(samples.result)
    (run,) = store.trials()
    assert run.data.metrics == {"reward": 1.0, expected: 2.0}


def test_measurements_are_the_steps_of_a_metric_and_the_result_comes_last(store):
    store.log(ended(5))
    *_, done, measured = store.trials()
    assert store.history(done, "reward") == [(1, 0.1), (2, 0.2), (5, 0.5)]
    assert store.history(measured, "reward") == [(3, 0.75), (4, 0.25)]
    assert measured.data.metrics["reward"] == 0.25


def test_metrics_need_not_be_finite(store):
    store.log(ended(1))
    (run,) = store.trials()
    assert run.data.metrics["reward"] == 0.5
    assert math.isnan(run.data.metrics["val/loss"])
    assert run.data.metrics["größe_"] == -sys.float_info.max  # As SQL stores have it.


def test_there_may_be_more_values_than_one_call_takes(store):
    many = {f"x{i}": sn.oneof([0, 1]) for i in range(250)}
    samples = sn.sample(many, "random", 1, seed=0)
    next(samples)[1](1.0, metrics={f"m{i}": i for i in range(1500)})
    store.log(samples.result)
    (run,) = store.trials()
    assert len(run.data.params) == 250
    assert len(run.data.metrics) == 1501


def test_several_objectives_are_several_metrics(store):
    samples = sn.sample(space(), "random", 1, seed=0, objectives=("a", "-b"))
    next(samples)[1]({"a": 1.0, "b": 2.0})
    store.log(samples.result)
    (run,) = store.trials()
    assert run.data.metrics == {"a": 1.0, "b": 2.0}


def test_a_study_killed_after_any_trial_goes_on_with_its_run(store):
    result, trials = study(4)
    for trial in trials:
        callback = store.callback()  # The one before it was killed.
        callback.begin(result)
        callback(trial)
    store.log(result)
    assert ids(store.trials()) == [1, 2, 3, 4]
    assert store.studies[0].info.status == "FINISHED"


def test_the_run_of_a_study_that_goes_on_is_running_again(store):
    result, trials = study(2)
    next(trials)
    store.log(result)
    assert store.studies[0].info.status == "FINISHED"
    store.callback().begin(result)
    assert store.studies[0].info.status == "RUNNING"


def test_a_study_goes_on_however_many_pages_its_trials_take(store, monkeypatch):
    result = ended(5)
    store.log(result)
    search = functools.partialmethod(MlflowClient.search_runs, max_results=2)
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "search_runs", search)
        store.log(result)
    assert ids(store.trials()) == [1, 2, 3, 4, 5]


def test_a_trial_that_the_study_has_forgotten_is_logged_anew(store):
    store.log(ended(1))
    samples = sn.sample(space(), "random", 1, seed=0)
    _, feedback = next(samples)
    callback = store.callback()
    callback.begin(samples.result)
    assert store.trials() == []
    feedback(7.0)
    callback(samples.result.trials[0])
    (run,) = store.trials()
    assert run.data.metrics == {"reward": 7.0}


def test_a_trial_that_another_process_has_ended_otherwise_is_logged_anew(store):
    result = ended(5)
    store.log(result)
    seconds = result.trials[4].seconds
    result._record.settle(5, COMPLETED, [7.0], 2 * seconds)
    store.log(result)
    rewards = [run.data.metrics.get("reward") for run in store.trials()]
    assert rewards == [0.5, None, None, 0.5, 7.0]


def test_a_trial_that_could_not_be_logged_is_logged_at_the_end(store, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("The server is down.")

    result, trials = study(2)
    callback = store.callback()
    callback.begin(result)
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "log_batch", fail)
        with pytest.raises(OSError, match="down"):
            callback(next(trials))
    callback(next(trials))
    callback.end(result)
    assert ids(store.trials()) == [1, 2]
    assert store.trials()[0].data.metrics["reward"] == 0.5


def test_a_trial_whose_run_was_cut_off_is_logged_anew(store):
    result = ended(3)
    store.log(result)
    *_, last = store.trials()
    store.client.update_run(last.info.run_id, status="RUNNING")
    store.log(result)
    assert ids(store.trials()) == [1, 2, 3]
    *_, again = store.trials()
    assert again.info.run_id != last.info.run_id
    assert again.info.status == "FINISHED"


def test_pending_trials_are_left_for_later(store):
    samples = sn.sample(space(), "random", 2, seed=0)
    (_, first), (_, second) = next(samples), next(samples)
    second(1.0)
    callback = store.callback()
    callback.begin(samples.result)
    assert ids(store.trials()) == [2]
    first(1.0)
    callback(samples.result.trials[0])
    assert ids(store.trials()) == [1, 2]


def test_studies_with_one_seed_have_runs_of_their_own_to_go_on_with(store):
    results = [ended(3), ended(3)]
    for result in results:
        store.log(study(0)[0])  # One that was killed before its first trial.
        callback = store.callback()
        callback.begin(study(0)[0])  # As a fresh study begins.
        for trial in list(result.trials)[:2]:
            callback(trial)
    for result in results:
        store.log(result)
    nested = [ids(store.trials(run)) for run in store.studies]
    assert sorted(nested) == [[], [], [1, 2, 3], [1, 2, 3]]


def test_runs_that_others_nest_in_the_study_are_left_alone(store):
    result = ended(2)
    store.log(result)
    (run,) = store.studies
    tags = {"mlflow.parentRunId": run.info.run_id}
    extra = store.client.create_run(run.info.experiment_id, tags=tags)
    store.log(result)
    assert len(store.runs()) == 4
    assert store.client.get_run(extra.info.run_id).info.status == "RUNNING"


def test_a_trial_before_the_begin_is_refused(store):
    with pytest.raises(ValueError, match="begin"):
        store.callback()(ended(1).trials[0])


def test_without_mlflow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ImportError, match=r"pip install 'symnas\[mlflow\]'"):
        MLflow("experiment")
