"""What a search has found."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from symnas import optuna_export
from symnas.pareto import hypervolume
from symnas.trial import COMPLETED, FAILED, SKIPPED, Trial

if TYPE_CHECKING:
    import torch

    from symnas.record import Record

INTERRUPTION = "interrupted by the user"


class Trials(Sequence[Trial]):
    """All trials in the order of their ids; each is made when it is asked for."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def __len__(self) -> int:
        return len(self._record)

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> list[Trial]: ...
    def __getitem__(self, index: int | slice) -> Trial | list[Trial]:
        ids = range(1, len(self) + 1)[index]
        if isinstance(ids, range):
            return [self._record.trial(trial_id) for trial_id in ids]
        return self._record.trial(ids)

    def __iter__(self) -> Iterator[Trial]:
        for trial_id in range(1, len(self) + 1):
            yield self._record.trial(trial_id)

    def __repr__(self) -> str:
        return f"<{len(self)} trials>"


class Result:
    """The trials of a study, and the best of them. It grows while the study runs.

    Attributes:
      trials: all trials, in the order in which they were proposed.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self.trials = Trials(record)

    @property
    def seed(self) -> int:
        """The seed of the study, also when none was given."""
        return self._record.seed

    @property
    def space(self) -> Any:
        """The compiled `SearchSpace`."""
        return self._record.space

    @property
    def name(self) -> str | None:
        """Of the study in its store."""
        return self._record.name

    @property
    def created(self) -> float:
        """When the study was begun, in seconds since the epoch."""
        return self._record.created

    @property
    def environment(self) -> dict[str, Any]:
        """The algorithm, command, machine and versions that it was begun with."""
        return self._record.environment

    @property
    def objectives(self) -> tuple[str, ...]:
        return self._record.objectives.names

    @property
    def why_stopped(self) -> str | None:
        """Why nothing more was proposed; None while the search goes on."""
        return self._record.why_stopped

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the search."""
        return self.why_stopped == INTERRUPTION

    @property
    def num_completed(self) -> int:
        return self._record.count(COMPLETED)

    @property
    def num_failed(self) -> int:
        return self._record.count(FAILED)

    @property
    def num_skipped(self) -> int:
        return self._record.count(SKIPPED)

    @property
    def best(self) -> Trial:
        """The trial with the largest reward, the earliest of equal ones.

        Raises:
          ValueError: no trial was completed, or there are several objectives.
        """
        if len(self.objectives) > 1:
            raise ValueError(
                f"With {len(self.objectives)} objectives there is no single best trial: "
                "use `pareto_front()`."
            )
        best_id = self._record.best_id
        if best_id is None:
            raise ValueError(f"No trial was completed. {self._why_none()}")
        return self._record.trial(best_id)

    def _why_none(self) -> str:
        for trial in self.trials:
            if trial.error:
                reason = trial.error.splitlines()[-1]
                return f"Trial {trial.id} is {trial.status}: {reason}"
        return f"There are {len(self.trials)} trials."

    def top(self, n: int) -> list[Trial]:
        """The `n` best trials by the first objective, best first."""
        rewards = self._record.rewards()[:, 0]
        done = np.flatnonzero(self._record.statuses() == COMPLETED)
        order = done[np.argsort(-rewards[done], kind="stable")][:n]
        return [self._record.trial(int(i) + 1) for i in order]

    def pareto_front(self) -> list[Trial]:
        """The trials that no other one equals or exceeds in all objectives, by id.

        Of trials with equal rewards the earliest is kept.
        """
        done = np.flatnonzero(self._record.statuses() == COMPLETED)
        rewards = self._record.rewards()[done]
        # After sorting, a trial can be dominated by earlier ones only.
        order = np.lexsort((done, *-rewards.T[::-1]))
        front: list[int] = []
        kept = np.empty((0, rewards.shape[1]))
        for i in order:
            if not (kept >= rewards[i]).all(axis=1).any():
                front.append(int(done[i]))
                kept = np.vstack([kept, rewards[i]])
        return [self._record.trial(i + 1) for i in sorted(front)]

    def hypervolume(self, reference: Sequence[float]) -> float:
        """The volume between the Pareto front and a point that is worse.

        Args:
          reference: (m,), in the order and the sign of the objectives as they are
            reported: with "accuracy" and "-latency" an accuracy and a latency.

        Example:

        >>> import symnas as sn
        >>> space = {"width": sn.oneof([1, 2])}
        >>> evaluate = lambda x: {"accuracy": x["width"], "size": x["width"]}
        >>> result = sn.search(
        ...     space, evaluate, "nsga2", 2, objectives=["accuracy", "-size"], seed=0,
        ...     progress=False,
        ... )
        >>> result.hypervolume([0, 3])
        3.0
        """
        rewards = self._record.rewards()[self._record.statuses() == COMPLETED]
        corner = np.asarray(reference, dtype=float)
        if corner.shape != (len(self.objectives),):
            raise ValueError(
                f"`reference` needs a number for each objective, {self.objectives}, got "
                f"{reference!r}."
            )
        return hypervolume(rewards, corner * self._record.objectives.signs)

    def inner(self, trial: Trial) -> list[Result]:
        """What the loops within a trial have found, in the order in which they began.

        Of a study that was loaded, or a trial that another process ran, only the names
        are known: `trial.metadata["inner"]["studies"]`, to load them.
        """
        return [Result(study) for study in self._record.inner.get(trial.id, ())]

    def model(self, trial: Trial) -> Any:
        """The example of a trial, made anew: models get the initial weights they had."""
        return self._record.build(trial.id)

    def best_model(self) -> Any:
        """The example of the best trial, made anew with its initial weights."""
        return self.model(self.best)

    def export(
        self,
        folder: str | os.PathLike[str],
        model: torch.nn.Module | None = None,
        inputs: Any = None,
    ) -> list[Path]:
        """Writes the winner as files that are loaded back; see `symnas.export.save`.

        Args:
          folder: made if it is not there.
          model: the winner after its training; without it, the best model is made anew,
            with its initial weights.
          inputs: of the model, for the formats that need some: ONNX and `torch.export`.

        Returns:
          The files that were written.
        """
        from symnas.export import save

        return save(self.best_model() if model is None else model, folder, inputs)

    def to_dataframe(self) -> Any:
        """One row per trial, as a `pandas.DataFrame`; needs the extra `dataframe`."""
        try:
            import pandas
        except ImportError:
            raise ImportError(
                "Data frames need pandas: pip install 'symnas[dataframe]'."
            ) from None
        return pandas.DataFrame(self._rows())

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes one row per trial, with the columns of `to_dataframe`."""
        rows = self._rows()
        # Conditional decisions: not every trial has every column.
        columns = dict.fromkeys(key for row in rows for key in row)
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(columns), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def to_json_lines(self, path: str | os.PathLike[str]) -> None:
        """Writes one JSON object per trial that has ended; see `callbacks.JsonLines`.

        Raises:
          ValueError: the file exists and holds anything but trials of this study.
        """
        from symnas.callbacks import JsonLines

        JsonLines(path).begin(self)

    def to_optuna(self, storage: Any, name: str) -> Any:
        """Writes a new study for Optuna's tools, such as its dashboard.

        Choices become categorical parameters, with code as text for what is built.

        Args:
          storage: as `optuna.create_study` takes it, for instance 'sqlite:///optuna.db'.
          name: of the study there.

        Returns:
          The `optuna.Study`.

        Raises:
          ImportError: Optuna is not installed; it comes with the extra `optuna`.
          ValueError: the storage has a study of this name.
        """
        return optuna_export.export(self, storage, name)

    # --- figures ------------------------------------------------------------------------

    def report(self, path: str | os.PathLike[str]) -> None:
        """Writes all figures and tables as one HTML file, which needs nothing else.

        Example:

        >>> import os, tempfile
        >>> import symnas as sn
        >>> result = sn.search(
        ...     {"x": sn.floatv(0.0, 1.0)}, lambda e: e["x"], "random", 9, seed=0,
        ...     progress=False,
        ... )
        >>> path = os.path.join(tempfile.mkdtemp(), "report.html")
        >>> result.report(path)
        >>> os.path.getsize(path) > 0
        True
        """
        from symnas.reporting import write_report

        write_report(self, path)

    def plot_best_so_far(self) -> Any:
        """The trials and the best of them so far; see `plots.best_so_far`."""
        from symnas import plots

        return plots.best_so_far(self)

    def plot_over_time(self) -> Any:
        """The same over time; see `plots.over_time`."""
        from symnas import plots

        return plots.over_time(self)

    def plot_pareto_front(self) -> Any:
        """The trials by several objectives; see `plots.pareto_front`."""
        from symnas import plots

        return plots.pareto_front(self)

    def plot_parallel_coordinates(self, decisions: Sequence[str] | None = None) -> Any:
        """A line for each trial; see `plots.parallel_coordinates`."""
        from symnas import plots

        return plots.parallel_coordinates(self, decisions)

    def plot_importance(self, objective: str | None = None) -> Any:
        """How much each decision matters; see `plots.importance`."""
        from symnas import plots

        return plots.importance(self, objective)

    def plot_slices(self, decisions: Sequence[str] | None = None) -> Any:
        """The reward over each decision; see `plots.slices`."""
        from symnas import plots

        return plots.slices(self, decisions)

    def plot_learning_curves(self, model: Any = None, normalizer: Any = None) -> Any:
        """What trials reported on the way; see `plots.learning_curves`."""
        from symnas import plots

        return plots.learning_curves(self, model, normalizer)

    def plot_timeline(self) -> Any:
        """Which trials ran when; see `plots.timeline`."""
        from symnas import plots

        return plots.timeline(self)

    def plot_architecture(self, trial: Trial | None = None) -> Any:
        """The example of a trial, by default of the best; see `plots.architecture`."""
        from symnas import plots

        return plots.architecture(self.model(self.best if trial is None else trial))

    # --- text ---------------------------------------------------------------------------

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "id": trial.id,
                "status": trial.status,
                **trial.metrics,
                **trial.decisions,
                "seconds": trial.seconds,
                "seed": trial.seed,
                "error": trial.error,
            }
            for trial in self.trials
        ]

    def __str__(self) -> str:
        """A table of the best trials."""
        from rich.console import Console

        from symnas.progress import results_table

        text = io.StringIO()
        console = Console(file=text, width=100, color_system=None)
        console.print(results_table(self))
        return text.getvalue().rstrip()

    def __repr__(self) -> str:
        counts = f"{len(self.trials)} trials, {self.num_failed} failed"
        if len(self.objectives) > 1 or self._record.best_id is None:
            return f"<Result: {counts}>"
        best = self.best
        return f"<Result: {counts}, best {best.reward:.6g} in trial {best.id}>"
