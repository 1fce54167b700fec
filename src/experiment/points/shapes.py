"""The problems: each is a function from a generator to points of the plane and the classes that they belong to."""

from collections.abc import Callable, Iterator
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


# A shape draws point by point: it is asked for parts of what is wanted, one after another.
SHAPES: dict[str, Callable[..., Points]] = {"line": line}


# What must not take from the stream of the training points has streams of its own: default_rng([seed, stream]).
FLIPS, VALIDATION, TEST, ORDER = range(4)


PART = 2**18  # points that are made at once: what is in between, in float64, is larger than the points


def training(shape: str, count: int, noise: float, seed: int, **parameters: Any) -> Iterator[Points]:
    """Yield, in parts, the first points of NumPy's legacy generator, and their labels, a share ``noise`` flipped."""
    flips = np.random.default_rng([seed, FLIPS])
    for points, labels in _parts(shape, np.random.RandomState(seed), count, parameters):
        yield points, labels ^ (flips.random(len(labels)) < noise)


def held_out(shape: str, count: int, stream: int, seed: int, **parameters: Any) -> Iterator[Points]:
    """Yield, in parts, the points of a stream, ``VALIDATION`` or ``TEST``: never trained on, never flipped."""
    return _parts(shape, np.random.default_rng([seed, stream]), count, parameters)


def _parts(shape: str, rng: Generator, count: int, parameters: dict[str, Any]) -> Iterator[Points]:
    for start in range(0, count, PART):
        yield SHAPES[shape](rng, min(PART, count - start), **parameters)


def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of the training points in an epoch: a function of the seed and the epoch alone."""
    return np.random.default_rng([seed, ORDER, epoch]).permutation(count)
