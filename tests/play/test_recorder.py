"""What runs record of their steps: the weights, points and batches with which ``experiment.explain`` computes too."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiment.configuration.compose import compose_configuration
from experiment.play import recorder
from experiment.play.html import make_page
from experiment.play.recording import split_batches
from experiment.play.run_log import RunLog
from experiment.points.chain_rule import backpropagate
from experiment.points.replay import replay_step
from experiment.runs import events
from tests import faults
from tests.conftest import checkpoint, metrics, plain_loop


class Played:
    """What the page has of a run: its manifest and blobs, as arrays."""

    def __init__(self, directory: Path) -> None:
        recording = RunLog(directory, directory.name).recording
        self.manifest = recording.manifest()
        read = lambda name, dtype: np.frombuffer(recording.blob(name), dtype)  # noqa: E731
        self.weights = read("weights", "<f4").reshape(-1, self.manifest["size"])
        self.points = {name: read(name, "<f4").reshape(-1, 3) for name in ("training", "validation")}
        self.batches = [*split_batches(read("batches", "<u4"))] if self.manifest["batches"] else None

    def parameters(self, row: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weight and bias of each layer, float64, out of a row of weights."""
        vector = self.weights[row].astype(float)
        return [
            (
                vector[each["weight"] : each["bias"]].reshape(each["outputs"], each["inputs"]),
                vector[each["bias"] : each["bias"] + each["outputs"]],
            )
            for each in self.manifest["model"]["layers"]
        ]

    def trained_on(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The points of a step, ``[n, 3]``, and the share of each in its loss."""
        if self.batches is None:
            points = self.points["training"]
            return points, np.full(len(points), 1 / len(points))
        numbers = [*self.batches[step]]
        rows, shares = [], []
        for _ in range(numbers.pop(0)):
            count = numbers.pop(0)
            rows += numbers[:count]
            shares += [1 / count / self.manifest["accumulate"]] * count
            del numbers[:count]
        return self.points["training"][rows], np.array(shares)


def vector(net: torch.nn.Module) -> np.ndarray:
    return torch.nn.utils.parameters_to_vector(net.parameters()).detach().float().numpy()


@pytest.mark.parametrize(
    ("overrides", "steps"),
    [
        (["trainer.max_epochs=60"], (0, 37, 59)),
        (
            [
                *("model.hidden=[8,8]", "model.activation=tanh", "optimizer.momentum=0.9", "data.batch_size=30"),
                *("trainer.max_epochs=6", "trainer.reload_dataloaders_every_n_epochs=1"),
            ],
            (0, 3, 22),
        ),
        (["data.batch_size=30", "trainer.accumulate_grad_batches=3", "data.noise=0.2", "trainer.max_epochs=4"], (1, 6)),
        (["model.activation=sigmoid", "model.loss=bce_with_logits", "optimizer=adam", "trainer.max_epochs=9"], (8,)),
        (["trainer.precision=64-true", "trainer.overfit_batches=2", "data.batch_size=9", "trainer.max_epochs=3"], (4,)),
        (["model.hidden=[]", "trainer.max_epochs=2", "data.line=[1,-2,0.5]"], (1,)),
    ],
)
def test_each_step_has_the_numbers_of_explain(run, overrides, steps):
    """Weights exactly; the gradients that follow from them by the chain rule in NumPy, those of the run's autograd."""
    directory = run(*overrides)
    played = Played(directory)
    assert played.manifest["first"] == 0
    assert played.manifest["steps"] == metrics(directory)["step"] == len(played.weights) - 1
    for index in steps:
        step = replay_step(compose_configuration(overrides), index)
        assert np.array_equal(played.weights[index], vector(step.before))
        assert np.array_equal(played.weights[index + 1], vector(step.after))
        points, shares = played.trained_on(index)
        assert np.array_equal(points, torch.cat([step.points, step.classes[:, None]], 1).float().numpy())
        assert np.allclose(shares, step.shares)
        activation = played.manifest["model"]["activation"]
        layers, _ = backpropagate(played.parameters(index), activation, points[:, :2], points[:, 2], shares)
        gradients = [each for layer in layers for each in (layer.weight_gradient, layer.bias_gradient)]
        for ours, theirs in zip(gradients, step.gradients.values(), strict=True):
            assert np.allclose(ours, theirs, rtol=1e-4, atol=1e-7)
        assert played.manifest["optimizer"] == step.update


def test_the_reference_is_small_in_its_log_and_as_a_page_and_each_step_is_that_of_the_plain_loop(run):
    directory = run()
    recorded = [each for each in events.read_events(directory) if "backpropagation/" in str(each.summary.value[:1])]
    assert 68_000 < sum(each.ByteSize() for each in recorded) < 300_000
    assert len(make_page([RunLog(directory, "run")]).encode()) < 300_000
    weights = Played(directory).weights
    for epochs in (0, 1, 500, 1000):
        assert np.array_equal(weights[epochs], vector(plain_loop(epochs=epochs)[1]))


KILLED = [
    "data.batch_size=9",
    "trainer.accumulate_grad_batches=2",
    "trainer.max_epochs=8",
    "checkpoint.every_n_seconds=0",
]


@pytest.mark.parametrize(("flush_seconds", "unsaved"), [(0, 1), (1e9, 0)])
def test_a_run_that_was_killed_and_extended_shows_each_step_once(
    elsewhere, kill_after, monkeypatch, flush_seconds, unsaved
):
    """Killed within an epoch; with a step in its log that no checkpoint has, and with chunks that checkpoints end."""
    assert faults.start(KILLED, elsewhere / "straight") == 0
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "FLUSH_SECONDS", flush_seconds)
        patch.setattr(events, "FLUSH_SECONDS", 0)
        kill_after(51)
        assert faults.start([*KILLED, "trainer.max_epochs=6"], elsewhere / "killed") == -signal.SIGKILL
    steps = Played(elsewhere / "killed").manifest["steps"]
    kill_after(None)
    assert faults.start(KILLED, elsewhere / "killed") == 0
    first, resumed = faults.steps(elsewhere / "killed")
    assert 0 == first < resumed == steps - unsaved
    straight, killed = Played(elsewhere / "straight"), Played(elsewhere / "killed")
    assert straight.manifest == killed.manifest | {"name": "straight"}
    assert np.array_equal(straight.weights, killed.weights)
    assert all(map(np.array_equal, straight.batches, killed.batches))
    assert len(straight.batches) == len(straight.weights) - 1


