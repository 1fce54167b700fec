"""The shapes: functions that draw points of the plane and their classes from a random generator.

Circle, xor, gauss and spiral are those of TensorFlow Playground (``dataset.ts``), whose plane [-6, 6]² is scaled to
[-1, 1]² here. It makes half of the points of each class, and those of a spiral at equal distances; here each point is
drawn by itself, of either class, so that the first points do not depend on how many follow.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from experiment.configuration.formula import Formula
from experiment.configuration.problems import Curve, Line, Spread

Generator = np.random.RandomState | np.random.Generator
Points = tuple[np.ndarray, np.ndarray]  # coordinates, [n, 2], and classes, [n]
Shape = Callable[..., Points]

SHAPES: dict[str, Shape] = {}  # by name
PLAYGROUND = 6.0  # half a side of its plane
MOONS_CENTER, MOONS_SCALE = (0.5, 0.25), 1.8  # the middle of scikit-learn's two moons; they then span 5/3, as a circle


def shape(function: Shape) -> Shape:
    """Make a function a shape: ``data.shape`` may be its name, and the arguments after ``rng`` and ``count`` are keys.

    It must draw point by point, since many points are drawn in chunks. If it takes ``noise``, that spreads its points;
    of any other shape, ``data.noise`` is the probability that a training label is flipped.
    """
    SHAPES[function.__name__] = function
    return function


@shape
def line(rng: Generator, count: int, line: Line) -> Points:
    """Return ``count`` points, uniform on [-1, 1]², and whether each lies where a·x + b·y + c > 0.

    The shapes are ``[count, 2]`` and ``[count]``; the line is ``(a, b, c)``.
    """
    a, b, c = line
    points = rng.random((count, 2)) * 2 - 1
    return points, a * points[:, 0] + b * points[:, 1] + c > 0


@shape
def curve(rng: Generator, count: int, curve: Curve) -> Points:
    """Return ``count`` points, uniform on [-1, 1]², and whether each lies above the curve y = f(x)."""
    points = rng.random((count, 2)) * 2 - 1
    return points, points[:, 1] > Formula(str(curve))(points[:, 0])


@shape
def circle(rng: Generator, count: int, noise: Spread) -> Points:
    """Return ``count`` points of a disc, class 1, and of a ring around it.

    A point has the class of the place to which the noise moves it.
    """
    side, distance, turn, *moves = rng.random((count, 5)).T
    radius = np.where(side < 0.5, 2.5 * distance, 3.5 + 1.5 * distance)
    points = _polar(radius, 2 * np.pi * turn)
    moved = points + 5 * noise * _centered(moves)
    return points / PLAYGROUND, np.hypot(*moved.T) < 2.5


@shape
def xor(rng: Generator, count: int, noise: Spread) -> Points:
    """Return ``count`` points of four squares: class 1 where x and y have the same sign.

    A point has the class of the place to which the noise moves it.
    """
    x, y, *moves = rng.random((count, 4)).T
    points = 5 * _centered((x, y))
    points += np.where(points > 0, 0.3, -0.3)
    moved = points + 5 * noise * _centered(moves)
    return points / PLAYGROUND, moved[:, 0] * moved[:, 1] >= 0


@shape
def gauss(rng: Generator, count: int, noise: Spread) -> Points:
    """Return ``count`` points of two normal distributions, class 1 at the upper right; noise adds to the variance."""
    side, *uniform = rng.random((count, 3)).T
    labels = side < 0.5
    middle = np.where(labels, 2.0, -2.0)[:, None]
    return (middle + np.sqrt(0.5 + 7 * noise) * _normal(*uniform)) / PLAYGROUND, labels


@shape
def spiral(rng: Generator, count: int, noise: Spread) -> Points:
    """Return ``count`` points of two spirals, one in the other; noise moves a point at most so far in x and in y."""
    side, way, *moves = rng.random((count, 4)).T
    labels = side < 0.5
    points = _polar(5 * way, 3.5 * np.pi * way + np.where(labels, 0, np.pi))
    return (points + noise * _centered(moves)) / PLAYGROUND, labels


@shape
def moons(rng: Generator, count: int, noise: Spread) -> Points:
    """Return ``count`` points of scikit-learn's two half circles; noise is the standard deviation, as there."""
    side, way, *uniform = rng.random((count, 4)).T
    labels = side < 0.5
    x, y = np.cos(np.pi * way), np.sin(np.pi * way)
    points = np.where(labels, (1 - x, 0.5 - y), (x, y)).T
    return (points + noise * _normal(*uniform) - MOONS_CENTER) / MOONS_SCALE, labels


def _polar(radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Return points, ``[n, 2]``, at a distance from the middle and at an angle that is counted from the y axis."""
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)


def _centered(uniform: Any) -> np.ndarray:
    """Return two rows of draws from [0, 1] as points, ``[n, 2]``, of [-1, 1]²."""
    return np.stack(uniform, axis=1) * 2 - 1


def _normal(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return points, ``[n, 2]``, of the standard normal distribution from draws of [0, 1) (Box and Muller, 1958)."""
    return _polar(np.sqrt(-2 * np.log1p(-first)), 2 * np.pi * second)


# Random streams beside that of the training points, from which nothing else may draw: default_rng([seed, stream]).
FLIPS, VALIDATION, TEST, ORDER, SPLIT = range(5)

CHUNK = 2**18  # points drawn at once: drawing takes several times the memory of the points, in float64


def is_spread_by_noise(shape: str) -> bool:
    """Whether noise spreads the points of a shape, in place of flipping labels."""
    return "noise" in inspect.signature(SHAPES[shape]).parameters


def training_points(shape: str, count: int, flipped: float, seed: int, **parameters: Any) -> Iterator[Points]:
    """Yield the training points in chunks: the first draws of NumPy's legacy generator, seeded with ``seed``.

    Args:
        shape: a key of ``SHAPES``.
        count: how many.
        flipped: the probability that a label is flipped.
        seed: of the points and the flips.
        parameters: further arguments of the shape.
    """
    flips = np.random.default_rng([seed, FLIPS])
    for points, labels in _chunks(shape, np.random.RandomState(seed), count, parameters):
        yield points, labels ^ (flips.random(len(labels)) < flipped)


def held_out_points(shape: str, count: int, stream: int, seed: int, **parameters: Any) -> Iterator[Points]:
    """Yield the points of a stream, ``VALIDATION`` or ``TEST``, in chunks; no label is flipped.

    Where noise spreads the points of a shape, it spreads these too: they are of the same distribution.
    """
    return _chunks(shape, np.random.default_rng([seed, stream]), count, parameters)


def _chunks(shape: str, rng: Generator, count: int, parameters: dict[str, Any]) -> Iterator[Points]:
    for start in range(0, count, CHUNK):
        yield SHAPES[shape](rng, min(CHUNK, count - start), **parameters)


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of ``count`` items in an epoch: a permutation that depends on seed and epoch alone."""
    return np.random.default_rng([seed, ORDER, epoch]).permutation(count)
