"""Tests of `symnas.training.Classifier`."""

import doctest
import functools
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from symnas.training import Classifier, classifier


class Rows(Dataset[Any]):
    """Hands out examples one by one, as a dataset of image files would."""

    def __init__(self, *columns: Any) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, index: int) -> Any:
        return tuple(column[index] for column in self.columns)


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([])


class Returns(nn.Module):
    """Has a parameter and returns what it is told to."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 3))
        self.function = function

    def forward(self, x_ND: Tensor) -> Any:
        return self.function(x_ND @ self.weight)


class NanInEvalMode(nn.Module):
    def forward(self, x_NC: Tensor) -> Tensor:
        return x_NC if self.training else x_NC * torch.nan


def toy(size: int = 60, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs (N, 4) in [0, 1) and which of the first three is largest."""
    inputs = torch.rand(size, 4, generator=torch.Generator().manual_seed(seed))
    return inputs, inputs[:, :3].argmax(1)


def mlp() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(4, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(16, 3),
    )


def short(**settings: Any) -> Classifier:
    return Classifier(
        **{
            "train": toy(),
            "valid": toy(30, seed=1),
            "epochs": 2,
            "batch_size": 16,
            **settings,
        }
    )


def train(model_seed: int = 0, **settings: Any) -> list[dict[str, float]]:
    """The metrics of each epoch, without the time."""
    torch.manual_seed(model_seed)
    epochs = list(short(**settings)(mlp()))
    for metrics in epochs:
        assert metrics.pop("seconds") > 0
    return epochs


def test_it_learns_digits() -> None:
    digits = load_digits()  # NumPy: 1,797 images of 8 x 8 in float64
    inputs, targets = digits.data / 16, digits.target
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    digits_classifier = Classifier(
        train=(inputs[:1200], targets[:1200]),
        valid=(inputs[1200:1500], targets[1200:1500]),
        epochs=15,
        batch_size=64,
        optimizer=functools.partial(torch.optim.AdamW, lr=5e-3),
    )
    metrics = digits_classifier.fit(model)
    assert metrics["valid_accuracy"] > 0.9
    assert metrics["train_loss"] < 0.2
    test = digits_classifier.score(model, inputs[1500:], targets[1500:])
    assert test["accuracy"] > 0.85


def test_it_yields_one_dict_per_epoch() -> None:
    epochs = list(short(epochs=3)(mlp()))
    assert [metrics["epoch"] for metrics in epochs] == [1, 2, 3]
    for metrics in epochs:
        assert metrics.keys() == {
            *("reward", "train_loss", "valid_loss", "valid_accuracy"),
            *("epoch", "seconds"),
        }
        assert metrics["reward"] == metrics["valid_accuracy"]
        assert 0 <= metrics["reward"] <= 1
    seconds = [metrics["seconds"] for metrics in epochs]
    assert 0 < seconds[0] < seconds[1] < seconds[2]


def test_fit_returns_the_last_epoch() -> None:
    torch.manual_seed(0)
    last = short().fit(mlp())
    del last["seconds"]
    assert last == train()[-1]


def test_the_same_torch_seed_gives_the_same_metrics_to_the_bit() -> None:
    assert train() == train()


def test_another_torch_seed_gives_other_metrics() -> None:
    assert train() != train(model_seed=1)


def test_the_order_of_examples_follows_the_global_seed() -> None:
    def order(seed: int) -> Tensor:
        seen: list[Tensor] = []

        def record(x_ND: Tensor) -> Tensor:
            seen.append(x_ND)
            return x_ND

        torch.manual_seed(seed)
        short(augment=record).fit(mlp())
        return torch.cat(seen)

    orders = [order(seed) for seed in (0, 0, 1)]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    first, second = orders[0][:60], orders[0][60:]
    assert not torch.equal(first, second)  # shuffled anew
    assert torch.equal(first.sort(0).values, toy()[0].sort(0).values)
    assert torch.equal(second.sort(0).values, toy()[0].sort(0).values)


def test_it_can_be_abandoned_midway_and_leaves_a_usable_model() -> None:
    model = mlp()
    weight = next(model.parameters())
    before = weight.detach().clone()
    epochs = short(epochs=1000)(model)
    metrics = next(iter(epochs))
    del epochs
    assert not any(module.training for module in model.modules())
    assert not torch.equal(weight, before)
    scores = short().score(model, *toy(30, seed=1))
    assert scores == {
        "accuracy": metrics["valid_accuracy"],
        "loss": metrics["valid_loss"],
    }


def test_no_global_state_changes_but_the_random_stream() -> None:
    def state() -> tuple[Any, ...]:
        return (
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.benchmark,
        )

    before = state()
    for _ in short()(mlp()):
        assert state() == before
    assert state() == before


def test_it_trains_where_gradients_are_off() -> None:
    with torch.no_grad():
        assert train() == train()
        off = train()
    assert off == train()


