"""Tests of searches that evaluate in processes of this machine.

A worker takes seconds to start, so each search here looks at many things.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import evaluations
import pytest
import torch
from evaluations import is_alive, wait_for

import symnas as sn
from symnas import nn
from symnas.engines import local
from symnas.seeding import generators_restored, seed_generators


def searched(space: Any, evaluate: Any, **options: Any) -> sn.Result:
    options = {"algorithm": "grid", "seed": 0, "progress": False, **options}
    return sn.search(space, evaluate, **options)


def never(example: Any) -> float:
    raise AssertionError("This must not be evaluated.")


# --- what evaluations do ----------------------------------------------------------------

# What each case of `Misbehaving` must come to: a reward, or the last line of the error.
OUTCOMES: dict[str, Any] = {
    "tensors": 2.5,
    "prints": 1.0,
    "child": 15.0,
    "steps": 2.0,
    "raises": "RuntimeError: as it goes",
    "end_of_file": "EOFError: EOF when reading a line",
    "exits": "SystemExit: 3",
    "interrupts": "KeyboardInterrupt",
    "text": "What `evaluate` returned cannot be used. A reward must be a number, got "
    "'no number'.",
    "nan": "The result cannot be used: `reward` is nan.",
    "unpicklable": "Can't pickle",
    "allocates": "MemoryError",
    "allocates_a_tensor": "can't allocate memory",
    "no_steps": "has no measurement to end with",
    "step_that_is_no_number": "A reward must be a number, got 'no number'.",
    "raises_after_a_step": "RuntimeError: after a step",
    "unreadable": "ValueError: unreadable",
    "endless": "The evaluation took longer than 3 s.",
    "hangs": "The evaluation took longer than 3 s.",
    "dies_before_its_child": "The worker process was ended by SIGKILL: out of memory?",
}


def test_whatever_an_evaluation_does_happens_to_its_trial_only(tmp_path, capfd):
    # A good trial after each that ends or may confuse its worker.
    cases = [name for case in OUTCOMES for name in (case, "number")] + ["number"]
    evaluate = evaluations.Misbehaving(tmp_path)
    ended: list[int] = []
    result = searched(
        {"case": sn.oneof(cases)},
        evaluate,
        workers=2,
        trial_timeout=3,
        resources={"memory": 500 * 2**20, "num_cpus": 3},
        early_stopping=lambda feedback, study: (
            len(feedback.measurements) == 3 and feedback.decisions["case"] == "steps"
        ),
        callbacks=[lambda trial: ended.append(trial.id)],
        progress=True,
    )
    assert sorted(ended) == list(range(1, len(cases) + 1))
    for case, trial in zip(cases, result.trials, strict=True):
        if case == "number":
            assert trial.status == "completed", trial.error
            with generators_restored():
                seed_generators(trial.seed)
                assert trial.reward == evaluations.draws()
            assert trial.metrics["threads"] == 3
        elif isinstance(OUTCOMES[case], float):
            assert (trial.status, trial.reward) == ("completed", OUTCOMES[case])
        else:
            assert trial.status == "failed", case
            assert OUTCOMES[case] in trial.error.splitlines()[-1], trial.error
    trials = dict(zip(cases, result.trials, strict=True))
    assert trials["tensors"].metrics == {"reward": 2.5, "count": 7.0}
    assert trials["steps"].stopped_early
    assert [m.step for m in trials["steps"].measurements] == [1, 2, 3]
    assert trials["steps"].measurements[1].metrics == {"reward": 1.0, "loss": 0.5}
    assert "in raises\n" in trials["raises"].error  # Where it happened.
    assert len(trials["raises_after_a_step"].measurements) == 1
    # Nothing that was started is left, and what was shown is readable.
    pids = {path.name: int(path.read_text()) for path in tmp_path.iterdir()}
    assert set(pids) == {"hangs", "dies_before_its_child"}
    for pid in pids.values():
        wait_for(lambda pid=pid: not is_alive(pid))
    out, shown = capfd.readouterr()
    assert "printed by a worker\n" in out
    assert "Traceback" not in shown
    assert f"{len(cases)} trials, 16 failed, best 15 " in shown.splitlines()[-1]


# --- the same trials --------------------------------------------------------------------


def below_those_before(feedback: Any, study: Any) -> bool:
    """Early stopping that depends on other trials, by the study's rule of which."""
    step = len(feedback.measurements)
    others = [
        trial.measurements[step - 1].metrics["reward"]
        for trial in study.seen_by(feedback.id)
        if len(trial.measurements) >= step
    ]
    reward = feedback.measurements[-1].metrics["reward"]
    return len(others) >= 3 and reward < sorted(others)[len(others) // 2]


def networks() -> Any:
    width = sn.oneof([2, 3, 4, 5, 6, 7, 8], name="width")
    return nn.Sequential(
        nn.Linear(4, width),
        sn.oneof([nn.ReLU(), nn.Tanh(), nn.Dropout(0.5)]),
        nn.Linear(width, 1),
    )


def same(result: sn.Result) -> list[Any]:
    """All that must not depend on who evaluates."""
    return [
        (t.id, t.status, t.decisions, t.metrics, t.measurements, t.stopped_early)
        for t in result.trials
    ]


@pytest.mark.parametrize(
    ("workers", "rule"),
    [
        (2, below_those_before),
        pytest.param(4, below_those_before, marks=pytest.mark.slow),
        pytest.param(3, sn.early_stopping.MedianRule(3), marks=pytest.mark.slow),
    ],
)
def test_any_number_of_workers_makes_the_same_study_with_lag(workers, rule):
    here, there = [
        searched(
            networks(),
            evaluations.train,
            algorithm=sn.algorithms.RegularizedEvolution(
                population_size=5, tournament_size=3
            ),
            num_examples=24,
            workers=n,
            lag=4,
            early_stopping=rule,
        )
        for n in (1, workers)
    ]
    assert same(here) == same(there)
    assert {trial.stopped_early for trial in here.trials} == {True, False}
    assert all(trial.status == "completed" for trial in here.trials)


# --- order, GPUs ------------------------------------------------------------------------


def test_nothing_waits_for_a_straggler(tmp_path):
    order: list[int] = []
    result = searched(
        {"x": sn.oneof(range(9))},
        evaluations.FirstIsLast(tmp_path, others=8),
        algorithm="regularized_evolution",
        workers=2,
        callbacks=[lambda trial: order.append(trial.id)],
    )
    assert result.num_completed == 9
    assert order[-1] in (1, 2)  # Both began at once.
    assert order[:-1] == [i for i in range(1, 10) if i != order[-1]]


def test_workers_share_the_gpus(monkeypatch):
    # There are none here, so torch only says that there are.
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    before = dict(os.environ)
    space = {"x": sn.oneof(range(6))}
    result = searched(space, evaluations.visible_gpus, workers=2)
    assert {trial.reward for trial in result.trials} == {4.0, 7.0}
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("count", "visible", "workers", "num_gpus", "expected"),
    [
        (0, None, 2, None, [None, None]),
        (1, None, 2, None, ["0", "0"]),
        (4, None, 2, None, ["0", "1"]),
        (2, None, 3, None, ["0", "1", "0"]),
        (4, None, 2, 2, ["0,1", "2,3"]),
        (3, None, 2, 2, ["0,1", "2,0"]),
        (2, "5,3", 2, None, ["5", "3"]),
        (2, "GPU-a,GPU-b,GPU-c", 2, 1, ["GPU-a", "GPU-b"]),
        (4, "6", 2, None, ["6", "6"]),  # Set after torch had counted.
        (0, "", 2, None, [None, None]),
        (0, "-1", 2, None, [None, None]),
        (2, None, 2, 0, ["", ""]),
        (0, None, 1, 0, [""]),
    ],
)
def test_each_worker_sees_its_gpus(
    monkeypatch, count, visible, workers, num_gpus, expected
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert local._gpus_of_workers(workers, num_gpus) == expected


@pytest.mark.parametrize(("count", "visible"), [(2, None), (8, "0,1"), (0, None)])
def test_more_gpus_than_there_are_raise(monkeypatch, count, visible):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    there = 2 if count else 0
    with pytest.raises(ValueError, match=f"asks for 3 GPUs .* there are {there}"):
        searched({"x": sn.oneof([1])}, never, workers=2, resources={"num_gpus": 3})


# --- the end of the main process --------------------------------------------------------

STOPPABLE = """
import os, sys
from pathlib import Path
import evaluations
import symnas as sn

directory = Path(sys.argv[1])

class Blocking:
    def __call__(self, example):
        (directory / f"pid {os.getpid()}").touch()
        pid = os.fork()
        if not pid:
            evaluations.hang()
        (directory / f"pid {pid}").touch()
        if example["x"] < 3:
            (directory / f"done {example['x']}").touch()
            return example["x"]
        (directory / f"blocked {example['x']}").touch()
        evaluations.hang()

if __name__ == "__main__":
    result = sn.search({"x": sn.oneof(range(9))}, Blocking(), "grid", workers=2)
    print(result.why_stopped, [trial.status for trial in result.trials])
elif (directory / "slow").exists():
    (directory / f"pid {os.getpid()}").touch()
    (directory / "starting").touch()
    evaluations.hang()
"""


def _hear_ctrl_c() -> None:
    """In a new process: what a shell runs in the background ignores Ctrl-C, as would this."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Script:
    """A script that runs in a process group of its own, as in a terminal."""

    def __init__(self, path: Path, *arguments: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, path, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=environment(),
            preexec_fn=_hear_ctrl_c,  # noqa: PLW1509
        )

    def finish(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=evaluations.LONGEST)
        return self.process.returncode, out, err


def environment() -> dict[str, str]:
    """In which a script finds symnas and what is evaluated here."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def run_script(path: Path, *arguments: Any) -> tuple[int, str, str]:
    return Script(path, *arguments).finish()


@pytest.fixture
def stoppable(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(STOPPABLE)
    yield path
    for pid in pids_in(tmp_path):  # Only if a test fails is there something.
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def pids_in(directory: Path) -> list[int]:
    return [int(path.name.split()[1]) for path in directory.glob("pid *")]


def both_blocked(directory: Path) -> bool:
    return len(list(directory.glob("blocked *"))) == 2


def all_gone(directory: Path) -> bool:
    return not any(map(is_alive, pids_in(directory)))


def test_ctrl_c_ends_with_the_result_so_far(tmp_path, stoppable):
    script = Script(stoppable, tmp_path)
    wait_for(lambda: both_blocked(tmp_path))
    os.killpg(script.process.pid, signal.SIGINT)
    code, out, err = script.finish()
    statuses = ["completed"] * 3 + ["failed"] * 2
    assert (code, out) == (0, f"interrupted by the user {statuses}\n"), err
    assert "Traceback" not in err
    wait_for(lambda: all_gone(tmp_path))


@pytest.mark.slow
def test_ctrl_c_ends_while_workers_start(tmp_path, stoppable):
    (tmp_path / "slow").touch()
    script = Script(stoppable, tmp_path)
    wait_for((tmp_path / "starting").exists)
    os.killpg(script.process.pid, signal.SIGINT)
    code, out, err = script.finish()
    assert (code, out) == (0, "interrupted by the user []\n"), err
    assert "Traceback" not in err
    wait_for(lambda: all_gone(tmp_path))


RESUMABLE = """
import os, sys
from pathlib import Path
import evaluations
import symnas as sn

class Dying:
    def __init__(self, directory):
        self.directory = directory

    def __call__(self, example):
        path = self.directory / "go on"
        count = len(list(self.directory.glob("evaluated *")))
        if count >= 8 and not path.exists():
            pid = os.fork()
            (self.directory / f"pid {os.getpid()}").touch()
            if pid:
                (self.directory / f"blocked {pid}").touch()
            evaluations.hang()
        reward = evaluations.add(example)
        (self.directory / f"evaluated {reward}").touch()
        return reward

if __name__ == "__main__":
    directory = Path(sys.argv[1])
    evolution = sn.algorithms.RegularizedEvolution(
        population_size=4, tournament_size=2)
    sn.search({"x": sn.floatv(0.0, 1.0), "y": sn.intv(0, 9)}, Dying(directory), evolution,
              24, seed=3, lag=2, workers=2, name="a", storage=directory / "a.db")
"""


def test_a_killed_search_ends_its_workers_and_goes_on_as_if_it_had_not_been(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(RESUMABLE)
    script = Script(path, tmp_path)
    wait_for(lambda: both_blocked(tmp_path) and len(pids_in(tmp_path)) == 4)
    script.process.kill()
    wait_for(lambda: all_gone(tmp_path))
    script.finish()  # Nothing holds its output, either.
    (tmp_path / "go on").touch()
    code, _, err = run_script(path, tmp_path)
    assert code == 0, err
    uninterrupted = searched(
        {"x": sn.floatv(0.0, 1.0), "y": sn.intv(0, 9)},
        evaluations.add,
        algorithm=sn.algorithms.RegularizedEvolution(
            population_size=4, tournament_size=2
        ),
        num_examples=24,
        seed=3,
        lag=2,
    )
    assert same(sn.load_study(tmp_path / "a.db", "a")) == same(uninterrupted)


# --- what cannot be done ----------------------------------------------------------------


def in_a_function() -> Any:
    def evaluate(example: Any) -> float:
        return 1.0

    return evaluate


class Locked:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self, example: Any) -> float:
        return 1.0


@pytest.mark.parametrize(
    ("evaluate", "named"),
    [
        (lambda example: 1.0, "<lambda>"),
        (in_a_function(), "in_a_function.<locals>.evaluate"),
        (Locked(), r"Locked object.*thread.lock"),
        (functools.partial(pow, lambda: 1), "<lambda>"),
    ],
)
def test_an_evaluate_that_cannot_be_pickled_is_named(evaluate, named):
    with pytest.raises(
        TypeError, match=f"`evaluate` .*{named}.*at the level of a module"
    ):
        searched({"x": sn.oneof([1])}, evaluate, workers=2)


def test_an_example_that_cannot_be_pickled_fails_its_trial():
    space = {"x": sn.oneof([in_a_function(), 2])}
    result = searched(space, evaluations.is_callable, trial_timeout=60)
    assert [trial.status for trial in result.trials] == ["failed", "completed"]
    assert "The example " in result.trials[0].error
    assert "in_a_function.<locals>.evaluate" in result.trials[0].error
    assert "at the level of a module" in result.trials[0].error


def test_a_module_that_workers_cannot_import_is_named(monkeypatch):
    def evaluate(example: Any) -> float:
        return 1.0

    evaluate.__module__, evaluate.__qualname__ = "only_here", "evaluate"
    module = types.ModuleType("only_here")
    module.evaluate = evaluate
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(sn.engines.EngineError) as caught:
        searched({"x": sn.oneof([1])}, evaluate, trial_timeout=60)
    assert "No module named 'only_here'" in str(caught.value)
    assert "It must be importable there" in str(caught.value)


UNGUARDED = """
import symnas as sn
def evaluate(example): return 1.0
sn.search({'x': sn.oneof([1, 2])}, evaluate, trial_timeout=60, progress=False)
"""


def test_a_script_without_guard_is_told_so(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(UNGUARDED)
    code, _, err = run_script(path)
    assert code == 1
    assert "EngineError" in err.splitlines()[-1]
    assert 'needs `if __name__ == "__main__":`' in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        (["-"], UNGUARDED, "must be a file"),
        pytest.param(
            ["-c", UNGUARDED],
            "",
            "defined in a file, not at a prompt",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_script_that_is_no_file_is_told_so(arguments, text, message):
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        input=text,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=evaluations.LONGEST,
    )
    assert done.returncode == 1
    assert "EngineError" in done.stderr
    assert message in done.stderr


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (3, "ended with exit code 3."),
        (-signal.SIGKILL, "was ended by SIGKILL: out of memory?"),
        (-signal.SIGSEGV, "was ended by SIGSEGV."),
        (-40, "was ended by signal 40."),  # One for real time, without a name.
    ],
)
def test_the_end_of_a_worker_is_explained(code, text):
    assert local._cause(code) == f"The worker process {text}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "`workers` must be a whole number of at least 1, got 0"),
        ({"workers": -1}, "`workers` must be .* got -1"),
        ({"workers": "two"}, "`workers` must be .* got 'two'"),
        ({"workers": 2.0}, "`workers` must be .* got 2.0"),
        ({"workers": True}, "`workers` must be .* got True"),
        ({"engine": "spark"}, "`engine` must be 'local' or 'ray', got 'spark'"),
        ({"resources": {"num_gpu": 1}}, "num_cpus, num_gpus, memory, got 'num_gpu'"),
        ({"resources": {"num_gpus": 0.5}}, "`num_gpus` .* at least 0, got 0.5"),
        ({"resources": {"num_gpus": -1}}, "`num_gpus` .* at least 0, got -1"),
        ({"resources": {"num_cpus": 0}}, "`num_cpus` .* at least 1, got 0"),
        ({"resources": {"memory": "1 GB"}}, "`memory` .* at least 1, got '1 GB'"),
        ({"resources": {"memory": True}}, "`memory` .* at least 1, got True"),
        ({"resources": "gpu"}, "`resources` must be None or a dict, got 'gpu'"),
        ({"trial_timeout": -1}, "`trial_timeout` must be .* got -1"),
        ({"trial_timeout": 0}, "`trial_timeout` must be .* got 0"),
        ({"trial_timeout": float("nan")}, "`trial_timeout` must be .* got nan"),
        ({"trial_timeout": "1 h"}, "`trial_timeout` must be .* got '1 h'"),
        ({"trial_timeout": True}, "`trial_timeout` must be .* got True"),
    ],
)
def test_bad_arguments_raise_before_anything_begins(options, message):
    with pytest.raises(ValueError, match=message):
        searched({"x": sn.oneof([1])}, never, **options)


def test_no_worker_is_left_if_one_cannot_start(monkeypatch):
    started: list[Any] = []
    start = local._Worker.start

    def start_one(self: Any) -> None:
        if started:
            raise OSError("no more processes")
        start(self)
        started.append(self)

    monkeypatch.setattr(local._Worker, "start", start_one)
    with pytest.raises(OSError, match="no more processes"):
        searched({"x": sn.oneof([1])}, evaluations.add, workers=2)
    assert started[0].process.exitcode == -signal.SIGKILL
