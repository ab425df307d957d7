"""Random search: independent uniform draws [1].

[1] J. Bergstra and Y. Bengio, "Random Search for Hyper-Parameter Optimization",
    JMLR 2012. https://jmlr.org/papers/v13/bergstra12a.html
"""

from __future__ import annotations

import numpy as np

from symnas.algorithm import Algorithm
from symnas.genotype import Genotypes


class RandomSearch(Algorithm):
    """Each decision uniformly on its own scale, independent of all rewards.

    The baseline that every other algorithm has to beat. Conditional decisions are drawn
    uniformly in the branch that is active, so architectures of small branches are more
    likely than others: it is uniform over decisions, not over architectures.

    Example:

    >>> import symnas as sn
    >>> space = {"width": sn.oneof([16, 32, 64]), "rate": sn.floatv(1e-4, 1e-1, "log")}
    >>> result = sn.search(
    ...     space, lambda x: -x["rate"], "random_search", 20, seed=0, progress=False
    ... )
    >>> len(result.trials)
    20
    """

    supports_multi_objective = True

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        return self.space.random(rng, n)
