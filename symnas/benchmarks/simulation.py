"""The clock of a search that looks up what it would have trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from symnas.benchmarks.evaluator import Evaluator
from symnas.benchmarks.table import Seed

if TYPE_CHECKING:
    from symnas.benchmarks.benchmark import Benchmark


class TimeIsUp(RuntimeError):
    """The budget of a simulated clock is used up.

    Example:

    >>> from symnas.benchmarks import NASBench201, TimeIsUp
    >>> simulation = NASBench201.synthetic().simulate("cifar10", seconds=1.0)
    >>> try:
    ...     simulation(0)
    ... except TimeIsUp as error:
    ...     print(error)
    The simulated 1 seconds are over after 0 evaluations.
    """


class Simulation:
    """An evaluator with a clock; `Benchmark.simulate` makes it.

    An evaluation takes the training of one network, plus one pass over the validation
    data if the benchmark has its time, which is what the authors' `simulate_train_eval`
    adds up. A search ends with the clock by `stop_rules=[simulation.is_over]`. The
    evaluation that was dropped fails with `TimeIsUp`, and so do later ones. One process
    has one clock, so `workers` must be 1.

    Attributes:
      elapsed: seconds on the clock.
      num_evaluations: how many count.

    Example:

    >>> import symnas as sn
    >>> from symnas.benchmarks import NASBench201
    >>> benchmark = NASBench201.synthetic()  # Invented values.
    >>> simulation = benchmark.simulate("cifar10", seconds=12_000, crossing="drop")
    >>> result = sn.search(
    ...     benchmark.space, simulation, "random", seed=0, progress=False,
    ...     stop_rules=[simulation.is_over],
    ... )
    >>> simulation.elapsed <= 12_000 < simulation.elapsed + 1_000
    True
    """

    def __init__(
        self,
        benchmark: Benchmark,
        dataset: str,
        seconds: float,
        crossing: str,
        metric: str | None,
        budget: int | None,
        seed: Seed,
    ) -> None:
        if crossing not in ("drop", "keep"):
            raise ValueError(f"`crossing` must be 'drop' or 'keep', got {crossing!r}.")
        if not seconds > 0:
            raise ValueError(f"`seconds` must be more than 0, got {seconds!r}.")
        self.seconds, self.crossing = seconds, crossing
        self.elapsed, self.num_evaluations = 0.0, 0
        self._over = False
        self._reward = Evaluator(benchmark, dataset, metric, budget, None, seed, False)
        if not self._reward._single:
            raise ValueError("A simulation has a single `metric`.")
        metric, budget = self._reward.metrics[0], self._reward.budget
        dataset = benchmark._search_dataset(dataset, metric)
        if "train_seconds" not in benchmark.table.metrics:
            raise ValueError(
                f"{benchmark!r} has no training times, so there is no clock to simulate. "
                "The archives of its authors have them: `symnas data list` names them."
            )
        trial: Seed = None if seed == "random" else seed
        self._cost = benchmark._column(dataset, "train_seconds", budget, None, trial)
        if benchmark._validation_counts:
            self._cost = self._cost + benchmark._column(
                dataset, "valid_seconds", budget, None, trial
            )

    def cost(self, architecture: Any) -> float:
        """The seconds that an evaluation takes; the clock does not move."""
        return float(self._cost[self._reward.benchmark.index(architecture)])

    def __call__(self, architecture: Any) -> float:
        reward = self._reward(architecture)
        cost = self.cost(architecture)
        if not self._over and self.elapsed + cost > self.seconds:
            self._over = True
            if self.crossing == "keep" and self.elapsed < self.seconds:
                self.elapsed += cost
                self.num_evaluations += 1
                return reward
        if self._over:
            raise TimeIsUp(
                f"The simulated {self.seconds:,g} seconds are over after "
                f"{self.num_evaluations} evaluations."
            )
        self.elapsed += cost
        self.num_evaluations += 1
        return reward

    def is_over(self, study: Any = None) -> str | None:
        """A stop rule: why the search should end, or None."""
        if self._over or self.elapsed >= self.seconds:
            return f"the simulated {self.seconds:,g} seconds are over"
        return None

    def __reduce__(self) -> Any:
        raise TypeError(
            "A simulation has one clock and cannot be sent to other processes: search "
            "with `workers=1`."
        )
