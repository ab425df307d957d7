"""01 First search: find a better network in ten lines.

Run it with `python tutorials/01_first_search.py`. It takes some seconds on a CPU.
"""

import functools
import os

import torch
from sklearn.datasets import load_digits

import symnas as sn
from symnas import nn

# The tests of symnas run this file with a smaller budget. You can ignore this line.
QUICK = bool(os.environ.get("SYMNAS_QUICK"))

# %% Some data
# Handwritten digits that come with scikit-learn: 1,797 images of 8 x 8 pixels. We
# train on 600 of them, let the search look at 600 others, and keep the rest for the
# very end.

digits = load_digits()
images = torch.tensor(digits.data / 16, dtype=torch.float32)  # (1797, 64) in [0, 1].
labels = torch.tensor(digits.target)  # (1797,)
train = images[:600], labels[:600]
valid = images[600:1200], labels[600:1200]
test = images[1200:], labels[1200:]

# %% The search
# Write the network as you always do, but take `nn` from symnas, and `oneof` where you
# are unsure. That is a search space. The first layer's output and the second one's
# input have to agree, so we give that width a name: one name is one decision,
# wherever it stands.

width = sn.oneof([8, 16, 32, 64], name="width")
space = nn.Sequential(
    nn.Linear(64, width),
    sn.oneof([nn.ReLU(), nn.Tanh(), nn.GELU()], name="activation"),
    nn.Dropout(sn.floatv(0.0, 0.5, name="dropout")),
    nn.Linear(width, 10),
)

# What is a good network? One that is right about images it was not trained on. The
# trainer that comes with symnas returns just that, so it can be the `evaluate` of a
# search.

evaluate = sn.training.Classifier(
    train,
    valid,
    epochs=2 if QUICK else 10,
    batch_size=32,
    optimizer=functools.partial(torch.optim.AdamW, lr=3e-3),
)

result = sn.search(space, evaluate, "random", 4 if QUICK else 20, seed=0)

# %% What comes out
# `print(result)` shows the best trials.

print(result)

# > 20 trials, 0 failed
# > trial  reward  decisions
# >     3  0.9017  width=64, activation=nn.Tanh(), dropout=0.0148
# >     7  0.9000  width=64, activation=nn.Tanh(), dropout=0.3339
# >    19  0.8967  width=64, activation=nn.Tanh(), dropout=0.4119
# >    10  0.8900  width=64, activation=nn.GELU(), dropout=0.4481
# >    15  0.8800  width=64, activation=nn.ReLU(), dropout=0.3359

# Each trial knows its decisions, its metrics, how long it took, and every epoch on
# the way.

best = result.best
print(best.decisions)
# > {'width': 64, 'activation': 'nn.Tanh()', 'dropout': 0.014799133339146342}
print(len(best.measurements), "epochs, the last one:", best.metrics["valid_accuracy"])
# > 10 epochs, the last one: 0.9016666666666666

# `result.best_model()` makes the network of the best trial, with the initial weights
# it had. It is an ordinary torch module: nothing of the search is left in it.

model = result.best_model()
print(model)

# > Sequential(
# >   (0): Linear(in_features=64, out_features=64, bias=True)
# >   (1): Tanh()
# >   (2): Dropout(p=0.014799133339146342, inplace=False)
# >   (3): Linear(in_features=64, out_features=10, bias=True)
# > )

# So train it as you like, and look at the test images once.

torch.manual_seed(0)
evaluate.fit(model)
print(f"test accuracy {evaluate.score(model, *test)['accuracy']:.3f}")
# > test accuracy 0.879

# %% Another algorithm
# `random` was a name. Others are `grid` and `regularized_evolution`; pass the
# algorithm itself to configure it. It starts like random search and then changes one
# decision of a good network at a time.

evolution = sn.algorithms.RegularizedEvolution(population_size=6, tournament_size=3)
evolved = sn.search(space, evaluate, evolution, 4 if QUICK else 20, seed=0)
print(evolved.best.reward, evolved.best.decisions)
# > 0.9016666666666666 {'width': 64, 'activation': 'nn.Tanh()', 'dropout': 0.014799133339146342}

# Here the best of its random start, which both searches share, stayed the best.

# %% Your own loop
# `sn.search` is a loop around `sn.sample`, which you can also write yourself: take an
# example, do with it what you want, give its reward back. Here we only count
# parameters, and search for the largest network below 3,000 of them.

samples = sn.sample(space, "regularized_evolution", 50, seed=0)
for model, feedback in samples:
    size = sum(p.numel() for p in model.parameters())
    if size > 3000:
        feedback.skip("too large")
    else:
        feedback(size)
print(samples.result)

# > 50 trials, 0 failed
# > trial     reward  decisions
# >    20  2410.0000  width=32, activation=nn.GELU(), dropout=0.05371
# >    22  2410.0000  width=32, activation=nn.ReLU(), dropout=0.4854
# >    23  2410.0000  width=32, activation=nn.Tanh(), dropout=0.4256
# >    28  2410.0000  width=32, activation=nn.GELU(), dropout=0.4308
# >    29  2410.0000  width=32, activation=nn.Tanh(), dropout=0.1635

# The seed fixes all of this: run the file again and the same numbers come out. In
# tutorial 02 you annotate a model of your own.
