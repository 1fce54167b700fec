"""What is shown of backpropagation, computed by other roads: the chain rule in NumPy, differences, checkpoints."""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins import MixedPrecision
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from experiment.backprop.tags import Backprop
from experiment.points.classifier import PointsClassifier
from experiment.points.net import SimpleNet
from tests import faults
from tests.conftest import checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
ACTIVATIONS = {
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "linear": (lambda z: z, np.ones_like),
}
Weights = dict[str, np.ndarray]


def events(directory: Path) -> EventAccumulator:
    return EventAccumulator(str(directory), size_guidance={"scalars": 0, "histograms": 0}).Reload()


def scalars_at(directory: Path, step: int) -> dict[str, float]:
    found = events(directory)
    return {tag: e.value for tag in found.Tags()["scalars"] for e in found.Scalars(tag) if e.step == step}


def weights(directory: Path) -> Weights:
    state = checkpoint(directory)["state_dict"]
    return {name.removeprefix("net."): tensor.double().numpy() for name, tensor in state.items()}


def initial(hidden: list[int], seed: int = 0) -> Weights:
    torch.manual_seed(seed)
    return {name: tensor.double().numpy() for name, tensor in SimpleNet(hidden, "relu").state_dict().items()}


def points(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.RandomState(seed).rand(count, 2) * 2 - 1
    return x.astype(np.float32).astype(float), (x.sum(axis=1) > 0)[:, None] * 1.0


def loss(w: Weights, x: np.ndarray, y: np.ndarray, activation: str) -> float:
    a = x
    layers = len(w) // 2
    for i in range(1, layers + 1):
        z = a @ w[f"fc{i}.weight"].T + w[f"fc{i}.bias"]
        a = ACTIVATIONS[activation][0](z)
    return float(np.mean(np.logaddexp(0, z) - y * z))


def chain_rule(w: Weights, x: np.ndarray, y: np.ndarray, activation: str) -> tuple[Weights, Weights]:
    """The error of each layer, and the gradient of each parameter."""
    layers = len(w) // 2
    inputs, outputs = [x], []
    for i in range(1, layers + 1):
        outputs.append(inputs[-1] @ w[f"fc{i}.weight"].T + w[f"fc{i}.bias"])
        inputs.append(ACTIVATIONS[activation][0](outputs[-1]))
    delta = (1 / (1 + np.exp(-outputs[-1])) - y) / len(x)
    errors, gradients = {}, {}
    for i in range(layers, 0, -1):
        errors[f"fc{i}"] = delta
        gradients[f"fc{i}.weight"], gradients[f"fc{i}.bias"] = delta.T @ inputs[i - 1], delta.sum(axis=0)
        if i > 1:
            delta = delta @ w[f"fc{i}.weight"] * ACTIVATIONS[activation][1](outputs[i - 2])
    return errors, gradients


def differences(w: Weights, *batch: Any) -> Weights:
    """Central finite differences of the loss."""
    gradients = {name: np.zeros_like(values) for name, values in w.items()}
    for name, values in w.items():
        for index in np.ndindex(values.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = {key: each.copy() for key, each in w.items()}
                moved[name][index] += step
                ends.append(loss(moved, *batch))
            gradients[name][index] = (ends[0] - ends[1]) / 2e-6
    return gradients


def norms(prefix: str, values: Weights) -> dict[str, float]:
    return {f"{prefix}/{name}": float(np.linalg.norm(each)) for name, each in values.items()}


def see(directory: Path, step: int, expected: dict[str, float], rel: float = 2e-4) -> None:
    found = scalars_at(directory, step)
    assert {tag: found[tag] for tag in expected} == pytest.approx(expected, rel=rel, abs=1e-8)


@pytest.mark.parametrize(
    ("hidden", "activation", "extra"),
    [
        ([4], "relu", []),
        ([3, 2], "tanh", ["model.loss=bce_with_logits"]),
        ([5, 4, 3], "sigmoid", ["optimizer=adam"]),
        ([], "linear", ["trainer.gradient_clip_val=0.01"]),
    ],
)
@pytest.mark.parametrize("step", [0, 7])
def test_every_value_by_another_road(run, hidden, activation, extra, step):
    common = [f"model.hidden={hidden}", f"model.activation={activation}", "backprop.every_n_steps=1", *extra]
    before = weights(run(*common, f"trainer.max_epochs={step}")) if step else initial(hidden)
    directory = run(*common, f"trainer.max_epochs={step + 1}")
    after = weights(directory)
    errors, gradients = chain_rule(before, *points(100), activation)
    see(directory, step, norms("error", errors) | norms("gradient", gradients))
    see(directory, step, norms("gradient", differences(before, *points(100), activation)), rel=1e-3)
    ratios = {name: np.linalg.norm(after[name] - before[name]) / np.linalg.norm(before[name]) for name in before}
    see(directory, step, {f"update_ratio/{name}": ratio for name, ratio in ratios.items()}, rel=1e-3)
    assert scalars_at(directory, step)["train/loss"] == pytest.approx(loss(before, *points(100), activation), rel=1e-5)


def test_adam_on_mini_batches(run):
    """The batch is that of the step, and the update Adam's, by its formula, from the state in the checkpoint."""
    common = ["data.num_points=40", "data.batch_size=10", "optimizer=adam", "backprop.every_n_steps=1"]
    directory = run(*common, "trainer.max_epochs=2")
    before, state = weights(directory), checkpoint(directory)["optimizer_states"][0]["state"]
    order = np.random.default_rng([0, 3, 2]).permutation(40)
    x, y = (each[order[:10]] for each in points(40))
    run(*common, "trainer.max_epochs=3")
    errors, gradients = chain_rule(before, x, y, "relu")
    expected = norms("error", errors) | norms("gradient", gradients)
    for number, name in enumerate(before):
        first = 0.9 * state[number]["exp_avg"].double().numpy() + 0.1 * gradients[name]
        second = 0.999 * state[number]["exp_avg_sq"].double().numpy() + 0.001 * gradients[name] ** 2
        update = 1e-3 * first / (1 - 0.9**9) / (np.sqrt(second / (1 - 0.999**9)) + 1e-8)
        expected[f"update_ratio/{name}"] = np.linalg.norm(update) / np.linalg.norm(before[name])
    see(directory, 8, expected, rel=1e-3)


def test_a_step_of_several_batches_is_one_step(run):
    common = ["data.num_points=40", "data.batch_size=10", "trainer.accumulate_grad_batches=2"]
    directory = run(*common, "backprop.every_n_steps=1", "trainer.max_epochs=1")
    order = np.random.default_rng([0, 3, 0]).permutation(40)
    x, y = (each[order[:20]] for each in points(40))
    errors, gradients = chain_rule(initial([4]), x, y, "relu")
    see(directory, 0, norms("error", errors) | norms("gradient", gradients))
    assert [event.step for event in events(directory).Scalars("error/fc1")] == [0, 1]


def test_the_digits_as_they_stand(run):
    """All pictures in one batch, so that its order does not matter; the cross-entropy of ten classes."""
    arguments = ["--config-dir", str(faults.ROOT / "examples/digits"), "experiment=digits", "data.batch_size=2000"]
    arguments += ["model.dropout=0", "backprop.every_n_steps=1", "optimizer=sgd"]
    directory = run(*arguments, "trainer.max_epochs=3")
    w = weights(directory)
    run(*arguments, "trainer.max_epochs=4")
    from digits import Digits

    x, y = (torch.stack(each).double().numpy() for each in zip(*Digits(2000).train, strict=True))
    z1 = x @ w["0.weight"].T + w["0.bias"]
    z2 = np.maximum(z1, 0) @ w["3.weight"].T + w["3.bias"]
    probabilities = np.exp(z2) / np.exp(z2).sum(axis=1, keepdims=True)
    delta2 = (probabilities - np.eye(10)[y.astype(int)]) / len(x)
    delta1 = delta2 @ w["3.weight"] * (z1 > 0)
    gradients = {"3.weight": delta2.T @ np.maximum(z1, 0), "3.bias": delta2.sum(axis=0)}
    gradients |= {"0.weight": delta1.T @ x, "0.bias": delta1.sum(axis=0)}
    see(directory, 3, norms("error", {"3": delta2, "0": delta1}) | norms("gradient", gradients))


def test_the_histograms_are_of_the_elements_before_the_step(run):
    directory = run("trainer.max_epochs=60", "backprop.every_n_steps=null")
    found = events(directory)
    _, gradients = chain_rule(initial([4]), *points(100), "relu")
    for name, before in initial([4]).items():
        for tag, elements in ((f"weights/{name}", before), (f"gradients/{name}", gradients[name])):
            first, second = found.Histograms(tag)
            assert (first.step, second.step) == (0, 50)
            histogram = first.histogram_value
            assert histogram.num == elements.size
            assert (histogram.min, histogram.max) == pytest.approx((elements.min(), elements.max()), rel=1e-4)
            assert histogram.sum == pytest.approx(elements.sum(), rel=1e-4, abs=1e-7)
            assert sum(histogram.bucket) == elements.size
    assert not [tag for tag in found.Tags()["scalars"] if tag.startswith(("error/", "gradient/", "update_ratio/"))]


def test_the_intervals_are_kept_and_null_is_never(run):
    directory = run("trainer.max_epochs=25", "backprop.every_n_steps=7", "backprop.histogram_every_n_steps=null")
    found = events(directory)
    for tag in ("error/fc1", "error/fc2", "gradient/fc1.bias", "update_ratio/fc2.weight"):
        assert [event.step for event in found.Scalars(tag)] == [0, 7, 14, 21]
    assert not found.Tags()["histograms"]


def test_a_resumed_run_has_each_value_once_and_the_same(run):
    common = ["data.num_points=60", "data.batch_size=7", "data.noise=0.1", "backprop.every_n_steps=3"]
    run(*common, "trainer.max_epochs=4")
    directory = run(*common, "trainer.max_epochs=7")
    straight = run(*common, "trainer.max_epochs=7", name="straight")
    for tag in events(straight).Tags()["scalars"]:
        ours, theirs = ([(e.step, e.value) for e in events(each).Scalars(tag)] for each in (directory, straight))
        assert ours == theirs
    for tag in events(straight).Tags()["histograms"]:
        ours, theirs = (
            [(e.step, e.histogram_value) for e in events(each).Histograms(tag)] for each in (directory, straight)
        )
        assert ours == theirs


@pytest.mark.draws
def test_no_tag_has_two_kinds(run):
    tags = events(run("trainer.max_epochs=5")).Tags()
    every = [tag for kind in ("scalars", "histograms", "images", "tensors") for tag in tags[kind]]
    assert len(every) == len(set(every))


def fit(tmp_path: Path, **arguments: Any) -> dict[str, float]:
    """Three steps by Lightning alone, without this project's runs."""
    torch.manual_seed(0)
    model = PointsClassifier([4], "relu", "bce_with_logits", lambda parameters: torch.optim.SGD(parameters, 0.1))
    x, y = (torch.tensor(each, dtype=torch.float32) for each in points(64))
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, y), batch_size=64 // arguments.get("devices", 1)
    )
    logger = TensorBoardLogger(str(tmp_path), name="", version="")
    trainer = Trainer(
        **{"accelerator": "cpu", "devices": 1, "max_epochs": 3} | arguments,
        **{"callbacks": Backprop(1, None), "logger": logger, "log_every_n_steps": 1, "enable_checkpointing": False},
        **{"enable_progress_bar": False, "enable_model_summary": False},
    )
    trainer.fit(model, loader)
    return {tag: value for tag, value in scalars_at(tmp_path, 2).items() if tag.startswith(("error", "grad", "update"))}


