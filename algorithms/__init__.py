"""Search algorithms, one file each."""

import re

if __name__ == "algorithms":
    raise ImportError(
        "Import `symnas.algorithms`: "
        "plain `algorithms` would be a second copy of every class."
    )

from symnas.algorithm import Algorithm as Algorithm
from symnas.algorithm import PyGloveAlgorithm as PyGloveAlgorithm
from symnas.algorithms.asha import ASHA as ASHA
from symnas.algorithms.bayesian_optimization import (
    BayesianOptimization as BayesianOptimization,
)
from symnas.algorithms.bohb import BOHB as BOHB
from symnas.algorithms.dehb import DEHB as DEHB
from symnas.algorithms.differential_evolution import (
    DifferentialEvolution as DifferentialEvolution,
)
from symnas.algorithms.grid_search import GridSearch as GridSearch
from symnas.algorithms.hyperband import Hyperband as Hyperband
from symnas.algorithms.l2nas import L2NAS as L2NAS
from symnas.algorithms.local_search import LocalSearch as LocalSearch
from symnas.algorithms.nsga2 import NSGA2 as NSGA2
from symnas.algorithms.random_search import RandomSearch as RandomSearch
from symnas.algorithms.regularized_evolution import (
    RegularizedEvolution as RegularizedEvolution,
)
from symnas.algorithms.reinforce import Reinforce as Reinforce
from symnas.algorithms.successive_halving import SuccessiveHalving as SuccessiveHalving
from symnas.algorithms.swap_nas import SwapNAS as SwapNAS
from symnas.algorithms.tpe import TPE as TPE


def by_name() -> dict[str, type[Algorithm]]:
    """The algorithms that have a name: `RandomSearch` is 'random_search' and 'random'."""
    found = {}
    for name, value in globals().items():
        public = isinstance(value, type) and issubclass(value, Algorithm)
        if public and value not in (Algorithm, PyGloveAlgorithm):
            found[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()] = value
    found["random"] = RandomSearch
    found["grid"] = GridSearch
    return found
