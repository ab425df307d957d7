"""Trials in TensorBoard."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np

from symnas.callbacks.callback import Callback
from symnas.result import Result
from symnas.trial import Trial

_SECONDS = "trial/seconds"  # Every trial has it, so it tells which ones are logged.
_SUFFIX = ".symnas"  # Of our event files; others may lie beside them.
_EVENTS = f"events.out.tfevents.*{_SUFFIX}"
_LARGEST_INT = 2**53  # Up to which a float holds every integer.


class TensorBoard(Callback):
    """Logs each trial that ends for TensorBoard; needs the extra `tensorboard`.

    Each trial is a run of its own, `trial_12`: what was measured on the way as curves
    `measurements/...` by step, decisions and final metrics in the tab HPARAMS, an error
    as text.

    The folder itself is the run of the study, with the trial's id as the step:
    `metrics/...`, the best so far as `best/...`, and `trial/seconds`. A trial appears there
    once all before it have ended: TensorBoard drops points when steps go back.

    A resumed study goes on with its folder; that of another study is refused. Only one
    process may write it: of several that share a study, one gets the callback, and adds
    what the others have done.

    Args:
      folder: made if needed. `tensorboard --logdir FOLDER` shows it.

    Raises:
      ImportError: tensorboard is not installed.
      ValueError: at the begin of a search, if the folder holds trials of another one.

    Example:

    >>> import pathlib, tempfile, symnas as sn
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> result = sn.search({"x": sn.oneof([1, 2, 3])}, lambda example: example["x"],
    ...                    "grid", callbacks=[sn.callbacks.TensorBoard(folder)],
    ...                    progress=False)
    >>> sorted(path.name for path in folder.iterdir() if path.is_dir())
    ['trial_1', 'trial_2', 'trial_3']
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ImportError:
            raise ImportError(
                "Logs for TensorBoard need tensorboard: pip install 'symnas[tensorboard]'."
            ) from None
        self._folder = Path(folder)
        self._study: _StudyRun | None = None

    def begin(self, result: Result) -> None:
        self._study = _StudyRun(self._folder, result)
        self._study.follow()

    def __call__(self, trial: Trial) -> None:
        if self._study is None:
            raise ValueError("Call `begin(result)` before the first trial.")
        self._study.show(trial)
        self._study.follow()

    def end(self, result: Result) -> None:
        if self._study is not None:
            self._study.follow(wait=False)
            self._study.close()
            self._study = None


class _StudyRun:
    """The run of the study, in the order of the trials' ids.

    What it has already is kept only if it can be followed by the rest in that order.
    """

    def __init__(self, folder: Path, result: Result) -> None:
        from torch.utils.tensorboard.writer import FileWriter

        self._folder = folder
        self._result = result
        self._num_logged = _num_logged(folder, result)
        if not self._num_logged:
            _remove_events(folder)
        self._shown: set[int] = set()  # Trials with a run, but not in this one yet.
        self._best: dict[str, float] = {}
        self._next = 1
        self._writer = FileWriter(folder, filename_suffix=_SUFFIX)

    def show(self, trial: Trial) -> None:
        """Writes the trial's own run."""
        if trial.id > self._num_logged and trial.id not in self._shown:
            _write_run(self._folder / f"trial_{trial.id}", trial)
            self._shown.add(trial.id)

    def follow(self, wait: bool = True) -> None:
        """Writes the trials that follow, up to a pending one or leaving it out."""
        trials = self._result.trials
        while self._next <= len(trials):
            trial = trials[self._next - 1]
            if trial.status != "pending":
                self._write(trial)
            elif wait:
                break
            self._next += 1
        self._writer.flush()

    def _write(self, trial: Trial) -> None:
        best = self._best_with(trial)
        if trial.id <= self._num_logged:
            return
        self.show(trial)
        values = {f"metrics/{name}": value for name, value in trial.metrics.items()}
        values |= {f"best/{name}": value for name, value in best.items()}
        values[_SECONDS] = trial.seconds
        # All in one event: a kill leaves the trial logged or not.
        self._writer.add_summary(_scalars(values), trial.id)

    def _best_with(self, trial: Trial) -> dict[str, float]:
        """The best of each objective so far, if this trial was completed."""
        if trial.status != "completed":
            return {}
        objectives = self._result._record.objectives
        rewards = zip(objectives.names, objectives.signs, trial.rewards, strict=True)
        for name, sign, reward in rewards:
            best = self._best.get(name, reward)
            self._best[name] = max(reward, best, key=lambda value: sign * value)
        return self._best

    def close(self) -> None:
        self._writer.close()


