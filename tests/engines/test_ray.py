"""Tests of searches on a Ray cluster: several nodes, as processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import evaluations
import pytest
from evaluations import is_alive, wait_for

import symnas as sn

ray = pytest.importorskip("ray", reason="Ray is not installed: the extra 'ray'.")

# Ray leaves files and processes to be closed by the end of the process.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def searched(space: Any, evaluate: Any, **options: Any) -> sn.Result:
    options = {"algorithm": "grid", "seed": 0, "progress": False, **options}
    return sn.search(space, evaluate, engine="ray", **options)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and two nodes with a CPU each; one has a GPU, as far as Ray knows."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        head = {"num_cpus": 1, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(num_cpus=1)
        cluster.add_node(num_cpus=1, num_gpus=1, resources={"special": 1})
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


# What each case of `Misbehaving` must come to: a reward, or a part of the error.
OUTCOMES: dict[str, Any] = {
    "tensors": 2.5,
    "steps": 2.0,
    "raises": "RuntimeError: as it goes",
    "end_of_file": "EOFError",
    "exits": "SystemExit",
    "text": "A reward must be a number, got 'no number'.",
    "no_steps": "has no measurement to end with",
    "raises_after_a_step": "RuntimeError: after a step",
    "unreadable": "unreadable",
    "endless": "The evaluation took longer than 4 s.",
    "hangs": "The evaluation took longer than 4 s.",
    "is_killed": "WorkerCrashedError",
}


def test_whatever_an_evaluation_does_happens_to_its_trial_only(cluster, tmp_path):
    cases = [name for case in OUTCOMES for name in (case, "number")]
    result = searched(
        {"case": sn.oneof(cases)},
        evaluations.Misbehaving(tmp_path),
        workers=3,
        trial_timeout=4,
        early_stopping=lambda feedback, study: (
            len(feedback.measurements) == 3 and feedback.decisions["case"] == "steps"
        ),
    )
    for case, trial in zip(cases, result.trials, strict=True):
        if case == "number":
            assert trial.status == "completed", trial.error
        elif isinstance(OUTCOMES[case], float):
            assert (trial.status, trial.rewards) == ("completed", (OUTCOMES[case],))
        else:
            assert trial.status == "failed", case
            assert OUTCOMES[case] in trial.error, case
    trials = dict(zip(cases, result.trials, strict=True))
    assert trials["tensors"].metrics == {"reward": 2.5, "count": 7.0}
    assert trials["steps"].stopped_early
    assert [m.step for m in trials["steps"].measurements] == [1, 2, 3]
    assert len(trials["raises_after_a_step"].measurements) == 1
    pid = int((tmp_path / "is_killed").read_text())
    wait_for(lambda: not is_alive(pid))


@pytest.mark.slow  # Ray takes half a minute to notice.
def test_a_trial_whose_node_is_lost_runs_again_on_another(cluster, tmp_path):
    node = cluster.add_node(num_cpus=1)
    doomed = node.node_id

    def evaluate(example: Any) -> Any:
        import ray

        if ray.get_runtime_context().get_node_id() == doomed:
            yield -1.0
            yield -2.0
            (tmp_path / str(example["x"])).touch()
            evaluations.hang()
        wait_for((tmp_path / "lost").exists)  # So that the others are busy.
        yield float(example["x"])

    def lose_it() -> None:
        wait_for(lambda: any(tmp_path.iterdir()))
        cluster.remove_node(node, allow_graceful=False)
        (tmp_path / "lost").touch()

    thread = threading.Thread(target=lose_it)
    thread.start()
    result = searched({"x": sn.oneof(range(6))}, evaluate, workers=4)
    thread.join()
    (there,) = [path.name for path in tmp_path.iterdir() if path.name != "lost"]
    assert int(there) in range(6)
    assert [trial.rewards for trial in result.trials] == [(x,) for x in range(6)]
    measured = [[m.metrics["reward"] for m in t.measurements] for t in result.trials]
    assert measured == [[x] for x in range(6)]


@pytest.mark.slow
def test_evaluations_get_the_resources_that_they_ask_for(cluster):
    special = next(n for n in ray.nodes() if n["Resources"].get("special"))["NodeID"]

    def evaluate(example: Any) -> Any:
        import ray

        there = ray.get_runtime_context().get_node_id() == special
        return {"reward": there, "gpus": len(ray.get_gpu_ids())}

    result = searched(
        {"x": sn.oneof(range(4))},
        evaluate,
        workers=2,
        resources={"num_gpus": 0.5, "num_cpus": 0.5, "resources": {"special": 0.1}},
    )
    assert [trial.metrics for trial in result.trials] == [{"reward": 1, "gpus": 1}] * 4


def test_the_cluster_makes_the_same_study_as_one_process_with_lag(cluster):
    weight = 2.0
    space = {"x": sn.floatv(0.0, 1.0), "n": sn.oneof([1, 2, 3])}
    one, three = [
        sn.search(
            space,
            lambda example: {
                "reward": weight * example["x"] + example["n"],
                "draws": evaluations.draws(),
            },
            sn.algorithms.RegularizedEvolution(population_size=4, tournament_size=2),
            15,
            seed=0,
            lag=3,
            progress=False,
            **options,
        )
        for options in ({}, {"engine": "ray", "workers": 3})
    ]
    assert [t.metrics for t in one.trials] == [t.metrics for t in three.trials]
    assert [t.decisions for t in one.trials] == [t.decisions for t in three.trials]


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("`Unpicklable` stays here.")

    def __call__(self, example: Any) -> float:
        return 1.0


def test_what_cannot_be_sent_is_named(cluster):
    with pytest.raises(
        TypeError, match="(?s)`evaluate` cannot be sent .*`Unpicklable` stays"
    ):
        searched({"x": sn.oneof([1])}, Unpicklable())
    space = {"x": sn.oneof([Unpicklable(), 2])}
    result = searched(space, lambda example: 1.0, workers=2)
    assert [trial.status for trial in result.trials] == ["failed", "completed"]
    assert "`Unpicklable` stays here." in result.trials[0].error


SCRIPT = """
import ray, symnas as sn
def evaluate(example):
    return {"reward": example["x"], "nodes": len(ray.nodes())}
