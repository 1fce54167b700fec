"""The shapes: functions that draw points of the plane and their classes from a random generator."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Generator = np.random.RandomState | np.random.Generator
Points = tuple[np.ndarray, np.ndarray]  # coordinates, [n, 2], and classes, [n]


def line(rng: Generator, count: int, line: tuple[float, float, float]) -> Points:
    """Return ``count`` points, uniform on [-1, 1]², and whether each lies where a·x + b·y + c > 0.

    The shapes are ``[count, 2]`` and ``[count]``; the line is ``(a, b, c)``.
    """
    a, b, c = line
    points = rng.random((count, 2)) * 2 - 1
    return points, a * points[:, 0] + b * points[:, 1] + c > 0


# By name. A shape must draw point by point, since many points are drawn in chunks.
SHAPES: dict[str, Callable[..., Points]] = {"line": line}

# Random streams beside that of the training points, from which nothing else may draw: default_rng([seed, stream]).
FLIPS, VALIDATION, TEST, ORDER = range(4)

CHUNK = 2**18  # points drawn at once: drawing takes several times the memory of the points, in float64


def training_points(shape: str, count: int, noise: float, seed: int, **parameters: Any) -> Iterator[Points]:
    """Yield the training points in chunks: the first draws of NumPy's legacy generator, seeded with ``seed``.

    Args:
        shape: a key of ``SHAPES``.
        noise: the probability that a label is flipped.
        parameters: further arguments of the shape.
    """
    flips = np.random.default_rng([seed, FLIPS])
    for points, labels in _chunks(shape, np.random.RandomState(seed), count, parameters):
        yield points, labels ^ (flips.random(len(labels)) < noise)


def held_out_points(shape: str, count: int, stream: int, seed: int, **parameters: Any) -> Iterator[Points]:
    """Yield the points of a stream, ``VALIDATION`` or ``TEST``, in chunks; no label is flipped."""
    return _chunks(shape, np.random.default_rng([seed, stream]), count, parameters)


def _chunks(shape: str, rng: Generator, count: int, parameters: dict[str, Any]) -> Iterator[Points]:
    for start in range(0, count, CHUNK):
        yield SHAPES[shape](rng, min(CHUNK, count - start), **parameters)


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of ``count`` items in an epoch: a permutation that depends on seed and epoch alone."""
    return np.random.default_rng([seed, ORDER, epoch]).permutation(count)
