"""Trials as runs of MLflow."""

from __future__ import annotations

import json
import math
import posixpath
import re
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from symnas.callbacks.callback import Callback, ended_trials
from symnas.result import Result
from symnas.trial import Trial

T = TypeVar("T")

_SEED = "symnas.study_seed"  # Tag of the study's run.
_TRIAL = "symnas.trial"
_STATUS = "symnas.status"
_GENOTYPE = "symnas.genotype"
_SECONDS = "symnas.seconds"
_PARENT = "mlflow.parentRunId"  # What MLflow nests runs by.
_LONGEST_NAME = 250
_LONGEST_TAG = 5000  # Servers before 2.13 take no more.
_LONGEST_PARAM = 6000
_PARAMS_PER_CALL = 100
_METRICS_PER_CALL = 1000


class MLflow(Callback):
    """Makes each trial that ends a run of MLflow; needs the extra `mlflow`.

    The study is one run, and its trials are runs nested in it: decisions as parameters,
    measurements and final metrics as metrics, and tags `symnas.status`, `symnas.error`,
    `symnas.genotype`. What MLflow refuses in a name becomes `_`, and long values are
    cut. SQL stores clip infinite metrics to the largest float.

    A resumed study goes on with its run. That is found among those of the same seed as
    the one whose trials are this study's, so two studies can share an experiment.
    Only one process may log a study: of several that share it, one gets the callback, and
    adds what the others have done at the end.

    Args:
      experiment: its name; made if needed.
      tracking_uri: as `sqlite:///mlflow.db` or the URL of a server; None for what
        MLflow itself would take.

    Raises:
      ImportError: MLflow is not installed.

    Example:

    >>> import pathlib, tempfile, mlflow, symnas as sn
    >>> uri = f"sqlite:///{tempfile.mkdtemp()}/mlflow.db"
    >>> result = sn.search({"x": sn.oneof([1, 2, 3])}, lambda example: example["x"],
    ...                    "grid", callbacks=[sn.callbacks.MLflow("toy", uri)],
    ...                    progress=False)
    >>> client = mlflow.MlflowClient(uri)
    >>> experiment = client.get_experiment_by_name("toy")
    >>> best, = client.search_runs([experiment.experiment_id], order_by=["metrics.reward DESC"],
    ...                            max_results=1)
    >>> best.info.run_name, best.data.params
    ('trial 3', {'x': '3'})
    """

    def __init__(self, experiment: str, tracking_uri: str | None = None) -> None:
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise ImportError(
                "Runs of MLflow need mlflow: pip install 'symnas[mlflow]'."
            ) from None
        self._experiment = experiment
        with warnings.catch_warnings():
            # What MLflow's own SQL store does is deprecated in SQLAlchemy 2.1.
            warnings.filterwarnings("ignore", "The ``noload``", DeprecationWarning)
            self._client = MlflowClient(tracking_uri)
        self._study: _StudyRun | None = None

    def begin(self, result: Result) -> None:
        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            experiment = self._client.create_experiment(self._experiment)
        else:
            experiment = found.experiment_id
        self._study = _StudyRun(self._client, experiment, result)
        self._study.log(ended_trials(result, self._study.logged))

    def __call__(self, trial: Trial) -> None:
        if self._study is None:
            raise ValueError("Call `begin(result)` before the first trial.")
        if trial.id not in self._study.logged:
            self._study.log([trial])

    def end(self, result: Result) -> None:
        if self._study is not None:
            self._study.log(ended_trials(result, self._study.logged))
            self._study.close()
            self._study = None