result = sn.search({"x": sn.oneof([1, 2])}, evaluate, "grid", engine="ray", workers=2,
                   progress=False)
print([trial.metrics for trial in result.trials], ray.is_initialized())
"""


def run_script(tmp_path: Any, **variables: str) -> str:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, path],
        check=False,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "RAY_USAGE_STATS_ENABLED": "0",
            **variables,
        },
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_search_finds_the_cluster_that_runs(cluster, tmp_path):
    nodes = float(len(ray.nodes()))
    metrics = [{"reward": x, "nodes": nodes} for x in (1.0, 2.0)]
    out = run_script(tmp_path, RAY_ADDRESS=cluster.address)
    assert out == f"{metrics} False\n"


@pytest.mark.slow
def test_a_search_starts_ray_and_ends_it(tmp_path):
    metrics = [{"reward": x, "nodes": 1.0} for x in (1.0, 2.0)]
    assert run_script(tmp_path, RAY_ADDRESS="local") == f"{metrics} False\n"


@pytest.mark.parametrize(
    "resources",
    [{"num_gpu": 1}, {"num_gpus": -1}, {"num_cpus": "two"}, {"memory": "1"}],
)
def test_resources_that_ray_does_not_know_raise(resources):
    with pytest.raises(ValueError, match="`resources` are options of a Ray task, got"):
        searched({"x": sn.oneof([1])}, abs, resources=resources)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"needs Ray: pip install 'symnas\[ray\]'"):
        searched({"x": sn.oneof([1])}, abs)
