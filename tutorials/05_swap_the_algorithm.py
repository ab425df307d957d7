"""05 Swap the algorithm: one argument, six algorithms, one plot.

Run it with `python tutorials/05_swap_the_algorithm.py`. It takes half a minute on a CPU.
"""

import functools
import os
import statistics
import tempfile

import torch
from sklearn.datasets import load_digits

import symnas as sn
from symnas import nn

# The tests of symnas run this file with a smaller budget. You can ignore this line.
QUICK = bool(os.environ.get("SYMNAS_QUICK"))
SEEDS, EXAMPLES = (1, 6) if QUICK else (4, 30)

# %% What is searched
# A network for handwritten digits, with decisions of all kinds: a choice, a conditional
# one, a whole number on a logarithmic scale, a float.

width = sn.intv(4, 64, log=True, name="width")
regularizer = sn.oneof(
    [
        nn.Identity(),
        nn.Dropout(sn.floatv(0.0, 0.8, name="dropout")),
        nn.BatchNorm1d(width),
    ],
    name="regularizer",
)
space = nn.Sequential(
    nn.Linear(64, width),
    sn.oneof([nn.ReLU(), nn.Tanh(), nn.Sigmoid()], name="activation"),
    regularizer,
    nn.Linear(width, 10),
)
digits = load_digits()
images = torch.tensor(digits.data / 16, dtype=torch.float32)  # (1797, 64) in [0, 1].
labels = torch.tensor(digits.target)  # (1797,)
evaluate = sn.training.Classifier(
    (images[:300], labels[:300]),
    (images[300:], labels[300:]),
    epochs=6,
    optimizer=functools.partial(torch.optim.Adam, lr=1e-2),
)

# %% One argument
# Every algorithm takes every space, so nothing else changes.

ALGORITHMS = (
    "random_search",
    "regularized_evolution(population_size=10, tournament_size=3)",
    "differential_evolution(population_size=10)",
    "reinforce",
    "tpe",
    "bayesian_optimization",
)


def search(algorithm, seed):
    return sn.search(space, evaluate, algorithm, EXAMPLES, seed=seed, progress=False)


results = {
    text.partition("(")[0]: [search(text, seed) for seed in range(SEEDS)]
    for text in ALGORITHMS
}
for name, found in results.items():
    best = [result.best.reward for result in found]
    mean, low, high = statistics.mean(best), min(best), max(best)
    print(f"{name}: {mean:.3f}, from {low:.3f} to {high:.3f}")
# > random_search: 0.807, from 0.794 to 0.815
# > regularized_evolution: 0.805, from 0.788 to 0.814
# > differential_evolution: 0.806, from 0.780 to 0.824
# > reinforce: 0.811, from 0.805 to 0.821
# > tpe: 0.814, from 0.805 to 0.830
# > bayesian_optimization: 0.821, from 0.816 to 0.824

# %% One plot
# The best so far, as a page that opens anywhere: the median of the seeds, and quartiles.

page = os.path.join(tempfile.mkdtemp(), "algorithms.html")
sn.plots.best_so_far(results).write_html(page)
print(os.path.basename(page))
# > algorithms.html

# %% An object instead of a name
# A text can set fields, as above. An object is the same, and says what there is to set.

algorithm = sn.algorithms.DifferentialEvolution(population_size=10)
print(algorithm.strategy, algorithm.mutation_factor)
# > rand1 0.5

# Which one to take: docs/algorithms.md says what each can do, docs/results.md how they do
# on a benchmark. With thirty examples and this noise no table can tell them apart for
# sure, so begin with random search and see what the others add to it.
