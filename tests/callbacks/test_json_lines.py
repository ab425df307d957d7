"""Tests of `symnas.callbacks.JsonLines`, and of what all callbacks share."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

import symnas as sn
from symnas.callbacks import Callback, JsonLines


def space():
    return {
        "x": sn.floatv(0.0, 1.0),
        "höhe [m]/\ud800": sn.oneof([(1, 2), len, None, np.int64(3), math.inf]),
    }


def give(feedback):
    """One of each kind of result, by the trial's id."""
    match feedback.id % 6:
        case 1:
            feedback(0.5, metrics={"loss": math.nan, "größe": math.inf})
        case 2:
            feedback.fail('bad "\n\u2028 luck')
        case 3:
            feedback.skip("dull")
        case 4:
            for step in (1, 2):
                feedback.add_measurement(step / 10, metrics={"loss": -math.inf})
            feedback.done(metadata={"array": np.arange(2), 1: [np.float32(0.5), {2}]})
        case 5:
            feedback(math.nan)
        case 0:
            feedback(-1)


def study(n=6, seed=0):
    """A study that runs while it is iterated over: it yields each trial that has ended."""
    samples = sn.sample(space(), "random", n, seed=seed)

    def trials():
        for _, feedback in samples:
            give(feedback)
            yield samples.result.trials[feedback.id - 1]

    return samples.result, trials()


def ended(n=6, seed=0):
    result, trials = study(n, seed)
    list(trials)
    return result


def strict(line):
    def refuse(name):
        raise AssertionError(name)

    return json.loads(line, parse_constant=refuse)


def read(path):
    return [strict(line) for line in path.read_bytes().splitlines()]


def ids(path):
    return [record["id"] for record in read(path)]


def test_a_callback_does_nothing_by_default():
    callback, result = Callback(), ended()
    callback.begin(result)
    callback(result.trials[0])
    callback.end(result)


