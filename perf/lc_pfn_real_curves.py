"""How well LC-PFN predicts real learning curves, beside baselines and MCMC.

    python perf/lc_pfn_real_curves.py               # MCMC on 10 curves of each set
    python perf/lc_pfn_real_curves.py 0 my.safetensors

Needs the tables of `SYMNAS_DATA` (taskset, nlp_rnn); the curves of the demo are trained
here. All on the normalised scale, where higher is better: losses by `log_loss` of the
untrained model (a chance guess), accuracies as they are. Errors are those of the median;
scores are logarithms of the density. One thread.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import report

import symnas as sn
from symnas import demo
from symnas.predictors import LCPFN, Normalizer
from symnas.predictors.lc_pfn.last_value import LastValue
from symnas.predictors.lc_pfn.mcmc import MCMC
from symnas.predictors.lc_pfn.power_law import PowerLaw
from symnas.training import Classifier

DATA = Path(os.environ.get("SYMNAS_DATA", "../shared/data"))
SHARES = (0.1, 0.2, 0.4, 0.8)
PER_TASK = 100  # Curves of each of the 12 tasks of Taskset.
DEMO = 60  # Networks of the demo's space.
WORDS = 33_278  # Of WikiText-2: an untrained model's loss is the logarithm.
FLAT = 0.005  # All values of a constant curve lie as close.
FALL = 0.05  # A diverging one ends this far below its start, or not finite.


def main(num_mcmc: int = 10, weights: str = "small") -> None:
    torch.set_num_threads(1)
    predictors: dict[str, Any] = {
        "LC-PFN": LCPFN.load(weights),
        "last value": LastValue(),
        "power law": PowerLaw(),
    }
    sets = {"Taskset": taskset(), "NAS-Bench-NLP": nas_bench_nlp(), "demo": digits()}
    rows = []
    for name, curves in sets.items():
        finite = np.isfinite(curves).all(axis=1)
        curves = np.where(np.isfinite(curves), curves, 0.0)  # What an infinite loss is.
        flat = np.ptp(curves, axis=1) <= FLAT
        diverging = (~finite | (curves[:, -1] < curves[:, 0] - FALL)) & ~flat
        parts = {
            "others": curves[~flat & ~diverging],
            "constant": curves[flat],
            "diverging": curves[diverging],
        }
        for part, chosen in parts.items():
            if len(chosen):
                rows += table(f"{name}, {len(chosen)} {part}", chosen, predictors)
    columns = ["curves", "observed", *(f"{p}: error, score" for p in predictors)]
    report("How well are real curves predicted?", columns, rows)
    if num_mcmc:
        predictors = {"LC-PFN": predictors["LC-PFN"], "MCMC": MCMC()}
        rows = []
        for name, curves in sets.items():
            usual = np.isfinite(curves).all(axis=1) & (np.ptp(curves, axis=1) > FLAT)
            rows += table(f"{name}, {num_mcmc}", curves[usual][:num_mcmc], predictors)
        columns = ["curves", "observed", *(f"{p}: error, score" for p in predictors)]
        report("And beside MCMC over the same prior?", columns, rows)


def table(title: str, curves: Any, predictors: dict[str, Any]) -> list[list[str]]:
    """Mean absolute error and log score over all later steps, at each share."""
    length = curves.shape[1]
    rows = []
    for share in SHARES:
        cutoff = round(share * length)
        later, cells = curves[:, cutoff:], []
        for predictor in predictors.values():
            steps = np.arange(cutoff + 1, length + 1)
            predicted = predictor.predict(curves[:, :cutoff], steps)
            error = np.abs(predicted.median - later).mean()
            score = predicted.log_likelihood(later).mean()
            cells.append(f"{error:.4f}, {score:.2f}")
        rows.append([title, f"{cutoff} of {length}", *cells])
    return rows


def taskset() -> Any:
    """Validation losses after epochs 1 to 50."""
    rng, found = np.random.default_rng(0), []
    for path in sorted((DATA / "taskset").glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            losses = file["valid_loss"]
        losses = np.where(np.isnan(losses), np.inf, losses)
        normalizer = Normalizer.log_loss(float(np.median(losses[:, 0])))
        drawn = rng.permutation(len(losses))[:PER_TASK]
        found.append(normalizer(losses[drawn, 1:]))
    return np.concatenate(found)


def nas_bench_nlp() -> Any:
    """Validation losses of 345 recurrent networks after epochs 1 to 50."""
    path = DATA / "nlp_rnn" / "nas_bench_nlp_wikitext2_curves.npz"
    with np.load(path, allow_pickle=False) as file:
        losses = file["val_loss"]
    losses = np.where(np.isnan(losses), np.inf, losses)
    return Normalizer.log_loss(float(np.log(WORDS)))(losses)


def digits() -> Any:
    """Validation accuracies of the demo's trainings, of random networks of its space."""
    train, valid, _ = demo.load_images()
    classifier = Classifier(train, valid, epochs=demo.EPOCHS, **demo.RECIPE)
    space, curves = sn.SearchSpace(demo.search_space()), []
    for seed in range(DEMO):
        torch.manual_seed(seed)
        genotype = space.random(np.random.default_rng(seed), 1)[0]
        model = space.build(genotype)
        curves.append([metrics["reward"] for metrics in classifier(model)])
    return np.array(curves)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:])
