"""Trials as lines of JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from symnas.callbacks.callback import Callback, ended_trials
from symnas.json_values import json_value
from symnas.result import Result
from symnas.trial import Trial

_START = b'{"id": 0, "status": "'  # Of each line, but for the number.
_NEEDED = frozenset(("id", "status", "seed", "genotype"))  # To know the trial.


class JsonLines(Callback):
    """Appends each trial that ends to a file, as one JSON object on one line.

    For other programs to read; `pandas.read_json(path, lines=True)` does. A resumed study
    goes on with its file: however often it was killed, each of its trials is there once.
    A file holds one study; that of another one is refused. Only one process may write it:
    of several that share a study, one gets the callback, and adds what the others have
    done at the end.

    Values that JSON does not have are written as text: `nan`, `inf`, or their `repr`.

    Args:
      path: of the file. It and its folder are made if needed.

    Raises:
      ValueError: at the begin of a search, if the file holds anything else.

    Example:

    >>> import pathlib, tempfile, symnas as sn
    >>> path = pathlib.Path(tempfile.mkdtemp(), "trials.jsonl")
    >>> result = sn.search({"x": sn.oneof([1, 2, 3])}, lambda example: example["x"],
    ...                    "grid", callbacks=[sn.callbacks.JsonLines(path)],
    ...                    progress=False)
    >>> print(path.read_text())
    {"id": 1, "status": "completed", "rewards": [1.0], "metrics": {"reward": 1.0}, ...
    {"id": 2, "status": "completed", "rewards": [2.0], "metrics": {"reward": 2.0}, ...
    {"id": 3, "status": "completed", "rewards": [3.0], "metrics": {"reward": 3.0}, ...
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._written: set[int] | None = None
        self._size = 0

    def begin(self, result: Result) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._written = self._repair(result)
        self._write(ended_trials(result, self._written))

    def __call__(self, trial: Trial) -> None:
        if self._written is None:
            raise ValueError("Call `begin(result)` before the first trial.")
        if trial.id not in self._written:
            self._write([trial])

    def end(self, result: Result) -> None:
        if self._written is not None:
            self._write(ended_trials(result, self._written))

    def _write(self, trials: Iterable[Trial]) -> None:
        assert self._written is not None
        ids = []
        with self._path.open("ab") as file:  # Closing it is flushing it.
            # Drops what is left of a write that failed.
            file.truncate(min(self._size, file.tell()))
            for trial in trials:
                file.write(_line(trial))
                ids.append(trial.id)
        self._written.update(ids)
        self._size = self._path.stat().st_size

    def _repair(self, result: Result) -> set[int]:
        """The ids in the file, after dropping what was cut off by a kill."""
        data = self._path.read_bytes() if self._path.exists() else b""
        *lines, rest = data.split(b"\n")
        if _parsed(rest) is not None:  # All but its newline was written.
            lines.append(rest)
        elif not _is_start(rest):
            raise self._refusal(len(lines) + 1)
        kept = {}
        for number, line in enumerate(lines, 1):
            record = _parsed(line)
            trial = self._trial(number, record, result)
            # It differs if the process was killed before the end was stored.
            if record["status"] == trial.status:
                kept[trial.id] = line + b"\n"
        repaired = b"".join(kept.values())
        if repaired != data:
            whole = self._path.with_name(self._path.name + ".repaired")
            whole.write_bytes(repaired)
            whole.replace(self._path)
        self._size = len(repaired)
        return set(kept)

    def _trial(self, number: int, record: Any, result: Result) -> Trial:
        """The trial that a line stands for."""
        if not isinstance(record, dict) or not record.keys() >= _NEEDED:
            raise self._refusal(number)
        trial_id = record["id"]
        if type(trial_id) is int and 1 <= trial_id <= len(result.trials):
            trial = result.trials[trial_id - 1]
            same_seed = record["seed"] == trial.seed
            if same_seed and record["genotype"] == list(trial.genotype):
                return trial
        raise ValueError(
            f"{str(self._path)!r} must hold trials of this study, but trial {trial_id!r} in "
            f"line {number} is of another one. Remove the file, or choose another path."
        )

    def _refusal(self, number: int) -> ValueError:
        return ValueError(
            f"{str(self._path)!r} must be a file that `JsonLines` has written, but line "
            f"{number} is no trial. Choose another path."
        )


def _parsed(line: bytes) -> Any:
    """What a line of JSON holds, None if it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_start(line: bytes) -> bool:
    """Whether it may be the start of a line of ours."""
    line = re.sub(rb'^{"id": \d+', b'{"id": 0', line)
    return line.startswith(_START) or _START.startswith(line)


def _line(trial: Trial) -> bytes:
    record = {
        "id": trial.id,
        "status": trial.status,
        "rewards": trial.rewards,
        "metrics": trial.metrics,
        "decisions": trial.decisions,
        "genotype": trial.genotype,
        "begun": trial.begun,
        "seconds": trial.seconds,
        "seed": trial.seed,
        "error": trial.error,
        "metadata": trial.metadata,
        "stopped_early": trial.stopped_early,
        "budget": trial.budget,
        "worker": trial.worker,
        "measurements": [
            {"step": measurement.step, "metrics": measurement.metrics}
            for measurement in trial.measurements
        ],
    }
    return json.dumps(json_value(record), allow_nan=False).encode() + b"\n"
