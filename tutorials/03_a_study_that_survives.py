"""03 A study that survives: keep it in a file, kill it, go on, and use more processes.

Run it with `python tutorials/03_a_study_that_survives.py`. It takes half a minute on a CPU.
"""

import functools
import multiprocessing
import os
import tempfile
import time

import torch
from sklearn.datasets import load_digits

import symnas as sn
from symnas import nn

# The tests of symnas run this file with a smaller budget. You can ignore this line.
QUICK = bool(os.environ.get("SYMNAS_QUICK"))
EXAMPLES = 8 if QUICK else 24

# %% What is searched
# The network of the first tutorial, on the same digits.

width = sn.oneof([8, 16, 32, 64], name="width")
space = nn.Sequential(
    nn.Linear(64, width),
    sn.oneof([nn.ReLU(), nn.Tanh(), nn.GELU()], name="activation"),
    nn.Dropout(sn.floatv(0.0, 0.5, name="dropout")),
    nn.Linear(width, 10),
)
digits = load_digits()
images = torch.tensor(digits.data / 16, dtype=torch.float32)  # (1797, 64) in [0, 1].
labels = torch.tensor(digits.target)  # (1797,)
evaluate = sn.training.Classifier(
    (images[:600], labels[:600]),
    (images[600:1200], labels[600:1200]),
    epochs=2 if QUICK else 8,
    optimizer=functools.partial(torch.optim.AdamW, lr=3e-3),
)


# %% A name and a place
# With `storage=` everything is written to a file as it happens, and `name=` is how the
# study is found there. A database server works the same way: pass its SQLAlchemy URL.


def search(storage, name="digits", **options):
    return sn.search(
        space,
        evaluate,
        sn.algorithms.RegularizedEvolution(population_size=6, tournament_size=3),
        EXAMPLES,
        seed=0,
        storage=storage,
        name=name,
        progress=False,
        **options,
    )


def rewards(result):
    return [trial.rewards for trial in result.trials]


# Workers import this file to find `evaluate`. What is to run once goes below this line,
# as in any Python program that starts processes.

if __name__ == "__main__":
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "studies.db")

    # %% Pull the plug
    # We run the search in a process of its own, wait until some results are in, and kill
    # it: with SIGKILL, so it cannot tidy up. The trial that was running is lost with it.

    process = multiprocessing.get_context("spawn").Process(target=search, args=(path,))
    process.start()
    while not os.path.exists(path) or not any(
        study.num_ended >= 3 for study in sn.list_studies(path)
    ):
        time.sleep(0.01)
    process.kill()
    process.join()

    left = sn.load_study(path, "digits")
    print("unfinished:", 3 <= left.num_completed < EXAMPLES)
    # > unfinished: True

    # %% Go on
    # Just run the same program again. It reads what is known, gives the lost trial out
    # again under the same number, and continues. Not only roughly: the algorithm proposes
    # what it would have proposed, weights start as they would have, so the whole study
    # equals one that was never killed.

    resumed = search(path)
    straight = search(os.path.join(folder, "other.db"))
    print(len(resumed.trials), "trials, as if never killed:", end=" ")
    print(rewards(resumed) == rewards(straight))
    # > 24 trials, as if never killed: True

    # %% More processes
    # `workers=2` evaluates two networks at a time. But then the third proposal comes when
    # one of the first two results is still out, and which one depends on the machine's
    # mood. `lag=2` takes the mood out: proposal i knows the results up to i - 2, whoever
    # was faster. One worker or two, the study is the same.

    two = search(path, name="with two workers", workers=2, lag=2)
    one = search(path, name="with one worker", workers=1, lag=2)
    print("two workers find what one finds:", rewards(two) == rewards(one))
    # > two workers find what one finds: True

    # Without `lag` nobody waits for a straggler; that is what you want when you only care
    # for the best network. For more machines run this same program on each of them, with
    # a database URL as `storage`, or pass `engine="ray"`.

    # %% Look at it later
    # All studies of a file, and one of them. Reading executes nothing that is stored. To
    # build networks again, hand over the space, whose code the file does not have.

    for study in sn.list_studies(path):
        print(study.name, study.num_ended)
    # > digits 24
    # > with two workers 24
    # > with one worker 24

    result = sn.load_study(path, "digits", space)
    model = result.best_model()
    print(type(model).__name__, result.best.id == straight.best.id)
    # > Sequential True
    result.to_csv(os.path.join(folder, "digits.csv"))