def test_a_model_comes_back_in_eval_mode() -> None:
    model = mlp()
    short().fit(model)
    assert not any(module.training for module in model.modules())


def test_gradients_from_before_do_not_count() -> None:
    torch.manual_seed(0)
    model = mlp()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e3)
    last = short().fit(model)
    del last["seconds"]
    assert last == train()[-1]


def test_frozen_parameters_stay_as_they_are() -> None:
    model = mlp()
    weight = next(model.parameters()).requires_grad_(False)
    before = weight.clone()
    short().fit(model)
    assert torch.equal(weight, before)


def test_lazy_modules_are_trained() -> None:
    model = nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(3))
    short().fit(model)
    assert model[0].weight.shape == (16, 4)


# Against a slow, obvious version.
def test_it_equals_a_loop_written_by_hand() -> None:
    (inputs, targets), (valid_inputs, valid_targets) = toy(), toy(30, seed=1)
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    expected = nn.Linear(4, 3)
    expected.load_state_dict(model.state_dict())
    metrics = Classifier(
        (inputs, targets),
        (valid_inputs, valid_targets),
        epochs=3,
        batch_size=60,  # one step per epoch, so that order does not matter
        optimizer=functools.partial(torch.optim.SGD, lr=1.0),
        label_smoothing=0.1,
    ).fit(model)

    for rate in (1.0, 0.75, 0.25):  # (1 + cos(pi k / 3)) / 2 for k = 0, 1, 2
        train_loss = (
            -(
                expected(inputs).log_softmax(1)
                * (0.9 * nn.functional.one_hot(targets, 3) + 0.1 / 3)
            )
            .sum(1)
            .mean()
        )
        parameters = list(expected.parameters())
        gradients = torch.autograd.grad(train_loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(rate * gradient)
    torch.testing.assert_close(model.weight, expected.weight)
    log_p = expected(valid_inputs).log_softmax(1)
    right = log_p.argmax(1) == valid_targets
    assert metrics["train_loss"] == pytest.approx(train_loss.item(), rel=1e-5)
    assert metrics["valid_loss"] == pytest.approx(
        -log_p[range(30), valid_targets].mean().item(), rel=1e-5
    )
    assert metrics["valid_accuracy"] == pytest.approx(right.float().mean().item())


def test_the_schedule_is_stepped_after_each_batch() -> None:
    optimizers = []

    def constant(optimizer: Any, num_steps: int) -> Any:
        optimizers.append((optimizer, num_steps))
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step)

    short(schedule=constant, epochs=3).fit(mlp())
    ((optimizer, num_steps),) = optimizers
    assert num_steps == 3 * 4  # 60 examples in batches of 16
    assert optimizer.param_groups[0]["lr"] == pytest.approx(12 * 1e-3)


def test_without_a_schedule_the_learning_rate_stays() -> None:
    optimizers: list[Any] = []

    def sgd(parameters: Any) -> Any:
        optimizers.append(torch.optim.SGD(parameters, lr=0.1))
        return optimizers[-1]

    short(schedule=None, optimizer=sgd).fit(mlp())
    assert optimizers[0].param_groups[0]["lr"] == 0.1


def test_augmentation_sees_training_batches_only() -> None:
    shapes: list[tuple[int, ...]] = []

    def record(x_ND: Tensor) -> Tensor:
        shapes.append(tuple(x_ND.shape))
        return x_ND.zero_()  # of a copy: the data survive

    inputs, targets = toy()
    before = inputs.clone()
    short(train=(inputs, targets), augment=record, epochs=1).fit(mlp())
    assert shapes == [(16, 4), (16, 4), (16, 4), (12, 4)]
    assert torch.equal(inputs, before)


@pytest.mark.parametrize(
    ("size", "batch_size", "steps"),
    [(33, 16, 2), (34, 16, 3), (16, 16, 1), (3, 1, 3), (17, 32, 1)],
)
def test_a_last_batch_of_one_is_left_out(
    size: int, batch_size: int, steps: int
) -> None:
    sizes: list[int] = []

    def record(x_ND: Tensor) -> Tensor:
        sizes.append(len(x_ND))
        return x_ND

    settings = {"train": toy(size), "batch_size": batch_size, "epochs": 1}
    short(augment=record, **settings).fit(nn.Linear(4, 3))
    assert len(sizes) == steps
    assert batch_size == 1 or 1 not in sizes


@pytest.mark.parametrize("as_dataset", [False, True])
def test_batch_normalization_survives_a_last_batch_of_one(as_dataset: bool) -> None:
    examples = toy(33)
    data: Any = Rows(*examples) if as_dataset else examples
    metrics = short(train=data, valid=data).fit(mlp())  # valid counts all 33
    assert (metrics["valid_accuracy"] * 33) % 1 == pytest.approx(0, abs=1e-9)


