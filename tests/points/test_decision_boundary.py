"""What a network decides, as images and pictures: that what they should show is in them, and lies where it should."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn.utils import parameters_to_vector

from experiment.points import decision_boundary
from experiment.points.classifier import PointsClassifier
from experiment.points.datamodule import PointsDataModule
from experiment.points.decision_boundary import DecisionBoundary
from experiment.points.pictures import draw_decision_boundary, draw_small, join_small
from experiment.runs import training
from tests.conftest import checkpoint
from tests.runs.test_pictures import assert_nothing_is_cut_off_or_overlaps

pytestmark = pytest.mark.draws

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
    figure = draw_decision_boundary(exact(*line), PointsDataModule(**DATA, line=line), 7)
    axes = figure.axes[0]
    first, second = axes.get_title().splitlines()
    assert first == "step 7: 100.0% right"
    assert second == "off the given line by 0.0° and 0.000, in 0.0% of the square"
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
    axes = draw_decision_boundary(exact(1.0, 1.0, -0.3), data, 0).axes[0]
    assert "by 0.0° and 0.212, in 1" in axes.get_title()
    drawn = {each.get_label(): np.transpose(each.get_data()) for each in axes.get_lines()}
    points, classes = (tensor.numpy() for tensor in data.train_dataloader().tensors)
    assert np.array_equal(drawn["class 0"], points[classes[:, 0] == 0])
    assert np.array_equal(drawn["class 1"], points[classes[:, 0] == 1])
    wrong = (points.sum(1) > 0) != (points.sum(1) > 0.3)
    assert wrong.any()
    assert np.array_equal(drawn["decided wrongly"], points[wrong])


@pytest.mark.parametrize("hidden", [[], [1], [4], [16], [32], [3, 3, 3]])
@pytest.mark.parametrize("step", [0, 10**12])
def test_nothing_is_cut_off_or_overlaps(hidden, step):
    torch.manual_seed(1)
    model = PointsClassifier(hidden, "tanh", "bce", torch.optim.SGD)
    data = PointsDataModule(**DATA, line=(1.0, 1.0, 0.0))
    figure = draw_decision_boundary(model, data, step)
    assert_nothing_is_cut_off_or_overlaps(figure)
    weights = parameters_to_vector(model.parameters()).detach()
    assert_nothing_is_cut_off_or_overlaps(draw_small(model, weights, data, step))


def test_the_numbers_of_neurons_do_not_cover_each_other():
    torch.manual_seed(1)
    model = PointsClassifier([16], "tanh", "bce", torch.optim.SGD)
    with torch.no_grad():
        model.net.fc1.weight[:5] = torch.tensor([1.0, 0.3])  # lines close to each other
        model.net.fc1.bias[:5] = torch.linspace(0.1, 0.12, 5)
    data = PointsDataModule(**DATA, line=(1.0, 1.0, 0.0))
    figure = draw_small(model, parameters_to_vector(model.parameters()).detach(), data, 0)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    assert len(boxes) > 10
    assert not any(first.overlaps(second) for first, second in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_legend_below_small_pictures_is_whole(count):
    figure = draw_decision_boundary(exact(1.0, 1.0, 0.0), PointsDataModule(**DATA, line=(1.0, 1.0, 0.0)), 0)
    handles = figure.axes[0].get_legend_handles_labels()[0]
    assert len(handles) == 6
    joined = join_small([np.zeros((350, 330, 3), np.uint8)] * count, handles)
    assert joined.shape[1] == 330 * count
    legend = joined[350:]
    assert (legend.min(axis=(0, 2)) < 128).any()
    for edge in (legend[:3], legend[-3:], legend[:, :3], legend[:, -3:]):
        assert (edge == 255).all()


@pytest.mark.parametrize(("shape", "parameters"), [("curve", {"curve": "x**2"}), ("circle", {}), ("moons", {})])
def test_a_shape_is_drawn_with_its_own_boundary_if_it_has_one(shape, parameters):
    data = PointsDataModule(**DATA | {"shape": shape, "noise": 0.1}, **parameters)
    axes = draw_decision_boundary(exact(1.0, 1.0, 0.0), data, 0).axes[0]
    assert len(axes.get_title().splitlines()) == 1
    drawn = {each.get_label(): np.transpose(each.get_data()) for each in axes.get_lines()}
    assert ("given line" in drawn) == (shape != "moons")
    if shape == "curve":
        assert np.allclose(drawn["given line"][:, 1], drawn["given line"][:, 0] ** 2)


@pytest.mark.parametrize(
    "overrides",
    [
        *(["model.hidden=[]"], ["model.hidden=[20]"], ["model.hidden=[3,3]"]),
        *(["model.hidden=[3,4,5,6,7,8,7,6,5,4]"], ["optimizer.lr=1e37"]),
    ],
)
def test_every_network_has_its_pictures(run, overrides):
    directory = run("trainer.max_epochs=5", *overrides)
    for name in ("loss.png", "decision_boundary.png", "training.png", "backpropagation.png"):
        picture = imread(Path(directory, name))
        assert min(picture.shape[:2]) > 350
        assert picture.std() > 0.05


def test_the_states_shown_are_those_of_training(run):
    """Of a resumed run too: those of every n-th step and of the logged images, as runs that end there have them."""
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


@pytest.mark.parametrize("delay", [0, 60])
def test_every_image_is_logged_once_during_training_or_at_the_end(run, monkeypatch, delay):
    monkeypatch.setattr(decision_boundary, "DRAWING_DELAY", delay)
    directory = run("trainer.max_epochs=40")
    assert [step for step, _ in images(directory)] == [0, 10, 40]
    run("trainer.max_epochs=200")
    assert [step for step, _ in images(directory)] == [0, 10, 100, 200]
    straight = run("trainer.max_epochs=200", name="straight")
    assert images(straight) == images(directory)
    events = EventAccumulator(str(straight), size_guidance={"images": 0, "scalars": 0}).Reload()
    early = events.Images("decision_boundary")[0].wall_time < events.Scalars("train/loss")[100].wall_time
    assert early == (delay == 0)


def test_images_that_a_failed_start_did_not_draw_are_drawn_by_the_next(run, train, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(training, "draw_pictures", lambda *_: 1 / 0)
        assert train("trainer.max_epochs=40", "hydra.run.dir=run") == 1
    assert [step for step, _ in images(run("trainer.max_epochs=40"))] == [0, 10, 40]


def test_a_run_that_fails_has_its_images(train, monkeypatch):
    step = PointsClassifier.training_step
    monkeypatch.setattr(
        PointsClassifier, "training_step", lambda self, *args: 1 / (50 - self.global_step) and step(self, *args)
    )
    assert train("hydra.run.dir=run") == 1
    assert [step for step, _ in images("run")] == [0, 10]