def _num_logged(folder: Path, result: Result) -> int:
    """How many trials the run of the study has; 0 if it must be written anew."""
    logged = _logged_seconds(folder)
    if any(not 1 <= step <= len(result.trials) for step, _ in logged):
        raise _refusal(folder)
    trials = [result.trials[step - 1] for step, _ in logged]
    # A trial is pending again if the process was killed before its end was stored.
    same = [
        _same(trial.seconds, seconds)
        for trial, (_, seconds) in zip(trials, logged, strict=True)
        if trial.status != "pending"
    ]
    if 2 * sum(same) < len(same):
        raise _refusal(folder)
    in_order = [trial.id for trial in trials] == list(range(1, len(trials) + 1))
    return len(trials) if in_order and all(same) and len(same) == len(trials) else 0


def _logged_seconds(folder: Path) -> list[tuple[int, float]]:
    """The ids of the trials in the run of the study, and their seconds."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not any(folder.glob(_EVENTS)):
        return []
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    if _SECONDS not in events.Tags()["scalars"]:
        return []
    return [(event.step, event.value) for event in events.Scalars(_SECONDS)]


def _refusal(folder: Path) -> ValueError:
    return ValueError(
        f"{str(folder)!r} must hold trials of this study, but has those of another one. "
        "Remove the folder, or choose another one."
    )


def _remove_events(folder: Path) -> None:
    for file in folder.glob(_EVENTS):
        file.unlink()


def _same(seconds: float, logged: float) -> bool:
    # NaN if the trial was not ended by its evaluation.
    nan = math.isnan(seconds) or math.isnan(logged)
    return nan or math.isclose(seconds, logged, rel_tol=1e-6)


def _write_run(folder: Path, trial: Trial) -> None:
    """A run for one trial: its decisions, curves, final metrics and error."""
    from torch.utils.tensorboard.summary import text
    from torch.utils.tensorboard.writer import FileWriter

    _remove_events(folder)  # Of a process that was killed.
    writer = FileWriter(folder, filename_suffix=_SUFFIX)
    for summary in _hparams(trial):
        writer.add_summary(summary)
    for measurement in trial.measurements:
        named = measurement.metrics.items()
        curves = {f"measurements/{name}": value for name, value in named}
        writer.add_summary(_scalars(curves), measurement.step)
    final = {f"metrics/{name}": value for name, value in trial.metrics.items()}
    writer.add_summary(_scalars(final), trial.id)
    if trial.error:
        # Indented: Markdown for what is to be shown as it is.
        writer.add_summary(text("error", indent(_clean(trial.error), "    ")), trial.id)
    writer.close()


def _scalars(values: Mapping[str, float]) -> Any:
    """One `Summary` of several scalars."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    pairs = ((_clean(name), value) for name, value in values.items())
    return Summary(value=[Summary.Value(tag=t, simple_value=v) for t, v in pairs])


def _hparams(trial: Trial) -> list[Any]:
    """What the tab HPARAMS wants to know.

    Not by `torch.utils.tensorboard.summary.hparams`: that also lists the names of all
    hyper-parameters, and TensorBoard would believe the first trial, which need not have
    all decisions; nor can it say that a trial has failed.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    start, end = HParamsPluginData(), HParamsPluginData()
    for name, value in trial.decisions.items():
        _set_hparam(start.session_start_info.hparams[_clean(name)], value)
    start.session_start_info.SetInParent()
    failed = trial.status == "failed"
    status = api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS
    end.session_end_info.status = status
    tags = metadata.SESSION_START_INFO_TAG, metadata.SESSION_END_INFO_TAG
    values = [
        Summary.Value(
            tag=tag,
            metadata=metadata.create_summary_metadata(data),
            tensor=metadata.NULL_TENSOR,
        )
        for tag, data in zip(tags, (start, end), strict=True)
    ]
    return [Summary(value=[value]) for value in values]


def _set_hparam(field: Any, value: Any) -> None:
    if isinstance(value, np.generic):
        value = value.item()
    is_int = isinstance(value, int) and abs(value) <= _LARGEST_INT
    if isinstance(value, bool):
        field.bool_value = value
    elif is_int or isinstance(value, float):
        field.number_value = value
    else:
        field.string_value = _clean(str(value))


def _clean(text: str) -> str:
    """The text without what UTF-8 does not have, lone surrogates."""
    return text.encode(errors="replace").decode()
