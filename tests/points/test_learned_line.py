"""The line that a network has learned, beside the one that was given: where it is known, and in a run's results."""

import math

import numpy as np
import pytest
import torch

from experiment.points.classifier import PointsClassifier
from experiment.points.learned_line import compare_lines
from experiment.runs.logger import read_scalars
from tests.conftest import OF_THE_LINE, checkpoint, metrics

LINES = [(1.0, 1.0, 0.0), (2.0, -1.0, 0.3), (0.0, -3.0, 0.5), (1.0, 0.0, 0.0), (-1.0, -1.1, 0.02), (1.0, 1.0, 1.6)]


def decide(line, squash=torch.tanh):
    a, b, c = line
    return lambda points: squash(a * points[:, :1] + b * points[:, 1:] + c)


@pytest.mark.parametrize("given", LINES)
@pytest.mark.parametrize("learned", LINES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_lines_are_compared_as_geometry_does(given, learned, dtype):
    found = compare_lines(decide(learned), given, torch.zeros((), dtype=dtype))
    first, second = (np.array(line) / math.hypot(*line[:2]) for line in (given, learned))
    cosine = min(1, max(-1, first[:2] @ second[:2]))
    assert found["angle"].item() == pytest.approx(math.degrees(math.acos(cosine)), abs=0.02)
    assert found["offset"].item() == pytest.approx(abs(first[2] - second[2]), abs=1e-3)
    points = np.random.default_rng(0).uniform(-1, 1, (200_000, 2))
    sides = [points @ line[:2] + line[2] > 0 for line in (first, second)]
    assert found["disagreement"].item() == pytest.approx((sides[0] != sides[1]).mean(), abs=0.004)


@pytest.mark.parametrize("logit", [1.0, -1.0, float("nan")])
def test_one_class_everywhere_has_no_line(logit):
    found = compare_lines(lambda points: points[:, :1] * 0 + logit, (1, 1, 0), torch.zeros(()))
    assert [*found] == ["disagreement"]
    assert found["disagreement"].item() == pytest.approx(0.5, abs=0.01)


def test_of_a_bent_boundary_the_line_is_in_its_middle():
    """y = |x| / 2 decides as y = 0 but for two triangles, and is symmetric about the y axis."""
    found = compare_lines(lambda points: points[:, 1:] - points[:, :1].abs() / 2, (0, 1, 0), torch.zeros(()))
    assert found["angle"].item() == pytest.approx(0, abs=0.5)
    assert found["offset"].item() == pytest.approx(0.25, abs=0.01)
    assert found["disagreement"].item() == pytest.approx(1 / 8, abs=0.004)


@pytest.mark.draws
def test_a_run_has_them_everywhere_and_draws_nothing_for_them(run):
    directory = run("trainer.max_epochs=300")
    content = metrics(directory)
    model = PointsClassifier([4], "relu", "bce")
    model.load_state_dict(checkpoint(directory)["state_dict"])
    expected = compare_lines(model.net, (1, 1, 0), torch.zeros(()))
    scalars = read_scalars(directory)
    for name in OF_THE_LINE:
        assert content[name] == pytest.approx(expected[name.removeprefix("test/line_")].item())
        assert scalars[name] == [(300, pytest.approx(content[name]))]
    assert 0 < content["test/line_disagreement"] < 0.1
    run("trainer.max_epochs=150", name="resumed")
    resumed = metrics(run("trainer.max_epochs=300", name="resumed"))
    assert {name: resumed[name] for name in OF_THE_LINE} == {name: content[name] for name in OF_THE_LINE}


@pytest.mark.draws
def test_only_a_line_is_compared(run):
    for shape in ("circle", "curve"):
        assert not metrics(run("trainer.max_epochs=2", f"data={shape}", name=shape)).keys() & {*OF_THE_LINE}


@pytest.mark.draws
def test_a_line_far_from_the_middle_is_reported_before_training(run, capfd):
    directory = run("trainer.max_epochs=30", "data.line=[1,1,5]")
    error = capfd.readouterr().err
    assert error == "Of the 100 training points, none is of class 0: data.shape=line, data.line=[1, 1, 5]\n"
    assert error in (directory / "train.log").read_text()
    content = metrics(directory)
    assert {name: content[name] for name in OF_THE_LINE if name in content} == {"test/line_disagreement": 0}
    run("trainer.max_epochs=2", "data.line=[1,1,1.5]", name="rare")
    assert "only 2 are of class 0" in capfd.readouterr().err
    run("trainer.max_epochs=2", name="even")
    assert capfd.readouterr().err == ""


def test_in_a_sweep_it_is_in_the_log_of_the_run_alone(train, capfd, elsewhere):
    assert train("-m", "data.line=[1,1,0],[1,1,5]", "trainer.max_epochs=2", "hydra.sweep.dir=sweep") == 0
    assert "none is of class" not in capfd.readouterr().err
    logs = {path.parent.name: path.read_text() for path in (elsewhere / "sweep").glob("*/train.log")}
    assert {name: "none is of class 0" in text for name, text in logs.items()} == {
        "data.line=[1,1,0]": False,
        "data.line=[1,1,5]": True,
    }
