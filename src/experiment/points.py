"""The problems: each is a function from a generator to points of the plane and the classes that they belong to."""

from collections.abc import Callable
from typing import Any

import numpy as np

Generator = np.random.RandomState | np.random.Generator
Points = tuple[np.ndarray, np.ndarray]


def line(rng: Generator, count: int, line: tuple[float, float, float]) -> Points:
    """Return ``count`` points, uniform on [-1, 1]², and whether each lies where a·x + b·y + c > 0.

    The shapes are ``[count, 2]`` and ``[count]``; the line is ``(a, b, c)``.
    """
    a, b, c = line
    points = rng.random((count, 2)) * 2 - 1
    return points, a * points[:, 0] + b * points[:, 1] + c > 0


SHAPES: dict[str, Callable[..., Points]] = {"line": line}


# What must not take from the stream of the training points has streams of its own: default_rng([seed, stream]).
FLIPS, VALIDATION, TEST, ORDER = range(4)


def training(shape: str, count: int, noise: float, seed: int, **parameters: Any) -> Points:
    """Return the first points of NumPy's legacy generator, and their labels, a share ``noise`` of them flipped."""
    points, labels = SHAPES[shape](np.random.RandomState(seed), count, **parameters)
    flipped = np.random.default_rng([seed, FLIPS]).random(count) < noise
    return points, labels ^ flipped


def held_out(shape: str, count: int, stream: int, seed: int, **parameters: Any) -> Points:
    """Return the points of a stream, ``VALIDATION`` or ``TEST``: never trained on, never flipped."""
    return SHAPES[shape](np.random.default_rng([seed, stream]), count, **parameters)


def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of the training points in an epoch: a function of the seed and the epoch alone."""
    return np.random.default_rng([seed, ORDER, epoch]).permutation(count)
