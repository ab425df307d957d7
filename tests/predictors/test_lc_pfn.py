"""LC-PFN: the network's symmetries, what `predict` accepts, the weights that are shipped."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import symnas as sn
from symnas.predictors import LCPFN, Normalizer
from symnas.predictors.lc_pfn.network import CurveTransformer
from symnas.predictors.lc_pfn.prior import (
    BEST_LOG_LIKELIHOOD,
    add_noise,
    prior_hash,
    sample_curves,
)
from symnas.predictors.lc_pfn.prior_scores import prior_scores
from symnas.predictors.lc_pfn.weights import load_weights, save_weights

SMALL = Path(sn.predictors.__file__).parent / "lc_pfn" / "small.safetensors"
BAR = {
    "10": 1.65,
    "20": 2.04,
    "40": 2.32,
    "80": 2.45,
}  # Log-likelihood by observed steps.
CURVE = [0.31, 0.52, 0.60, 0.65, 0.67, 0.70, 0.71]


@pytest.fixture(scope="module")
def model():
    return LCPFN.load("small")


@pytest.fixture(scope="module")
def curves():
    rng = np.random.default_rng(99)
    return add_noise(*sample_curves(60, rng), rng)


def logits(network, steps, values, asked, observed=None):
    """For one curve (steps that are asked, bins)."""
    given = (torch.tensor(array)[None].float() for array in (steps, values))
    mask = None if observed is None else torch.tensor(observed)[None]
    return network(*given, mask, torch.tensor(asked)[None].float())[0]


class TestNetwork:
    def test_it_has_the_size_that_the_docs_say(self, model):
        assert sum(p.numel() for p in model.network.parameters()) == 198_336

    def test_the_order_of_what_is_observed_does_not_matter(self, model):
        steps = np.arange(1, 8)
        order = np.random.default_rng(0).permutation(7)
        first = logits(model.network, steps, CURVE, [20, 90])
        other = logits(model.network, steps[order], np.array(CURVE)[order], [20, 90])
        assert torch.allclose(first, other, atol=1e-5)

    def test_what_else_is_asked_does_not_matter(self, model):
        few = logits(model.network, range(1, 8), CURVE, [20, 90])
        many = logits(model.network, range(1, 8), CURVE, [9, 20, 33, 34, 90, 100])
        assert torch.allclose(few, many[[1, 4]], atol=1e-5)

    def test_values_that_are_not_observed_are_not_read(self, model):
        observed = [True] * 7 + [False] * 2
        steps = range(1, 10)
        first = logits(model.network, steps, [*CURVE, 0.1, 0.2], [50], observed)
        other = logits(model.network, steps, [*CURVE, 99.0, -5.0], [50], observed)
        assert torch.equal(first, other)
        without = logits(model.network, steps[:7], CURVE, [50])
        assert torch.allclose(first, without, atol=1e-5)

    def test_heads_must_divide_the_width(self):
        with pytest.raises(ValueError, match=r"`num_heads` \(3\), got 128"):
            CurveTransformer(1, 1, 128, 3, 64, 10)


class TestPredict:
    def test_a_batch_gives_what_its_curves_give(self, model):
        batch = [CURVE, CURVE[:2], [], CURVE[:1]]
        together = model.predict(batch, [10, 50])
        assert together.median.shape == (4, 2)
        for i, curve in enumerate(batch):
            single = model.predict(curve, [10, 50])
            assert single.median.shape == (2,)
            assert single.median == pytest.approx(together.median[i], abs=1e-4)

    def test_each_curve_may_be_asked_for_its_own_steps(self, model):
        rows = model.predict([CURVE, CURVE[:3]], [[8, 9], [4, 50]])
        assert rows.median[1] == pytest.approx(
            model.predict(CURVE[:3], [4, 50]).median, abs=1e-4
        )

    def test_more_curves_than_fit_into_one_pass(self, model, curves):
        many = np.concatenate([curves[:, :5]] * 5)  # 300
        found = model.predict(many, 20).median
        assert found.shape == (300, 1)
        assert found[240:] == pytest.approx(found[:60], abs=1e-5)

    def test_steps_may_be_missing(self, model):
        steps = [1, 3, 4, 7]
        values = [CURVE[step - 1] for step in steps]
        gaps = model.predict(values, [20], observed_at=steps)
        whole = model.predict(CURVE, [20])
        assert gaps.median != pytest.approx(whole.median, abs=1e-6)
        assert gaps.median == pytest.approx(whole.median, abs=0.05)

    def test_nothing_observed_gives_the_prior(self, model):
        values = add_noise(
            *sample_curves(10_000, np.random.default_rng(3)), np.random.default_rng(4)
        )
        levels = [0.1, 0.5, 0.9]
        for step in (1, 10, 100):
            expected = np.quantile(values[:, step - 1], levels)
            found = model.predict([], step).quantile(levels)[0]
            assert found == pytest.approx(expected, abs=0.015)

    def test_a_longer_run_is_thinned(self, model):
        t = np.arange(1, 151)
        curve = 0.8 - 0.5 / t**0.5
        predicted = model.predict(curve, [200])
        assert predicted.stride == 2
        every_second = model.predict(curve[1::2], [100])
        assert predicted.median == pytest.approx(every_second.median, abs=1e-6)
        assert predicted.median == pytest.approx([0.8 - 0.5 / 200**0.5], abs=0.02)
        assert model.predict(curve[:90], [100]).stride == 1

    def test_a_loss_is_predicted_on_its_own_scale(self, model):
        t = np.arange(1, 16)
        losses = 0.3 + 2.0 / t
        predicted = model.predict(losses, [40], Normalizer.log_loss(2.3))
        assert predicted.median == pytest.approx([0.35], abs=0.08)
        low, high = predicted.quantile([0.05, 0.95])[0]
        assert low < predicted.median < high
        assert predicted.prob_greater(1.0) < 0.05

    def test_a_diverged_loss_may_be_infinite(self, model):
        losses = [2.3, 2.0, np.inf, np.inf, np.inf]
        predicted = model.predict(losses, [20], Normalizer.log_loss(2.3))
        assert predicted.median > 2.3

    def test_more_is_known_after_more_steps(self, model, curves):
        errors = [
            np.abs(
                model.predict(curves[:, :n], 100).median[:, 0] - curves[:, -1]
            ).mean()
            for n in (2, 10, 50)
        ]
        assert errors[0] > errors[1] > errors[2]

    @pytest.mark.parametrize(
        ("curve", "steps", "arguments", "message"),
        [
            ([0.1, 93.4], 9, {}, r"values must lie in \[0, 1\].*; curve 0 has 93.4"),
            ([0.1, np.inf], 9, {}, "curve 0 has inf"),
            ([0.1, np.nan], 9, {}, "Curve 0 has NaN at step 2: leave it out"),
            ([[0.1], [0.1, np.nan]], 9, {}, "Curve 1 has NaN at step 2"),
            (
                [0.1, 1.2],
                9,
                {"normalizer": Normalizer.accuracy()},
                r"hard bounds \(0.0, 1.0\) of the normalizer; curve 0 has 1.2",
            ),
            ([0.1, 0.2], 2, {}, "curve 0 has values up to step 2, got 2"),
            ([0.1, 0.2], [5, 0], {}, "curve 0 has values up to step 2, got 0"),
            ([], 0, {}, "curve 0 has values up to step 0, got 0"),
            ([0.1, 0.2], 3.5, {}, "`steps` must be whole numbers.*got 3.5"),
            ([0.1, 0.2], [], {}, r"`steps` must be whole numbers.*got \[\]"),
            ([[0.1], [0.2]], [[3]], {}, "a row for each of 2 curves, got 1"),
            ([[[0.1]]], 3, {}, r"Curve 0 must be a list of numbers, got \[\[0.1\]\]"),
            (
                [0.1, 0.2],
                9,
                {"observed_at": [3, 2]},
                "that increase; curve 0 has 2 after 3",
            ),
            ([0.1, 0.2], 9, {"observed_at": [0, 2]}, "curve 0 has 0 after 0"),
            ([0.1, 0.2], 9, {"observed_at": [1, 1]}, "curve 0 has 1 after 1"),
            ([0.1, 0.2], 9, {"observed_at": [1, 1.5]}, "curve 0 has 1.5 after 1"),
            ([0.1, 0.2], 9, {"observed_at": [1]}, r"2 values, but .* shape \(1,\)"),
            ([[0.1], [0.2]], 9, {"observed_at": [[1]]}, "each of 2 curves, got 1"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, model, curve, steps, arguments, message
    ):
        with pytest.raises(ValueError, match=message):
            model.predict(curve, steps, **arguments)


class TestWeights:
    @pytest.fixture
    def path(self, model, tmp_path):
        path = tmp_path / "own.safetensors"
        save_weights(
            path, model.network, model.borders, model.prior, {"recipe": "none"}
        )
        return path

    def test_a_file_gives_back_what_was_written(self, path, model):
        own = LCPFN.load(path)
        assert own.about["recipe"] == "none"
        found, expected = own.predict(CURVE, 50), model.predict(CURVE, 50)
        assert np.array_equal(found.masses, expected.masses)

    def test_a_name_that_is_not_shipped_is_refused(self):
        with pytest.raises(FileNotFoundError, match=r"one of \['small'\], got 'smal'"):
            LCPFN.load("smal")

    def test_a_truncated_file_is_refused(self, path):
        path.write_bytes(path.read_bytes()[:100_000])
        with pytest.raises(ValueError, match="no whole file of safetensors"):
            LCPFN.load(path)

    def test_one_changed_bit_is_noticed(self, path):
        content = bytearray(path.read_bytes())
        content[-1000] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match="was changed after it was written"):
            LCPFN.load(path)

    def test_a_foreign_file_is_refused(self, tmp_path):
        path = tmp_path / "foreign.safetensors"
        save_file({"weight": torch.zeros(2)}, path)
        with pytest.raises(ValueError, match="header says format None"):
            LCPFN.load(path)

    def test_a_pickle_is_not_opened(self, tmp_path):
        path = tmp_path / "evil.safetensors"

        class Evil:
            def __reduce__(self):
                return Path.touch, (tmp_path / "ran",)

        for content in (pickle.dumps(Evil()), b"", struct.pack("<Q", 2**60)):
            path.write_bytes(content)
            with pytest.raises(ValueError, match="no whole file of safetensors"):
                LCPFN.load(path)
        assert not (tmp_path / "ran").exists()

    def test_borders_of_another_network_are_noticed(self, path, model, tmp_path):
        mixed = tmp_path / "mixed.safetensors"
        tensors = load_file(path)
        tensors["borders"] = tensors["borders"] + 0.01
        save_file(tensors, mixed, header(path))
        with pytest.raises(ValueError, match="was changed after it was written"):
            LCPFN.load(mixed)
        save_weights(mixed, model.network, model.borders[:-1], model.prior, {})
        with pytest.raises(ValueError, match="it has 1000 borders"):
            LCPFN.load(mixed)
        save_weights(mixed, model.network, model.borders, model.prior[1:], {})
        with pytest.raises(ValueError, match=r"its prior has shape \(99, 1000\)"):
            LCPFN.load(mixed)

    @pytest.mark.parametrize(
        "sizes", [None, [4], [4, 2, 64, 4, 128, 10**12], ["a"] * 6]
    )
    def test_sizes_that_do_not_fit_are_refused(self, path, model, sizes):
        save_weights(path, model.network, model.borders, model.prior, {"sizes": sizes})
        with pytest.raises(ValueError, match="holds no network of LC-PFN"):
            LCPFN.load(path)


def header(path):
    size = struct.unpack("<Q", path.read_bytes()[:8])[0]
    return json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]


class TestShippedWeights:
    """They are the figures of the docs; `slow` measures all of them again."""

    def test_the_file_says_how_it_was_made(self):
        *_, about = load_weights(SMALL)
        assert about["recipe"]["size"] == "small"
        assert about["recipe"]["prior"] == prior_hash()
        assert SMALL.stat().st_size < 700_000
        assert load_file(SMALL)["head.weight"].dtype == torch.float16

    def test_log_likelihoods_rise_with_what_is_seen_and_stay_below_the_bound(self):
        *_, about = load_weights(SMALL)
        scores = about["log_likelihood"]
        found = [scores[observed] for observed in ("5", "10", "20", "40", "80")]
        assert found == sorted(found)
        assert found[-1] < BEST_LOG_LIKELIHOOD
        for observed, bar in BAR.items():
            assert about["log_likelihood"][observed] >= bar

    def test_a_few_curves_agree_with_what_the_file_says(self, model):
        cutoffs = (10, 80)
        scores = prior_scores(model, 200, cutoffs)
        for observed in map(str, cutoffs):
            error = scores["standard_error"][observed]
            expected = model.about["log_likelihood"][observed]
            found = scores["log_likelihood"][observed]
            assert found == pytest.approx(expected, abs=4 * error)
            assert scores["coverage_90"][observed] == pytest.approx(0.9, abs=0.06)

    def test_shuffled_curves_score_worse(self, model, curves):
        later = curves[:, 20:]
        ordered = model.predict(curves[:, :20], range(21, 101)).log_likelihood(later)
        order = np.random.default_rng(0).permuted(np.tile(range(20), (60, 1)), axis=1)
        shuffled = np.take_along_axis(curves[:, :20], order, axis=1)
        found = model.predict(shuffled, range(21, 101)).log_likelihood(later)
        assert found.mean() < ordered.mean() - 0.3

    @pytest.mark.slow
    def test_all_curves_agree_with_what_the_file_says(self, model):
        scores = prior_scores(model)
        for observed, bar in BAR.items():
            assert scores["log_likelihood"][observed] >= bar
            assert 0.87 <= scores["coverage_90"][observed] <= 0.94
        for name, figures in scores.items():
            assert figures == pytest.approx(model.about[name], abs=2e-3)