def layers_of(directory: Path) -> dict[str, Any]:
    manifest = RunLog(directory, "run").recording.manifest()
    assert manifest["model"]["kind"] == "layers"
    assert "size" not in manifest
    return manifest


def test_of_a_run_that_is_too_large_only_the_layers_are_recorded_and_it_says_why(run):
    directory = run("callbacks.play.max_numbers=4000", "trainer.max_epochs=9", "model.hidden=[20,9]")
    why = "259 weights × 9 steps, and the points, are more than callbacks.play.max_numbers=4000"
    manifest = layers_of(directory)
    assert why in manifest["model"]["reason"]
    assert why in (directory / "train.log").read_text()
    assert [layer["name"] for layer in manifest["model"]["layers"]] == ["fc1", "fc2", "fc3"]
    assert {"error/fc1", "error/fc3", "train/loss"} < {*manifest["series"]}
    assert manifest["steps"] == 9


def test_a_run_whose_end_is_not_known_is_recorded_up_to_the_limit(run):
    """So is one that is extended beyond it; neither loses what it has."""
    limit = 3300 + 17 * 20  # the points, and 20 steps
    overrides = [f"callbacks.play.max_numbers={limit}", "trainer.max_time=00:00:00:01", "trainer.max_epochs=-1"]
    played = Played(run(*overrides))
    assert played.manifest["steps"] == 20 == len(played.weights) - 1
    assert f"from step 20 on: callbacks.play.max_numbers={limit}" in played.manifest["note"]
    for epochs in (15, 25):
        directory = run(f"callbacks.play.max_numbers={limit}", f"trainer.max_epochs={epochs}", name="extended")
    extended = Played(directory)
    assert np.array_equal(extended.weights, played.weights[:16])
    assert "from step 15 on: 17 weights × 25 steps, and the points, are more" in extended.manifest["note"]


def test_of_somebody_elses_module_the_layers_are_recorded(run):
    directory = run("--config-dir", str(faults.ROOT / "examples/digits"), "experiment=digits", "trainer.max_epochs=1")
    manifest = layers_of(directory)
    state = checkpoint(directory)["state_dict"]
    recorded = {each["name"]: each["shape"] for layer in manifest["model"]["layers"] for each in layer["parameters"]}
    assert recorded == {name.removeprefix("net."): list(values.shape) for name, values in state.items()}
    assert "DigitsClassifier" in manifest["model"]["reason"]


def test_what_the_page_cannot_compute_is_not_shown_as_if_it_could(run, elsewhere):
    """A classifier of points with a step of its own, and too many points to compute at each redraw."""
    (elsewhere / "odd.py").write_text(
        "from experiment.points.classifier import PointsClassifier\n"
        "class Odd(PointsClassifier):\n"
        "    def training_step(self, batch, batch_idx):\n"
        "        return 2 * super().training_step(batch, batch_idx)\n"
    )
    short = ["--config-dir", ".", "trainer.max_epochs=2"]
    assert "Odd" in layers_of(run(*short, "model._target_=odd.Odd", name="odd"))["model"]["reason"]
    assert "10001 points" in layers_of(run(*short, "data.num_points=10001", name="many"))["model"]["reason"]


def test_a_diverged_run_is_recorded_to_its_end(run):
    directory = run("optimizer.lr=1e30", "trainer.max_epochs=30")
    played = Played(directory)
    assert metrics(directory)["status"] == "diverged"
    assert played.manifest["steps"] == metrics(directory)["step"]
    assert np.isnan(played.weights[-1]).any()


def test_a_run_that_the_vectorized_launcher_began_is_recorded_from_where_another_resumes_it(train, run):
    sweep = ["-m", "hydra/launcher=vectorized", "seed=0,1", "hydra.sweep.dir=s"]
    assert train(*sweep, "trainer.max_epochs=3") == 0
    directory = Path("s/seed=0")
    assert "hydra/launcher=vectorized" in RunLog(directory, "run").recording.summary()["reason"]
    assert train("-m", "seed=0,1", "hydra.sweep.dir=s", "trainer.max_epochs=5") == 0
    played = Played(directory)
    assert (played.manifest["first"], played.manifest["steps"]) == (3, 5)
    assert np.array_equal(played.weights[-1], vector_of_state(directory))


def vector_of_state(directory: Path) -> np.ndarray:
    return torch.cat([each.flatten() for each in checkpoint(directory)["state_dict"].values()]).numpy()


@pytest.mark.parametrize("limit", ["-1", "much", "true", "1.5"])
def test_a_limit_that_is_no_whole_number_is_refused(train, capfd, limit):
    assert train(f"callbacks.play.max_numbers={limit}", "hydra.run.dir=run") == 1
    error = capfd.readouterr().err
    assert "callbacks.play" in error
    assert "a whole number ≥ 0" in error
    assert not Path("run").exists()
