"""Tests of `symnas.callbacks.TensorBoard`, on event files that TensorBoard reads."""

import math
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata

import symnas as sn
from symnas.callbacks import TensorBoard
from symnas.trial import COMPLETED, PENDING


def space():
    return {
        "x": sn.floatv(0.0, 1.0),
        "wide": sn.oneof([True, False]),
        "höhe [m]/%\ud800": sn.oneof([7, "é\ud800", (1, 2), None, 10**400]),
    }


def give(feedback):
    """One of each kind of result, by the trial's id."""
    match feedback.id % 5:
        case 1:
            feedback(0.5, metrics={"loss": math.nan, "größe [m]\ud800": math.inf})
        case 2:
            feedback.fail("bad *luck*\ud800")
        case 3:
            feedback.skip("dull")
        case 4:
            for step in (1, 2, 5):
                feedback.add_measurement(step / 10, step, {"loss": 1e300})
            feedback.done()
        case 0:
            feedback(0.25)


def study(n, seed=0, **options):
    """A result, and its trials, each of which ends when it is asked for."""
    samples = sn.sample(space(), "random", n, seed=seed, **options)

    def trials():
        for _, feedback in samples:
            give(feedback)
            yield samples.result.trials[feedback.id - 1]

    return samples.result, trials()


def ended(n, seed=0):
    result, trials = study(n, seed)
    list(trials)
    return result


def log(folder, result):
    callback = TensorBoard(folder)
    callback.begin(result)
    callback.end(result)