def test_a_scaled_loss_is_shown_unscaled(tmp_path):
    plain = fit(tmp_path / "plain")
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaled = fit(tmp_path / "scaled", plugins=MixedPrecision("16-mixed", "cpu", scaler=scaler))
    assert scaled == pytest.approx(plain, rel=0.02)
    assert scaled != plain


def test_two_processes_show_the_error_of_all_points(tmp_path):
    assert fit(tmp_path / "two", devices=2, strategy="ddp_fork") == pytest.approx(fit(tmp_path / "one"), rel=1e-4)


def test_any_logger_gets_the_scalars(tmp_path):
    model = PointsClassifier([4], "relu", "bce", lambda parameters: torch.optim.SGD(parameters, 0.1))
    x, y = (torch.tensor(each, dtype=torch.float32) for each in points(10))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=10)
    logger = CSVLogger(str(tmp_path), name="", version="")
    Trainer(
        **{"accelerator": "cpu", "max_epochs": 1, "callbacks": Backprop(1, 1), "logger": logger},
        **{"enable_checkpointing": False, "enable_progress_bar": False, "log_every_n_steps": 1},
    ).fit(model, loader)
    assert "error/fc1" in (tmp_path / "metrics.csv").read_text()


class Odd(PointsClassifier):
    """In-place activations, a layer that is used twice, one that is frozen, and a bias that is zero."""

    def __init__(self) -> None:
        super().__init__([4], "relu", "bce_with_logits", lambda parameters: torch.optim.SGD(parameters, 0.1))
        self.net = nn.Sequential(
            *(nn.Linear(2, 3), nn.ReLU(inplace=True), shared := nn.Linear(3, 3), nn.ReLU(inplace=True), shared),
            nn.Linear(3, 1),
        )
        self.net[0].requires_grad_(False)
        nn.init.zeros_(self.net[5].bias)


