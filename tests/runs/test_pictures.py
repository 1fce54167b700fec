"""The pictures: that what they should show is in them. How they look, eyes must say."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiment import draw
from experiment.points import decision_boundary as boundary
from experiment.points.classifier import PointsClassifier
from experiment.points.datamodule import PointsDataModule
from experiment.points.decision_boundary import DecisionBoundary, decision_boundary
from experiment.runs import pictures
from tests.conftest import checkpoint

DATA = {"shape": "line", "num_points": 200, "num_val": 1, "num_test": 1, "noise": 0.0, "batch_size": None, "seed": 0}


def exact(a: float, b: float, c: float) -> PointsClassifier:
    """A network whose one hidden neuron is a·x + b·y + c, and whose decision is where that is 0."""
    model = PointsClassifier([1], "linear", "bce", torch.optim.SGD)
    with torch.no_grad():
        model.net.fc1.weight.copy_(torch.tensor([[a, b]]))
        model.net.fc1.bias.copy_(torch.tensor([c]))
        model.net.fc2.weight.fill_(9)
        model.net.fc2.bias.zero_()
    return model


@pytest.mark.parametrize("line", [(1.0, 1.0, 0.0), (2.0, -1.0, 0.3), (0.0, 1.0, -0.5), (1.0, 0.0, 0.5)])
def test_decision_given_line_and_neuron_lie_where_they_should(line):
    a, b, c = line
    points = PointsDataModule(**DATA, line=line).train_dataloader()
    figure = decision_boundary(exact(*line), points, {"line": line}, 7)
    axes = figure.axes[0]
    assert axes.get_title() == "step 7: 100.0% right"
    lines = [each for each in axes.get_lines() if each.get_linestyle() != "None" and len(each.get_xdata())]
    given, neuron = (np.asarray(each.get_data()) for each in lines)
    for x, y in (given, neuron):
        assert np.allclose(a * x + b * y + c, 0, atol=1e-6)
        assert np.hypot(*np.diff([x, y]).T[0]) > 4  # it crosses the whole view
    (contour,) = (each for each in axes.collections if hasattr(each, "levels"))
    x, y = np.concatenate([path.vertices for path in contour.get_paths()]).T
    assert np.allclose(a * x + b * y + c, 0, atol=1e-3)
    (mark,) = axes.texts
    assert a * mark.get_position()[0] + b * mark.get_position()[1] + c > 0


def test_points_are_drawn_by_class_and_the_wrong_ones_crossed_out():
    data = PointsDataModule(**DATA, line=(1.0, 1.0, 0.0))
    axes = decision_boundary(exact(1.0, 1.0, -0.3), data.train_dataloader(), {}, 0).axes[0]
    drawn = {each.get_label(): np.transpose(each.get_data()) for each in axes.get_lines()}
    points, classes = (tensor.numpy() for tensor in data.train_dataloader().tensors)
    assert np.array_equal(drawn["class 0"], points[classes[:, 0] == 0])
    assert np.array_equal(drawn["class 1"], points[classes[:, 0] == 1])
    wrong = (points.sum(1) > 0) != (points.sum(1) > 0.3)
    assert wrong.any()
    assert np.array_equal(drawn["decided wrongly"], points[wrong])


@pytest.mark.parametrize(
    "overrides", [["model.hidden=[]"], ["model.hidden=[20]"], ["model.hidden=[3,3]"], ["optimizer.lr=1e37"]]
)
def test_every_network_has_its_pictures(run, overrides):
    directory = run("trainer.max_epochs=5", *overrides)
    for name in ("loss.png", "decision_boundary.png", "training.png", "backpropagation.png"):
        picture = imread(Path(directory, name))
        assert min(picture.shape[:2]) > 350
        assert picture.std() > 0.05


def test_the_states_that_are_shown_are_those_of_training(run):
    """Whether or not it was gone on with: of every n-th step and of TensorBoard's, as runs that end there have them."""
    directory = run("trainer.max_epochs=40")
    run("trainer.max_epochs=200")
    callback = DecisionBoundary()
    callback.load_state_dict(checkpoint(directory)["callbacks"]["DecisionBoundary"])
    assert sorted(callback.states) == sorted({*range(0, 200, 4), 10, 100})
    for step in (4, 40, 196):
        stopped = checkpoint(run(f"trainer.max_epochs={step}", name=f"to {step}"))["state_dict"]
        assert torch.equal(callback.states[step], torch.cat([each.flatten() for each in stopped.values()]))
    straight = run("trainer.max_epochs=200", name="straight")
    assert (straight / "training.png").read_bytes() == (directory / "training.png").read_bytes()


def images(directory):
    events = EventAccumulator(str(directory), size_guidance={"images": 0}).Reload()
    return [(image.step, image.encoded_image_string) for image in events.Images("decision_boundary")]


@pytest.mark.parametrize("patience", [0, 60])
def test_every_image_is_logged_once_whether_as_it_comes_or_in_the_end(run, monkeypatch, patience):
    monkeypatch.setattr(boundary, "PATIENCE", patience)
    directory = run("trainer.max_epochs=40")
    assert [step for step, _ in images(directory)] == [0, 10, 40]
    run("trainer.max_epochs=200")
    assert [step for step, _ in images(directory)] == [0, 10, 100, 200]
    straight = run("trainer.max_epochs=200", name="straight")
    assert images(straight) == images(directory)
    events = EventAccumulator(str(straight), size_guidance={"images": 0, "scalars": 0}).Reload()
    early = events.Images("decision_boundary")[0].wall_time < events.Scalars("train/loss")[100].wall_time
    assert early == (patience == 0)


def test_images_that_a_start_did_not_come_to_draw_are_drawn_by_the_next(run, train, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(pictures, "draw", lambda *_: 1 / 0)
        assert train("trainer.max_epochs=40", "hydra.run.dir=run") == 1
    assert [step for step, _ in images(run("trainer.max_epochs=40"))] == [0, 10, 40]


def test_a_run_that_is_stopped_has_its_images(train, monkeypatch):
    step = PointsClassifier.training_step
    monkeypatch.setattr(
        PointsClassifier, "training_step", lambda self, *args: 1 / (50 - self.global_step) and step(self, *args)
    )
    assert train("hydra.run.dir=run") == 1
    assert [step for step, _ in images("run")] == [0, 10]


def test_pictures_are_drawn_again(run, capsys, monkeypatch):
    directory = run("trainer.max_epochs=30", "model.hidden=[3]")
    before = {path.name: path.read_bytes() for path in directory.glob("*.png")}
    for path in directory.glob("*.png"):
        path.unlink()
    monkeypatch.setattr(sys, "argv", ["draw", "run"])
    draw.main()
    assert {path.name: path.read_bytes() for path in directory.glob("*.png")} == before
    (directory / ".hydra/config.yaml").write_text("model: {_target_: os.system, command: touch ran}")
    monkeypatch.setattr(sys, "argv", ["draw", "run", "nothing"])
    with pytest.raises(SystemExit) as stop:
        draw.main()
    assert "nothing holds no run." in str(stop.value)
    assert not Path("ran").exists()
