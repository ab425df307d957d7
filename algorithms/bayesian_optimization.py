"""Bayesian optimization with a Gaussian process and expected improvement [1].

[1] D. R. Jones, M. Schonlau, W. J. Welch, "Efficient Global Optimization of Expensive
    Black-Box Functions", Journal of Global Optimization 1998.
    https://doi.org/10.1023/A:1008306431147
[2] J. Snoek, H. Larochelle, R. P. Adams, "Practical Bayesian Optimization of Machine
    Learning Algorithms", NeurIPS 2012. https://arxiv.org/abs/1206.2944
[3] C. White, W. Neiswanger, Y. Savani, "BANANAS: Bayesian Optimization with Neural
    Architectures for Neural Architecture Search", AAAI 2021.
    https://arxiv.org/abs/1910.11858
[4] D. Salinas et al., "A Quantile-Based Approach for Hyperparameter Transfer Learning",
    ICML 2020. https://arxiv.org/abs/1909.13595
[5] C. E. Rasmussen and C. K. I. Williams, "Gaussian Processes for Machine Learning",
    MIT Press 2006. https://gaussianprocess.org/gpml
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from symnas.algorithm import Algorithm
from symnas.genotype import Genotypes

Array = NDArray[np.float64]

_MOST_POINTS = 400  # Results that the process is fitted to: the best and newest ones.
_REFIT = (
    1.2  # Length scale and noise are fitted again when there are so many more results.
)
_NUM_PARENTS = 10  # Best results whose mutants are candidates.


class BayesianOptimization(Algorithm):
    """Proposes where a Gaussian process expects the largest improvement.

    For evaluations that take minutes or more, and up to some hundreds of them: a proposal
    takes milliseconds, and finds good examples with fewer evaluations than evolution.

    Choices are encoded one-hot, ints and floats by their place on their scale; what is
    not active is zero. The kernel is the Matern kernel with smoothness 5/2 [2] and one
    length scale, plus noise; all maximise the likelihood. Rewards are replaced by normal
    quantiles of their ranks [4], so outliers and the scale of rewards do not matter.
    Half of the candidates are mutants of the ten best examples, which matters more in
    architecture search than the model [3], and half are random. Examples that are still
    evaluated take part with the mean that is predicted for them, so that workers get
    different proposals.

    Example:

    >>> import symnas as sn
    >>> space = {"x": sn.floatv(-2.0, 2.0), "op": sn.oneof(["a", "b", "c"])}
    >>> def evaluate(x):
    ...     return -((x["x"] - 1) ** 2) - (x["op"] != "b")
    >>> result = sn.search(
    ...     space, evaluate, "bayesian_optimization", 40, seed=0, progress=False
    ... )
    >>> result.best.reward > -0.01
    True
    """

    num_startup: int = 10
    num_candidates: int = 200

    def _check(self) -> None:
        if self.num_startup < 2:
            raise ValueError(
                f"`num_startup` must be at least 2, got {self.num_startup}."
            )
        if self.num_candidates < 1:
            raise ValueError(
                f"`num_candidates` must be at least 1, got {self.num_candidates}."
            )

    def _setup(self) -> None:
        layout = self.space.layout
        owned = list(enumerate(layout.owner))
        self._numbers = [column for column, d in owned if d.kind != "choice"]
        self._choices = [(column, d.count) for column, d in owned if d.kind == "choice"]
        self._kernel: Any = None
        self._noise = 0.1
        self._num_fitted = 0  # Results that length scale and noise were fitted to.
        self._posterior: tuple[Any, _Posterior] | None = None

    def _tell(self, genotypes: Genotypes, rewards: Array) -> None:
        # At fixed numbers of results, so that a study that is taken up again repeats.
        size = len(self.history)
        for known in range(size - len(genotypes) + 1, size + 1):
            if known >= max(self.num_startup, _REFIT * self._num_fitted):
                self._fit_kernel(known)

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        if self._kernel is None:
            return self.space.random(rng, n)
        candidates = self._candidates(max(self.num_candidates, 2 * n), rng)
        order = np.argsort(-self._improvement(candidates), kind="stable")
        return candidates[np.resize(order, n)]  # Small spaces may have fewer.

    def _candidates(self, number: int, rng: np.random.Generator) -> Genotypes:
        """Mutants of the best, and random genotypes, all different and not known."""
        best = np.argsort(-self.history.rewards, kind="stable")[:_NUM_PARENTS]
        parents = self.history.genotypes[np.resize(best, number // 2)]
        found = np.vstack(
            [
                self.space.mutate(parents, rng),
                self.space.random(rng, number - len(parents)),
            ]
        )
        unique = np.unique(found, axis=0)
        known = np.vstack([self.history.genotypes, self.pending])
        keys = {row.tobytes() for row in known}
        new = unique[[row.tobytes() not in keys for row in unique]]
        return new if len(new) else found

    def _fit_kernel(self, known: int) -> None:
        """The kernel and the noise that maximise the likelihood of the first results."""
        # It takes a while to import, and most searches do not need it.
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        if self._kernel is None:
            self._kernel = ConstantKernel(1.0, (0.1, 10.0)) * Matern(
                0.5, (0.05, 20.0), nu=2.5
            )
        points, targets = self._data(known)
        both = self._kernel + WhiteKernel(self._noise, (1e-6, 1.0))
        process = GaussianProcessRegressor(both)
        with warnings.catch_warnings():
            # The best may be the least that is allowed.
            warnings.simplefilter("ignore")
            fitted = process.fit(points, targets).kernel_
        self._kernel, self._noise = fitted.k1, fitted.k2.noise_level
        self._num_fitted = known

    def _data(self, known: int) -> tuple[Array, Array]:
        """Points (n, e) and normal scores (n,) of the first results."""
        genotypes = self.history.genotypes[:known]
        rewards = self.history.rewards[:known]
        if known > _MOST_POINTS:
            best = np.argsort(-rewards, kind="stable")[: _MOST_POINTS // 2]
            newest = np.arange(known - _MOST_POINTS // 2, known)
            used = np.union1d(best, newest)
            genotypes, rewards = genotypes[used], rewards[used]
        ranks = scipy.stats.rankdata(rewards) / (len(rewards) + 1)
        return self._points(genotypes), scipy.special.ndtri(ranks)

    def _points(self, genotypes: Genotypes) -> Array:
        """Genotypes as points (n, e): two that differ in one choice are 1 apart."""
        places = self.space.encode(genotypes)
        parts = [places[:, self._numbers]]
        for column, count in self._choices:
            same = genotypes[:, column : column + 1] == np.arange(count)
            parts.append(same / np.sqrt(2.0))
        return np.hstack(parts)

    def _fitted(self) -> _Posterior:
        """The process with what is known and what is still evaluated."""
        pending = self.pending
        key = len(self.history), pending.tobytes()
        # A further attempt at the same proposal finds it.
        if self._posterior is None or self._posterior[0] != key:
            points, targets = self._data(len(self.history))
            posterior = _Posterior(self._kernel, self._noise, points, targets)
            if len(pending):
                others = self._points(pending)
                points = np.vstack([points, others])
                targets = np.append(targets, posterior.predict(others)[0])
                posterior = _Posterior(self._kernel, self._noise, points, targets)
            self._posterior = key, posterior
        return self._posterior[1]

    def _improvement(self, genotypes: Genotypes) -> Array:
        """The expected improvement (n,), equation (15) of [1]."""
        posterior = self._fitted()
        mean, deviation = posterior.predict(self._points(genotypes))
        gain = mean - posterior.best
        scaled = gain / deviation
        density = np.exp(-0.5 * scaled**2) / np.sqrt(2 * np.pi)
        improvement: Array = gain * scipy.special.ndtr(scaled) + deviation * density
        return improvement


class _Posterior:
    """A Gaussian process given targets (n,) at points (n, e), algorithm 2.1 of [5].

    Attributes:
      best: the largest mean at these points.
    """

    def __init__(
        self, kernel: Any, noise: float, points: Array, targets: Array
    ) -> None:
        self._kernel, self._points = kernel, points
        covariance = kernel(points)
        covariance[np.diag_indices_from(covariance)] += noise
        self._factor = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
        self._weights = scipy.linalg.cho_solve((self._factor, True), targets)
        self.best = float((targets - noise * self._weights).max())

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Means (m,) and standard deviations (m,) without noise at points (m, e)."""
        shared = self._kernel(points, self._points)
        known = scipy.linalg.solve_triangular(self._factor, shared.T, lower=True)
        variance = self._kernel.diag(points) - (known**2).sum(axis=0)
        return shared @ self._weights, np.sqrt(variance.clip(1e-18))