def test_odd_modules(tmp_path):
    torch.manual_seed(1)
    model = Odd()
    x, y = (torch.tensor(each, dtype=torch.float32) for each in points(10))
    zs: list[torch.Tensor] = []
    a = x
    for layer in model.net:
        a = layer(a.clone())  # what follows in place leaves z as it was
        if isinstance(layer, nn.Linear) and a.requires_grad:
            a.retain_grad()
            zs.append(a)
    model.loss(a, y).backward()
    expected = {"2": torch.stack([zs[0].grad, zs[1].grad]).norm(), "5": zs[2].grad.norm()}
    model.zero_grad()
    logger = TensorBoardLogger(str(tmp_path), name="", version="")
    Trainer(
        **{"accelerator": "cpu", "max_epochs": 1, "callbacks": Backprop(1, 1), "logger": logger},
        **{"enable_checkpointing": False, "enable_progress_bar": False, "log_every_n_steps": 1},
    ).fit(model, torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=10))
    found = scalars_at(tmp_path, 0)
    for layer, norm in expected.items():
        assert found[f"error/{layer}"] == pytest.approx(float(norm), rel=1e-5)
    assert "error/0" not in found
    assert "gradient/0.weight" not in found
    assert found["update_ratio/5.bias"] == np.inf


PAGE = (faults.ROOT / "docs/backpropagation.md").read_text()


def test_the_lines_of_code_that_the_page_shows_are_the_projects():
    source = "".join(path.read_text() for path in (faults.ROOT / "src").rglob("*.py"))
    lines = re.findall(r"```python\n(.*?)\n```", PAGE, re.DOTALL)
    assert len(lines) == 4
    assert all(line in source for line in lines)


def test_the_error_of_deep_sigmoids_vanishes_as_the_page_says(train):
    (command,) = re.findall(r"```sh\npython train.py (.*?)\n```", PAGE)
    assert train(*command.split(), "hydra.sweep.dir=sweep") == 0
    for activation in ("sigmoid", "relu"):
        (directory,) = Path("sweep").glob(f"*model.activation={activation}")
        errors = [scalars_at(directory, 990)[f"error/fc{i}"] for i in range(1, 7)]
        vanished = [error < 0.2 * later for error, later in itertools.pairwise(errors)]
        assert vanished == [activation == "sigmoid"] * 5
