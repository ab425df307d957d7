"""04 Compare algorithms: NAS-Bench-201, published figures, regret curves, your own algorithm.

Run it with `python tutorials/04_compare_algorithms.py`. It takes half a minute on a CPU.
"""

import os
import tempfile

import symnas as sn

# The tests of symnas run this file with a smaller budget. You can ignore this line.
QUICK = bool(os.environ.get("SYMNAS_QUICK"))
SEEDS = 4 if QUICK else 50

# %% The table
# NAS-Bench-201 has trained 15,625 cells, so a search on it takes milliseconds instead of
# GPU days. The table is not part of symnas: `symnas data list` says where its authors
# publish it, and `symnas data import` reads it. Without it this tutorial goes on with
# invented values, which show how things work and nothing else.

try:
    benchmark = sn.benchmarks.NASBench201.load()
except FileNotFoundError as error:
    print(error)
    benchmark = sn.benchmarks.NASBench201.synthetic()

cell = ["nor_conv_3x3"] * 6  # The operations of the six edges.
print(f"{benchmark.query(cell, 'cifar10'):.2f} % test accuracy")
# > 93.76 % test accuracy
best = benchmark.optimum("cifar10")
print(f"{best.value:.2f} % with {best.architecture}")
# > 94.37 % with |nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|

# %% One search
# `benchmark.space` is an ordinary space, and `evaluator` a function from its examples to
# rewards: by default the validation accuracy after 12 epochs, which is what searches of
# the paper see. What they report is the test accuracy after 200 epochs of the winner.

result = sn.search(
    benchmark.space,
    benchmark.evaluator("cifar10"),
    "regularized_evolution.nas_bench_201",  # As the benchmark's paper has set it.
    110,  # What 12,000 seconds on a GPU would have trained.
    seed=0,
    progress=False,
)
winner = result.best_model()
print(f"{benchmark.query(winner, 'cifar10'):.2f} % for {winner}")
# > 93.69 % for ['nor_conv_3x3', 'skip_connect', 'nor_conv_3x3', 'skip_connect', 'nor_conv_1x1', 'nor_conv_3x3']


# %% Your own algorithm
# It is a class with `_ask`, which proposes. This one mutates one of the best examples: of
# those that were told, `self.history` has the genotypes (rows of numbers) and rewards.


class Climber(sn.algorithms.Algorithm):
    """Mutates one of the `num_parents` best examples."""

    num_parents: int = 5

    def _ask(self, n, rng):
        if len(self.history) < 2 * self.num_parents:
            return self.space.random(rng, n)
        best = self.history.rewards.argsort()[-self.num_parents :]
        return self.space.mutate(self.history.genotypes[rng.choice(best, n)], rng)


# %% Side by side
# One search says little: each algorithm runs with many seeds. `p_value` is that of a
# Wilcoxon test that it beats random search.

comparison = sn.benchmarks.compare(
    benchmark,
    {
        "random_search": sn.algorithms.RandomSearch(),
        "regularized_evolution": sn.algorithms.RegularizedEvolution.nas_bench_201(),
        "local_search": sn.algorithms.LocalSearch(),
        "climber": Climber(),
    },
    seeds=SEEDS,
)
for score in comparison.scores():
    if score.dataset == "cifar10":
        published = (
            "" if score.published is None else f", published {score.published[0]}"
        )
        beats = score.p_value is not None and score.p_value < 0.01
        print(
            f"{score.algorithm}: {score.mean:.2f} ± {score.std:.2f}{published}"
            f"{', better than random search' if beats else ''}"
        )
# > random_search: 93.72 ± 0.36, published 93.7
# > regularized_evolution: 93.99 ± 0.36, published 93.92, better than random search
# > local_search: 94.24 ± 0.22, better than random search
# > climber: 94.12 ± 0.28, better than random search

# %% Curves
# How far from the optimum each one is after each query, as a page that opens anywhere.

page = os.path.join(tempfile.mkdtemp(), "regret.html")
sn.plots.regret(comparison).write_html(page)
print(os.path.basename(page))
# > regret.html

# The same for more algorithms and 200 seeds, in parallel, as a command:
#     symnas compare --output comparison
