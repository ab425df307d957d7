"""What the tests of engines evaluate. Worker processes import it."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

LONGEST = 180.0  # Seconds that anything here waits for something that should happen.


def wait_for(condition: Any) -> None:
    """Waits until something is the case."""
    end = time.monotonic() + LONGEST
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{condition} did not become true.")
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait to be collected."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    time.sleep(1000)


def draws() -> float:
    """One number that depends on all the generators."""
    return random.random() + np.random.rand() + torch.rand(()).item()


class Unreadable:
    """Can be pickled, and not be read again."""

    def __reduce__(self) -> Any:
        return _raise, ("unreadable",)


def _raise(text: str) -> Any:
    raise ValueError(text)


@dataclasses.dataclass
class Misbehaving:
    """Everything that an evaluation may do; it leaves the pids of processes it starts."""

    directory: Path

    def __call__(self, example: Any) -> Any:
        return getattr(self, example["case"])()

    def _note(self, name: str, pid: int) -> None:
        (self.directory / name).write_text(str(pid))

    def number(self) -> Any:
        return {"reward": draws(), "threads": torch.get_num_threads()}

    def tensors(self) -> Any:
        weight = torch.ones(1000, 1000, requires_grad=True)
        return {"reward": weight.mean() * 2.5, "count": np.int64(7)}

    def prints(self) -> Any:
        print("printed by a worker")
        return 1.0

    def child(self) -> Any:
        data = torch.utils.data.DataLoader(list(range(6)), 2, num_workers=1)
        return float(sum(batch.sum() for batch in data))

    def raises(self) -> Any:
        raise RuntimeError("as it goes")

    def end_of_file(self) -> Any:
        return input()

    def exits(self) -> Any:
        sys.exit(3)

    def interrupts(self) -> Any:
        raise KeyboardInterrupt

    def text(self) -> Any:
        return "no number"

    def nan(self) -> Any:
        return float("nan")

    def unpicklable(self) -> Any:
        return {"reward": 1.0, "model": lambda: 1}

    def allocates(self) -> Any:
        return len(bytearray(2 * 10**9))

    def allocates_a_tensor(self) -> Any:
        return torch.zeros(10**9).sum()

    def steps(self) -> Any:
        for step in range(10):
            yield {"reward": step, "loss": torch.tensor(0.5)}

    def no_steps(self) -> Any:
        yield from ()

    def step_that_is_no_number(self) -> Any:
        yield "no number"

    def raises_after_a_step(self) -> Any:
        yield 1.0
        raise RuntimeError("after a step")

    def unreadable(self) -> Any:
        yield Unreadable()

    def endless(self) -> Any:
        while True:
            yield 1.0

    def hangs(self) -> Any:
        self._note("hangs", subprocess.Popen(["sleep", "1000"]).pid)
        hang()

    def is_killed(self) -> Any:
        self._note("is_killed", os.getpid())
        die()

    def dies_before_its_child(self) -> Any:
        pid = os.fork()  # It holds all that is open here.
        if not pid:
            hang()
        self._note("dies_before_its_child", pid)
        die()


def train(model: Any) -> Iterator[Any]:
    """A few steps, with random data; models are small networks."""
    weights = sum(p.double().abs().sum().item() for p in model.parameters())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(4):
        x = torch.rand(16, 4)  # (N, F)
        loss = (model(x).squeeze(1) - x.sum(1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield {"reward": -loss, "weights": weights, "draws": draws()}


@dataclasses.dataclass
class FirstIsLast:
    """The first evaluation waits until all others have ended."""

    directory: Path
    others: int

    def __call__(self, example: Any) -> float:
        try:
            (self.directory / "first").touch(exist_ok=False)
        except FileExistsError:
            (self.directory / f"done {example['x']}").touch()
        else:
            wait_for(lambda: len(list(self.directory.glob("done *"))) >= self.others)
        return float(example["x"])


def visible_gpus(example: Any) -> float:
    time.sleep(0.2)  # So that all workers have something to do.
    return float(os.environ["CUDA_VISIBLE_DEVICES"].replace(",", "."))


def add(example: Any) -> float:
    return sum(example.values()) + draws()


def is_callable(example: Any) -> float:
    return float(callable(example["x"]))