def test_one_example_is_trained_on() -> None:
    short(train=toy(1)).fit(nn.Linear(4, 3))
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        short(train=toy(1)).fit(mlp())


@pytest.mark.parametrize("kind", [Rows, TensorDataset])
def test_a_dataset_gives_the_metrics_of_its_tensors(kind: Any) -> None:
    datasets = {"train": kind(*toy()), "valid": kind(*toy(30, seed=1))}
    assert train(**datasets) == train()


def test_worker_processes_give_the_metrics_of_tensors() -> None:
    # Targets are NumPy integers here: the loader makes tensors of them.
    inputs, targets = toy()
    assert train(train=Rows(inputs, targets.numpy()), num_workers=1) == train()


def test_numpy_arrays_give_the_metrics_of_tensors() -> None:
    inputs, targets = (array.numpy() for array in toy())
    read_only = inputs.astype(np.float64)
    read_only.flags.writeable = False
    reversed_twice = targets[::-1].copy()[::-1].astype(np.uint8)
    assert train(train=(read_only, reversed_twice)) == train()


def test_real_inputs_take_the_dtype_of_the_model() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        short().fit(mlp().to(dtype))


def test_token_inputs_stay_integers() -> None:
    tokens = torch.randint(10, (40, 5))
    model = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(20, 2))
    targets = (tokens[:, 0] > 4).long()
    short(train=(tokens, targets), valid=(tokens, targets)).fit(model)


@pytest.mark.parametrize("as_dataset", [False, True])
@pytest.mark.parametrize("told", [False, True])
def test_the_data_go_where_the_model_is_or_goes(told: bool, as_dataset: bool) -> None:
    devices: list[str] = []

    def record(x_ND: Tensor) -> Tensor:
        devices.append(x_ND.device.type)
        return x_ND

    # The meta device, on which nothing can be computed, stands for a GPU.
    data: Any = Rows(*toy()) if as_dataset else toy()
    settings = {"train": data, "device": "meta" if told else None}
    model = mlp() if told else mlp().to("meta")
    with pytest.raises(RuntimeError, match="meta"):
        short(augment=record, **settings).fit(model)
    assert devices == ["meta"]
    assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.gpu
@pytest.mark.parametrize("as_dataset", [False, True])
def test_it_trains_on_a_gpu_and_leaves_the_model_there(as_dataset: bool) -> None:
    data: Any = Rows(*toy()) if as_dataset else toy()
    model = mlp()
    gpu = short(train=data, device="cuda", epochs=30)
    assert gpu.fit(model)["reward"] > 0.5
    assert all(parameter.is_cuda for parameter in model.parameters())
    assert gpu.score(model, *toy())["accuracy"] > 0.5


def test_score_does_not_depend_on_the_mode_and_leaves_it() -> None:
    model = mlp()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    short_classifier = short()
    scores = short_classifier.score(model, *toy(50, seed=2))
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    assert short_classifier.score(model.eval(), *toy(50, seed=2)) == scores
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_score_leaves_the_mode_of_a_model_that_fails() -> None:
    model = Returns(lambda logits: logits[:, 0])
    with pytest.raises(ValueError, match="got shape"):
        short().score(model, *toy())
    assert model.training


def test_score_takes_a_dataset_or_a_pair() -> None:
    model = mlp()
    scores = short().score(model, *toy())
    assert short().score(model, toy()) == scores
    assert short().score(model, Rows(*toy())) == scores


def test_score_needs_no_parameters() -> None:
    inputs, targets = toy()
    assert short().score(nn.Identity(), inputs[:, :3], targets)["accuracy"] == 1.0


def test_a_score_does_not_touch_the_random_stream() -> None:
    model = mlp()
    state = torch.get_rng_state()
    short().score(model, *toy())
    short().score(model, Rows(*toy()))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_training(value: float) -> None:
    calls: list[int] = []

    def break_at_the_seventh(logits: Tensor) -> Tensor:
        calls.append(len(logits))
        return logits * value if len(calls) == 7 else logits

    # 4 batches of training, 2 of validation, then the first step of epoch 2
    epochs = iter(short()(Returns(break_at_the_seventh)))
    assert next(epochs)["epoch"] == 1
    with pytest.raises(FloatingPointError, match="in epoch 2, step 1 of 4"):
        next(epochs)
    assert len(calls) == 7


