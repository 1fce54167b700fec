"""The shapes, beside TensorFlow Playground's ``dataset.ts`` in plain loops, and scikit-learn's moons."""

import math
import random

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.datasets import make_moons

from experiment.points import shapes
from experiment.points.boundaries import given_boundary

COUNT = 20_000


def playground(shape: str, noise: float) -> list[tuple[float, float, bool]]:
    """The points of ``dataset.ts``, on its plane."""
    rng, points = random.Random(1), []
    for i in range(COUNT):
        half, first = i // 2, i % 2 == 0
        if shape == "circle":
            radius = rng.uniform(0, 2.5) if first else rng.uniform(3.5, 5)
            angle = rng.uniform(0, 2 * math.pi)
            x, y = radius * math.sin(angle), radius * math.cos(angle)
            label = math.dist((x + rng.uniform(-5, 5) * noise, y + rng.uniform(-5, 5) * noise), (0, 0)) < 2.5
        elif shape == "xor":
            x, y = rng.uniform(-5, 5), rng.uniform(-5, 5)
            x, y = x + (0.3 if x > 0 else -0.3), y + (0.3 if y > 0 else -0.3)
            label = (x + rng.uniform(-5, 5) * noise) * (y + rng.uniform(-5, 5) * noise) >= 0
        elif shape == "gauss":
            deviation, center, label = math.sqrt(0.5 + noise / 0.5 * 3.5), 2 if first else -2, first
            x, y = rng.gauss(center, deviation), rng.gauss(center, deviation)
        else:
            share = half / (COUNT / 2)
            angle, label = 1.75 * share * 2 * math.pi + (0 if first else math.pi), first
            x = 5 * share * math.sin(angle) + rng.uniform(-1, 1) * noise
            y = 5 * share * math.cos(angle) + rng.uniform(-1, 1) * noise
        points.append((x, y, label))
    return points


def assert_same_distribution(ours: shapes.Points, points: np.ndarray, labels: np.ndarray) -> None:
    assert ours[1].mean() == pytest.approx(labels.mean(), abs=0.03)
    for label in (False, True):
        own, theirs = ours[0][ours[1] == label], points[labels == label]
        for direction in ([1, 0], [0, 1], [1, 1], [1, -1]):
            assert ks_2samp(own @ direction, theirs @ direction).pvalue > 1e-3
        assert ks_2samp(np.hypot(*own.T), np.hypot(*theirs.T)).pvalue > 1e-3
        assert own.std() == pytest.approx(theirs.std(), rel=0.04)


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("shape", ["circle", "xor", "gauss", "spiral"])
def test_a_shape_of_the_playground_has_its_distribution(shape, noise):
    x, y, labels = np.array(playground(shape, noise)).T
    ours = shapes.SHAPES[shape](np.random.default_rng(0), COUNT, noise=noise)
    assert_same_distribution(ours, np.stack([x, y], axis=1) / 6, labels == 1)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_the_moons_are_those_of_scikit_learn(noise):
    points, labels = make_moons(COUNT, noise=noise, random_state=0)
    ours = shapes.moons(np.random.default_rng(0), COUNT, noise)
    assert_same_distribution(ours, (points - (0.5, 0.25)) / 1.8, labels == 1)


@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_without_noise_the_points_lie_within_the_plane(shape):
    own = {"line": {"line": (1, 1, 0)}, "curve": {"curve": "x"}}.get(shape, {"noise": 0.0})
    points, labels = shapes.SHAPES[shape](np.random.RandomState(0), COUNT, **own)
    assert points.shape == (COUNT, 2)
    assert np.abs(points).max() <= 1
    assert labels.dtype == bool
    assert 0.2 < labels.mean() < 0.8


@pytest.mark.parametrize(("shape", "noise"), [("circle", 0.5), ("xor", 0.5), ("gauss", 0.5), ("moons", 0.3)])
def test_held_out_points_are_of_the_distribution_of_the_training_points(shape, noise):
    """The spread is a property of the shape; no label is flipped beside."""
    train = next(shapes.training_points(shape, COUNT, 0.0, 0, noise=noise))
    test = next(shapes.held_out_points(shape, COUNT, shapes.TEST, 0, noise=noise))
    assert not np.array_equal(train[0], test[0])
    assert_same_distribution(train, *test)


def test_class_1_is_above_the_curve():
    points, labels = shapes.curve(np.random.default_rng(0), COUNT, "sin(3*x)/2")
    assert all(label == (y > math.sin(3 * x) / 2) for (x, y), label in zip(points, labels, strict=True))
    assert np.array_equal(points, shapes.line(np.random.default_rng(0), COUNT, (1, 1, 0))[0])
    assert np.array_equal(shapes.curve(np.random.default_rng(0), COUNT, 0.25)[1], points[:, 1] > 0.25)


@pytest.mark.parametrize(
    ("shape", "parameters", "left"),
    [
        ("line", {"line": (2.0, -1.0, 0.3)}, lambda x, y: 2 * x - y + 0.3),
        ("curve", {"curve": "x**3"}, lambda x, y: y - x**3),
        ("circle", {"noise": 0.1}, lambda x, y: x**2 + y**2 - (2.5 / 6) ** 2),
        ("xor", {"noise": 0.1}, lambda x, y: x * y),
    ],
)
def test_the_boundary_is_where_the_left_side_of_its_equation_is_0(shape, parameters, left):
    boundary = given_boundary(shape, parameters)
    drawn = boundary[~np.isnan(boundary).any(axis=1)]
    assert np.abs(left(*drawn.T)).max() < 1e-9


def test_a_boundary_is_not_drawn_across_a_pole_nor_where_there_is_none():
    boundary = given_boundary("curve", {"curve": "tan(3*x)"})
    assert np.nanmax(np.abs(boundary)) <= 4
    steps = np.diff(boundary[:, 1])
    assert not (steps < -1).any()
    assert given_boundary("moons", {"noise": 0.0}) is None