def events(folder):
    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def scalars(folder):
    """The (step, value) pairs of each tag."""
    read = events(folder)
    return {
        tag: [(event.step, event.value) for event in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def steps(folder, tag="trial/seconds"):
    return [step for step, _ in scalars(folder)[tag]]


def test_metrics_and_the_best_so_far_have_the_trial_as_step(tmp_path):
    callback = TensorBoard(tmp_path)
    result, trials = study(6)
    callback.begin(result)
    for trial in trials:
        callback(trial)
        assert steps(tmp_path)[-1] == trial.id
    callback.end(result)
    read = scalars(tmp_path)
    assert steps(tmp_path) == [1, 2, 3, 4, 5, 6]
    assert read["metrics/reward"] == [(1, 0.5), (4, 0.5), (5, 0.25), (6, 0.5)]
    assert read["best/reward"] == [(1, 0.5), (4, 0.5), (5, 0.5), (6, 0.5)]
    assert math.isnan(read["metrics/loss"][0][1])
    assert read["metrics/größe [m]?"] == [(1, math.inf), (6, math.inf)]


def test_each_objective_has_its_best_in_its_direction(tmp_path):
    samples = sn.sample(space(), "random", 3, seed=0, objectives=("a", "-b"))
    for _, feedback in samples:
        feedback({"a": [2.0, 3.0, 1.0][feedback.id - 1], "b": 2.0**-feedback.id})
    log(tmp_path, samples.result)
    read = scalars(tmp_path)
    assert read["best/a"] == [(1, 2.0), (2, 3.0), (3, 3.0)]
    assert read["best/b"] == [(1, 0.5), (2, 0.25), (3, 0.125)]


def test_the_measurements_of_a_trial_are_curves_in_its_own_run(tmp_path):
    log(tmp_path, ended(4))
    read = scalars(tmp_path / "trial_4")
    expected = [(1, 0.1), (2, 0.2), (5, 0.5)]
    assert read["measurements/reward"] == [
        (step, pytest.approx(value)) for step, value in expected
    ]
    assert read["metrics/reward"] == [(4, 0.5)]
    assert "measurements/reward" not in scalars(tmp_path)


def hparams(folder):
    """The decisions of a trial as TensorBoard has them, and its status."""
    plugin = events(folder).PluginTagToContent("hparams")
    start = metadata.parse_session_start_info_plugin_data(
        plugin[metadata.SESSION_START_INFO_TAG]
    )
    end = metadata.parse_session_end_info_plugin_data(
        plugin[metadata.SESSION_END_INFO_TAG]
    )
    assert metadata.EXPERIMENT_TAG not in plugin  # It would fix the columns.
    values = {
        name: getattr(value, value.WhichOneof("kind"))
        for name, value in start.hparams.items()
    }
    return values, end.status


def test_the_decisions_are_hyper_parameters_whatever_they_are(tmp_path):
    result = ended(30)
    log(tmp_path, result)
    texts = {7: 7.0, "é\ud800": "é?", (1, 2): "(1, 2)", None: "None"}
    for trial in result.trials:
        values, status = hparams(tmp_path / f"trial_{trial.id}")
        x, wide, odd = trial.decisions.values()
        assert values == {
            "x": x,
            "wide": wide,
            "höhe [m]/%?": texts.get(odd, "1" + 400 * "0"),
        }
        assert isinstance(values["wide"], bool)
        failed = trial.status == "failed"
        assert status == (api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS)


def test_errors_are_text(tmp_path):
    log(tmp_path, ended(3))
    for trial_id, text in ((2, "bad *luck*?"), (3, "dull")):
        (event,) = events(tmp_path / f"trial_{trial_id}").Tensors("error/text_summary")
        assert event.tensor_proto.string_val[0].decode() == f"    {text}"


def test_trials_that_end_out_of_order_are_written_in_order(tmp_path):
    samples = sn.sample(space(), "random", 3, seed=0)
    feedbacks = [next(samples)[1] for _ in range(3)]
    callback = TensorBoard(tmp_path)
    callback.begin(samples.result)
    for trial_id in (2, 3, 1):
        feedbacks[trial_id - 1](1.0)
        callback(samples.result.trials[trial_id - 1])
        # Its own run does not wait.
        assert steps(tmp_path / f"trial_{trial_id}", "metrics/reward") == [trial_id]
        assert ("trial/seconds" in scalars(tmp_path)) == (trial_id == 1)
    callback.end(samples.result)
    assert steps(tmp_path) == [1, 2, 3]


def test_at_the_end_nothing_waits_for_pending_trials(tmp_path):
    samples = sn.sample(space(), "random", 2, seed=0)
    (_, first), (_, second) = next(samples), next(samples)
    second(1.0)
    log(tmp_path, samples.result)
    assert steps(tmp_path) == [2]
    first(1.0)
    log(tmp_path, samples.result)
    assert steps(tmp_path) == [1, 2]


def test_a_study_killed_after_any_trial_goes_on_with_its_folder(tmp_path):
    result, trials = study(6)
    for trial in trials:
        callback = TensorBoard(tmp_path)  # The one before it was killed.
        callback.begin(result)
        callback(trial)
    assert sorted(steps(tmp_path)) == [1, 2, 3, 4, 5, 6]
    assert scalars(tmp_path)["best/reward"][-1] == (6, 0.5)
    assert steps(tmp_path / "trial_4", "measurements/reward") == [1, 2, 5]


def test_a_trial_that_the_study_has_forgotten_is_logged_anew(tmp_path):
    samples = sn.sample(space(), "random", 3, seed=0)
    callback = TensorBoard(tmp_path)
    callback.begin(samples.result)
    for _, feedback in samples:
        feedback(1.0)
        callback(samples.result.trials[feedback.id - 1])
    other = tmp_path / "events.out.tfevents.of.others"
    other.touch()
    # A kill before the end of the second trial was stored makes it pending.
    record = samples.result._record
    seconds = samples.result.trials[1].seconds
    record.settle(2, PENDING, [math.nan], math.nan)
    callback = TensorBoard(tmp_path)
    callback.begin(samples.result)
    assert steps(tmp_path) == [1]
    record.settle(2, COMPLETED, [2.0], 2 * seconds)
    callback(samples.result.trials[1])
    assert scalars(tmp_path)["metrics/reward"] == [(1, 1.0), (2, 2.0), (3, 1.0)]
    assert scalars(tmp_path / "trial_2")["metrics/reward"] == [(2, 2.0)]
    assert other.exists()


def test_a_kill_at_any_byte_leaves_every_trial_once(tmp_path):
    result = ended(4)
    log(tmp_path, result)
    (whole,) = tmp_path.glob("events*")
    data = whole.read_bytes()
    for end in range(0, len(data), 23):
        for file in tmp_path.glob("events*"):
            file.unlink()
        whole.write_bytes(data[:end])
        log(tmp_path, result)
        read = scalars(tmp_path)
        assert sorted(step for step, _ in read["trial/seconds"]) == [1, 2, 3, 4]
        assert sorted(read["metrics/reward"]) == [(1, 0.5), (4, 0.5)]
        for trial_id in (1, 4):
            own = tmp_path / f"trial_{trial_id}"
            assert steps(own, "metrics/reward") == [trial_id]


@pytest.mark.parametrize("other", [(0, 0), (1, 0), (4, 1)])
def test_the_folder_of_another_study_is_refused(tmp_path, other):
    log(tmp_path, ended(4))
    with pytest.raises(ValueError, match="must hold trials of this study"):
        TensorBoard(tmp_path).begin(ended(*other))


def test_a_trial_before_the_begin_is_refused(tmp_path):
    with pytest.raises(ValueError, match="begin"):
        TensorBoard(tmp_path)(ended(1).trials[0])


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install 'symnas\[tensorboard\]'"):
        TensorBoard(tmp_path)