def test_callbacks_are_imported_without_what_they_need():
    code = (
        "import sys, symnas.callbacks\n"
        "assert not {'mlflow', 'tensorboard'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_trial_is_in_the_file_as_soon_as_it_has_ended(tmp_path):
    callback, path = JsonLines(tmp_path / "new" / "x.jsonl"), tmp_path / "new/x.jsonl"
    result, trials = study()
    callback.begin(result)
    for trial in trials:
        callback(trial)
        assert ids(path)[-1] == trial.id
    callback.end(result)
    assert ids(path) == [1, 2, 3, 4, 5, 6]


def test_a_line_holds_all_that_is_known_of_a_trial(tmp_path):
    callback, result = JsonLines(tmp_path / "x"), ended()
    callback.begin(result)
    records = read(tmp_path / "x")
    for record, trial in zip(records, result.trials, strict=True):
        assert record.keys() == vars(trial).keys()
        for key in ("id", "status", "seconds", "seed", "error", "stopped_early"):
            assert record[key] == getattr(trial, key)
        assert record["rewards"] == list(trial.rewards)
        assert record["genotype"] == list(trial.genotype)
        assert record["decisions"]["x"] == trial.decisions["x"]
    assert records[0]["metrics"] == {"loss": "nan", "größe": "inf", "reward": 0.5}
    assert records[1]["error"] == 'bad "\n\u2028 luck'
    assert [record["status"] for record in records] == [
        "completed", "failed", "skipped", "completed", "failed", "completed"
    ]  # fmt: skip
    assert records[3]["measurements"] == [
        {"step": 1, "metrics": {"reward": 0.1, "loss": "-inf"}},
        {"step": 2, "metrics": {"reward": 0.2, "loss": "-inf"}},
    ]
    assert records[3]["metadata"] == {"array": "array([0, 1])", "1": [0.5, "{2}"]}


def test_decisions_that_json_does_not_have_are_text(tmp_path):
    JsonLines(tmp_path / "x").begin(ended(60))
    decisions = [record["decisions"] for record in read(tmp_path / "x")]
    values = [value for d in decisions for key, value in d.items() if key != "x"]
    for value in ([1, 2], None, 3, "inf"):
        assert value in values


def test_several_objectives_are_several_rewards(tmp_path):
    samples = sn.sample({"x": sn.floatv(0.0, 1.0)}, "random", 2, objectives=("a", "-b"))
    for _, feedback in samples:
        feedback({"a": 1.0, "b": 2.0, "c": 3.0})
    JsonLines(tmp_path / "x").begin(samples.result)
    for record in read(tmp_path / "x"):
        assert record["rewards"] == [1.0, 2.0]
        assert record["metrics"] == {"a": 1.0, "b": 2.0, "c": 3.0}


def test_a_kill_at_any_byte_leaves_every_trial_once(tmp_path):
    path, result = tmp_path / "x", ended(4)
    JsonLines(path).begin(result)
    whole = path.read_bytes()
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        callback = JsonLines(path)
        callback.begin(result)
        callback.end(result)
        assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_a_study_killed_after_any_trial_goes_on_with_its_file(tmp_path):
    path = tmp_path / "x"
    result, trials = study(8)
    for trial in trials:
        callback = JsonLines(path)  # The one before it was killed.
        callback.begin(result)
        callback(trial)
    assert ids(path) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_pending_trials_are_left_for_later(tmp_path):
    path = tmp_path / "x"
    samples = sn.sample(space(), "random", 3, seed=0)
    feedbacks = [feedback for _, feedback in (next(samples), next(samples))]
    feedbacks[1](1.0)
    callback = JsonLines(path)
    callback.begin(samples.result)
    assert ids(path) == [2]
    feedbacks[0](1.0)
    callback(samples.result.trials[0])
    assert ids(path) == [2, 1]


def test_what_the_study_has_forgotten_is_forgotten(tmp_path):
    path, result = tmp_path / "x", ended(2)
    JsonLines(path).begin(result)
    samples = sn.sample(space(), "random", 2, seed=0)
    give(next(samples)[1])
    _, second = next(samples)
    callback = JsonLines(path)
    callback.begin(samples.result)
    assert ids(path) == [1]
    second(7.0)
    callback(samples.result.trials[1])
    assert [record["rewards"] for record in read(path)] == [[0.5], [7.0]]


def test_what_is_left_of_a_write_that_failed_is_dropped(tmp_path):
    path = tmp_path / "x"
    result, trials = study(3)
    callback = JsonLines(path)
    callback.begin(result)
    for trial in trials:
        with path.open("ab") as file:
            file.write(b'{"id": ')  # As when the disk was full.
        if trial.id != 2:
            callback(trial)
    callback.end(result)
    assert ids(path) == [1, 3, 2]


def test_trials_that_no_call_told_of_are_written_at_the_end(tmp_path):
    path = tmp_path / "x"
    result, trials = study(3)
    callback = JsonLines(path)
    callback.begin(result)
    list(trials)
    callback.end(result)
    assert ids(path) == [1, 2, 3]


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"hello\n",
        b"\n",
        b"[1]\n",
        b"7",
        b'{"id": 1}\n',
        b'{"id": 1}',
        b'{"id": 1, "seed": 2, "genotype": null',
        b'{"id": 1, "status": 2, "seed": 2, "genotype": null}\n',
        b'{\n  "id": 1\n}\n',
        b"\x00\x00\x00",
        b"\xff\xfe\n",
    ],
)
def test_a_file_of_something_else_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "precious"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"precious' must (be a file that|hold trials)"
    ):
        JsonLines(path).begin(ended(0))
    assert path.read_bytes() == content


@pytest.mark.parametrize("other", [ended(0), ended(1), ended(3, seed=1)])
def test_the_file_of_another_study_is_refused_and_kept(tmp_path, other):
    path = tmp_path / "x.jsonl"
    JsonLines(path).begin(ended(3))
    content = path.read_bytes()
    with pytest.raises(ValueError, match=r"x.jsonl' must hold trials of this study"):
        JsonLines(path).begin(other)
    assert path.read_bytes() == content


def test_a_single_line_of_another_study_is_no_torn_line(tmp_path):
    path = tmp_path / "x.jsonl"
    JsonLines(path).begin(ended(1))
    content = path.read_bytes().rstrip()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x.jsonl' must hold trials of this study"):
        JsonLines(path).begin(ended(1, seed=1))
    assert path.read_bytes() == content


def test_equal_proposals_of_another_seed_are_another_study(tmp_path):
    results = [
        sn.search({"x": sn.oneof([1, 2])}, len, "grid", seed=seed, progress=False)
        for seed in (0, 1)
    ]
    assert results[0].trials[0].genotype == results[1].trials[0].genotype
    JsonLines(tmp_path / "x").begin(results[0])
    with pytest.raises(ValueError, match="must hold trials of this study"):
        JsonLines(tmp_path / "x").begin(results[1])


def test_a_trial_before_the_begin_is_refused(tmp_path):
    with pytest.raises(ValueError, match="begin"):
        JsonLines(tmp_path / "x")(ended(1).trials[0])