class _StudyRun:
    """The run of a study and the runs nested in it.

    Attributes:
      logged: the ids of the trials that have a run.
    """

    def __init__(self, client: Any, experiment: str, result: Result) -> None:
        self._client = client
        self._experiment = experiment
        self.logged: set[int] = set()
        self._partial: dict[int, str] = {}  # Runs of trials that could not be logged.
        self._id = self._resumed(result) or self._new(result)

    def _new(self, result: Result) -> str:
        name, tags = f"study with seed {result.seed}", {_SEED: str(result.seed)}
        run = self._client.create_run(self._experiment, run_name=name, tags=tags)
        run_id: str = run.info.run_id
        return run_id

    def _resumed(self, result: Result) -> str | None:
        """The run that this study has already, cleared of what was cut off by a kill."""
        found: dict[str, list[Any]] = {}
        if len(result.trials):
            for run in self._runs(_SEED, str(result.seed)):
                nested = self._runs(_PARENT, run.info.run_id)
                trials = [run for run in nested if _TRIAL in run.data.tags]
                if _is_study(trials, result):
                    found[run.info.run_id] = trials
        if not found:
            return None
        # Another study of this seed may have no trial yet.
        run_id = max(found, key=lambda run_id: len(found[run_id]))
        for run in found[run_id]:
            trial = result.trials[int(run.data.tags[_TRIAL]) - 1]
            # It ended otherwise if the process was killed before its end was stored.
            known = _tags(trial).items() <= run.data.tags.items()
            if known and run.info.status != "RUNNING":
                self.logged.add(trial.id)
            else:
                self._client.delete_run(run.info.run_id)
        self._client.update_run(run_id, status="RUNNING")
        return run_id

    def _runs(self, tag: str, value: str) -> Iterator[Any]:
        """The runs with a tag, latest first."""
        query, token = f"tags.`{tag}` = '{value}'", None
        while True:
            page = self._client.search_runs([self._experiment], query, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def log(self, trials: Iterable[Trial]) -> None:
        for trial in trials:
            self._log(trial)
            self.logged.add(trial.id)

    def _log(self, trial: Trial) -> None:
        from mlflow.entities import Metric, Param

        if trial.id in self._partial:
            self._client.delete_run(self._partial[trial.id])
        now = round(1000 * time.time())
        seconds = trial.seconds if math.isfinite(trial.seconds) else 0.0
        run = self._client.create_run(
            self._experiment,
            start_time=now - round(1000 * seconds),
            tags={_PARENT: self._id, **_tags(trial)},
            run_name=f"trial {trial.id}",
        )
        run_id = self._partial[trial.id] = run.info.run_id
        params = [
            Param(name, _clean(str(value))[:_LONGEST_PARAM])
            for name, value in _named(trial.decisions).items()
        ]
        metrics = [
            Metric(name, value, now, step)
            for step, values in _steps(trial)
            for name, value in _named(values).items()
        ]
        for batch in _batches(params, _PARAMS_PER_CALL):
            self._client.log_batch(run_id, params=batch, synchronous=True)
        for points in _batches(metrics, _METRICS_PER_CALL):
            self._client.log_batch(run_id, metrics=points, synchronous=True)
        status = "FAILED" if trial.status == "failed" else "FINISHED"
        self._client.set_terminated(run_id, status, now)
        del self._partial[trial.id]

    def close(self) -> None:
        self._client.set_terminated(self._id)


def _tags(trial: Trial) -> dict[str, str]:
    tags = {
        _TRIAL: str(trial.id),
        _STATUS: trial.status,
        "symnas.seed": str(trial.seed),
        _SECONDS: repr(trial.seconds),
        _GENOTYPE: json.dumps(trial.genotype)[:_LONGEST_TAG],
    }
    if trial.error:  # The end says what went wrong.
        tags["symnas.error"] = _clean(trial.error)[-_LONGEST_TAG:]
    return tags


def _is_study(trials: Sequence[Any], result: Result) -> bool:
    """Whether nested runs are trials of this study."""
    same = []
    for run in trials:
        tags, trial_id = run.data.tags, int(run.data.tags[_TRIAL])
        if trial_id > len(result.trials):
            return False
        expected = _tags(result.trials[trial_id - 1])
        if tags[_GENOTYPE] != expected[_GENOTYPE]:
            return False
        if tags[_STATUS] == expected[_STATUS]:
            same.append(tags[_SECONDS] == expected[_SECONDS])
    # Studies with one seed have equal proposals, but do not take equally long.
    return 2 * sum(same) >= len(same)


def _steps(trial: Trial) -> Iterator[tuple[int, dict[str, float]]]:
    """The metrics of a trial by step, the final ones last."""
    curves = {m.step: m.metrics for m in trial.measurements}
    yield from curves.items()
    last = max(curves, default=0)
    if trial.metrics != curves.get(last):
        yield last + bool(curves), trial.metrics


def _named(values: Mapping[str, T]) -> dict[str, T]:
    """The values under names that MLflow takes, which stay different."""
    named: dict[str, T] = {}
    for name, value in values.items():
        allowed, number = _allowed(name), 1
        while allowed in named:
            number += 1
            allowed = f"{_allowed(name)[: _LONGEST_NAME - 10]}_{number}"
        named[allowed] = value
    return named


def _allowed(name: str) -> str:
    """The name, if need be with other characters: `layers.0.width`."""
    path = name == posixpath.normpath(name) and not name.startswith((".", "/"))
    if path and re.fullmatch(r"[\w.\- /]+", name) and len(name) <= _LONGEST_NAME:
        return name
    name = name.replace("[", ".").replace("]", "")
    return re.sub(r"[^\w.\- ]", "_", name).lstrip(".")[:_LONGEST_NAME] or "_"


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _clean(text: str) -> str:
    """The text without what UTF-8 does not have, lone surrogates."""
    return text.encode(errors="replace").decode()