def test_a_validation_loss_that_is_not_finite_is_no_reward() -> None:
    model = nn.Sequential(nn.Linear(4, 3), NanInEvalMode())
    with pytest.raises(FloatingPointError, match="got nan after epoch 1"):
        short().fit(model)
    with pytest.raises(FloatingPointError, match="got nan"):
        short().score(model, *toy())


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"epochs": 0}, ValueError, "`epochs` must be at least 1, got 0"),
        ({"epochs": 2.5}, TypeError, "`epochs` must be an integer, got 2.5"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1, got 0"),
        ({"num_workers": -1}, ValueError, "`num_workers` must be at least 0, got -1"),
        ({"label_smoothing": 1.0}, ValueError, r"must lie in \[0, 1\), got 1.0"),
        ({"label_smoothing": np.nan}, ValueError, r"must lie in \[0, 1\), got nan"),
        ({"optimizer": "adam"}, TypeError, "`optimizer` must be .*, got 'adam'"),
        ({"schedule": "cosine"}, TypeError, "`schedule` must be .*, got 'cosine'"),
        ({"augment": 3}, TypeError, "`augment` must be .*, got 3"),
        ({"device": "gpu"}, ValueError, "`device` must name .*, got 'gpu'"),
    ],
)
def test_bad_settings_are_named(settings: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        short(**settings)


@pytest.mark.parametrize("name", ["train", "valid"])
@pytest.mark.parametrize(
    ("examples", "kind", "message"),
    [
        (toy(0), ValueError, "needs at least one example, got 0"),
        (Rows([], []), ValueError, "needs at least one example, got 0"),
        ((toy(9)[0], toy(8)[1]), ValueError, r"got .* \(9, 4\) and 8 targets"),
        ((torch.tensor(1.0), toy(8)[1]), ValueError, r"shape \(\) and 8 targets"),
        ((toy()[0], toy()[1].float()), TypeError, "integer .*, got torch.float32"),
        ((toy()[0], toy()[1] > 1), TypeError, "integer .*, got torch.bool"),
        ((toy()[0], toy()[1][:, None]), ValueError, r"got shape \(60, 1\)"),
        ((toy()[0], toy()[1] - 1), ValueError, "at least 0, got -1"),
        ((toy()[0], [0] * 60), TypeError, "arrays, got a list of 60"),
        ((np.array([None]), np.array([0])), TypeError, "got dtype object"),
        (TensorDataset(toy()[0]), TypeError, "got a tuple of 1"),
        (toy()[0], TypeError, r"got a tensor of torch.float32 and shape \(60, 4\)"),
        (Endless(), TypeError, "a length and an index, got .* Endless"),
        (None, TypeError, "got a value of type NoneType"),
    ],
)
def test_bad_data_are_named(name: str, examples: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=f"`{name}` .*{message}"):
        short(**{name: examples})


@pytest.mark.parametrize(
    ("columns", "kind", "message"),
    [
        ((toy()[0],), TypeError, "got batches of a list of 1"),
        ((toy()[0], toy()[1].float()), TypeError, "integer .*, got torch.float32"),
        ((toy()[0], toy()[1] - 1), ValueError, "at least 0, got -1"),
    ],
)
def test_bad_data_in_a_dataset_are_named(columns: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=f"`train` .*{message}"):
        short(train=Rows(*columns)).fit(mlp())


@pytest.mark.parametrize("data", [toy(), Rows(*toy())])
def test_targets_without_a_logit_are_named(data: Any) -> None:
    two_classes = nn.Linear(4, 2)
    for run in (short(train=data).fit, lambda model: short().score(model, data)):
        with pytest.raises(ValueError, match=r"\[0, 2\), .* got 2"):
            run(two_classes)


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        (len, TypeError, "must be a torch.nn.Module, got a value of type builtin"),
        (Returns(lambda y: (y, y)), TypeError, "got a tuple of 2"),
        (Returns(lambda y: y.argmax(1)), TypeError, "got a tensor of torch.int64"),
        (Returns(lambda y: y[:, 0]), ValueError, r"\(16, C\) .* got shape \(16,\)"),
        (Returns(lambda y: y[1:]), ValueError, r"\(16, C\) .* got shape \(15, 3\)"),
        (Returns(lambda y: y.detach()), ValueError, "depend on its trainable"),
        (nn.Linear(5, 3), RuntimeError, r"failed on inputs of shape \(16, 4\)"),
        (nn.Identity(), ValueError, "got 0 parameters and none that does"),
        (mlp().requires_grad_(False), ValueError, "got 6 parameters and none"),
    ],
)
def test_bad_models_are_named(model: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        short().fit(model)


def test_it_pickles() -> None:
    copy = pickle.loads(pickle.dumps(short()))
    runs = []
    for each in (short(), copy):
        torch.manual_seed(0)
        last = each.fit(mlp())
        del last["seconds"]
        runs.append(last)
    assert runs[0] == runs[1]


def test_its_repr_is_the_recipe_without_the_data() -> None:
    text = repr(short())
    assert "epochs=2" in text and "AdamW" in text
    assert "tensor" not in text.lower()


def test_the_example_of_the_docstring_runs() -> None:
    results = doctest.testmod(classifier)
    assert results.attempted > 0
    assert results.failed == 0
