"""The lines that separate the classes of the shapes which have such a line."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiment.configuration.formula import Formula
from experiment.points.shapes import PLAYGROUND

LIMIT = 4.0  # so far from the middle a line is drawn, beyond what pictures show


def straight(a: float, b: float, c: float) -> np.ndarray:
    """Return two points, ``[2, 2]``, of a·x + b·y + c = 0, between which it crosses the whole view if it meets it."""
    foot = -c * np.array([a, b]) / (a * a + b * b)
    along = np.array([-b, a]) / np.hypot(a, b) * LIMIT
    return np.stack([foot - along, foot + along])


def _curve(curve: str | float) -> np.ndarray:
    x = np.linspace(-1, 1, 1001)
    y = Formula(str(curve))(x)
    far = np.abs(y) > LIMIT
    return np.stack([x, np.where(far, np.nan, y)], axis=1)  # no line from one side of a pole to the other


def _circle(noise: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 361)
    return 2.5 / PLAYGROUND * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _axes(noise: float) -> np.ndarray:
    return np.array([[-1, 0], [1, 0], [np.nan, np.nan], [0, -1], [0, 1]])


BOUNDARIES: dict[str, Callable[..., np.ndarray]] = {
    "line": lambda line: straight(*line),
    "curve": _curve,
    "circle": _circle,
    "xor": _axes,
}


def given_boundary(shape: str, parameters: Mapping[str, Any]) -> np.ndarray | None:
    """Return points, ``[n, 2]``, along the line that separates the classes of a shape; NaN where it is interrupted.

    ``None`` for a shape without one: its classes overlap, or nothing is between them.
    """
    return BOUNDARIES[shape](**parameters) if shape in BOUNDARIES else None
