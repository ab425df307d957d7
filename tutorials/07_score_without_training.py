"""07 Score without training: which of your networks deserve it, in a minute.

Run it with `python tutorials/07_score_without_training.py`. It takes a minute on a CPU.
"""

import functools
import os

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

import symnas as sn
from symnas import proxies

# The tests of symnas run this file with a smaller budget. You can ignore this line.
QUICK = bool(os.environ.get("SYMNAS_QUICK"))
POOL, TRAINED, EVALUATIONS = (6, 4, 30) if QUICK else (40, 40, 600)

# %% Your own family of networks
# Any module will do: activations may be modules or functions, names do not matter.


@sn.symbolize
class Network(torch.nn.Module):
    def __init__(self, widths: list[int], kernel: int, activation: str, skip: bool):
        super().__init__()
        inputs, layers = 1, []
        for width in widths:
            layers.append(
                torch.nn.Conv2d(inputs, width, kernel, padding=kernel // 2, bias=False)
            )
            inputs = width
        self.layers = torch.nn.ModuleList(layers)
        self.norms = torch.nn.ModuleList(torch.nn.BatchNorm2d(w) for w in widths)
        self.head = torch.nn.Linear(inputs, 10)
        self.activation, self.skip = getattr(F, activation), skip

    def forward(self, x):
        """x: (N, 1, 8, 8) -> logits (N, 10)."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            y = self.activation(norm(layer(x)))
            x = x + y if self.skip and x.shape == y.shape else y
        return self.head(x.mean((2, 3)))


def family():
    widths = [sn.oneof([4, 8, 16], name=f"width{i}") for i in range(3)]
    return Network(
        widths,
        sn.oneof([1, 3, 5], name="kernel"),
        sn.oneof(["relu", "gelu", "tanh", "sigmoid"], name="activation"),
        sn.oneof([True, False], name="skip"),
    )


digits = load_digits()
images = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None]
labels = torch.tensor(digits.target)
batch, targets = images[:64], labels[:64]

# %% One network, several proxies
# A proxy gives a number to a network that was not trained; higher promises more. `score`
# shares the passes of those that look at the same thing, and leaves the model as it was.

torch.manual_seed(0)
space = sn.SearchSpace(family())
model = space.build([0, 1, 2, 1, 0, 0])
named = {
    "params": proxies.Params(),
    "synflow": proxies.SynFlow(),
    "jacob_cov": proxies.JacobCov(),
    "nwot": proxies.NWOT(),
    "swap": proxies.SWAP(),
}
scores = proxies.score(model, list(named.values()), batch, targets)
for name, score in zip(named, scores, strict=True):
    print(f"{name}: {score.value:.5g}")
# > params: 1702
# > synflow: 6.8497
# > jacob_cov: -1.3587e+05
# > nwot: 390.48
# > swap: 1207

# What has no value says why, and is not a number by accident.
print(proxies.NWOT()(torch.nn.Linear(3, 2), torch.randn(4, 3)).reason)
# > No activation function was seen.

# %% Which proxy to believe
# That depends on the family, so ask a sample of it: forty short trainings, with the number
# of parameters as what there is to beat. The interval behind each rank correlation says how
# much forty can tell. Here SWAP and Jacobian covariance are hardly better than counting.

train = sn.training.Classifier(
    (images[:600], labels[:600]),
    (images[600:], labels[600:]),
    epochs=1 if QUICK else 4,
    batch_size=32,
    optimizer=functools.partial(torch.optim.Adam, lr=1e-2),
)
sample = sn.search(family(), train, "random", TRAINED, seed=0, progress=False)
accuracies = [trial.reward for trial in sample.trials]
networks = [space.build(trial.genotype) for trial in sample.trials]
found = [proxies.score(m, list(named.values()), batch, targets) for m in networks]
table = torch.tensor([[s.value for s in row] for row in found], dtype=torch.float64)
for name, column in zip(named, table.T, strict=True):
    agreement = proxies.correlation(column, accuracies)
    low, high = agreement.interval
    print(f"{name}: {agreement.spearman:.2f} ({low:.2f} to {high:.2f})")
# > params: 0.89 (0.83 to 0.94)
# > synflow: 0.54 (0.29 to 0.72)
# > jacob_cov: 0.80 (0.70 to 0.88)
# > nwot: 0.83 (0.70 to 0.93)
# > swap: 0.90 (0.83 to 0.95)

# `RankSum` puts proxies together by their ranks, so that their scales do not matter.
together = proxies.RankSum()(table)
print(f"together: {proxies.correlation(together, accuracies).spearman:.2f}")
# > together: 0.89

# %% A proxy as the evaluation
# `on` makes a proxy what `sn.search` takes. Hundreds of networks take seconds; the evolution
# of SWAP-NAS is made for such evaluations.

evaluate = proxies.SWAP().on(batch)
result = sn.search(family(), evaluate, "swap_nas", EVALUATIONS, seed=0, progress=False)
winner = result.best
print(winner.decisions)
# > {'width0': 16, 'width1': 16, 'width2': 16, 'kernel': 5, 'activation': 'gelu', 'skip': False}
*_, last = train(space.build(winner.genotype))  # It yields after each epoch.
middle = sorted(accuracies)[len(accuracies) // 2]
print(f"trained: {last['reward']:.3f}, the middle one of the sample: {middle:.3f}")
# > trained: 0.903, the middle one of the sample: 0.413

# %% A proxy beside an algorithm
# When trainings can be afforded, let a proxy choose which: `ProxyFilter` trains the best
# scored of every few proposals of any algorithm, `ProxyWarmup` begins with good ones.

guided = proxies.ProxyFilter("regularized_evolution", evaluate, pool=10)
result = sn.search(family(), train, guided, TRAINED // 4, seed=0, progress=False)
print(f"filtered: {result.best.reward:.3f} after {len(result.trials)} trainings")
# > filtered: 0.910 after 10 trainings
