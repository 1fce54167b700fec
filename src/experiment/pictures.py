"""The pictures that any run leaves."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

from experiment.logger import scalars

# Of Okabe and Ito's palette, which is told apart with any kind of colour vision.
STYLES: dict[str, dict[str, Any]] = {
    "train/loss": {"color": "#0072B2"},
    "val/loss": {"color": "#E69F00", "marker": "o", "ms": 3},
}
SINGLE: dict[str, Any] = {"color": "black", "marker": "x", "ls": ""}


def loss_curve(directory: Path) -> None:
    """Draw ``loss.png`` of what a run's directory holds: every loss, over the steps."""
    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss", title="Loss")
    found = scalars(directory)
    curves = {
        tag: found[tag] for tag in sorted(found, key=[*STYLES].__contains__, reverse=True) if tag.endswith("/loss")
    }
    for tag, curve in curves.items():
        axes.plot(*zip(*curve, strict=True), label=tag, **STYLES.get(tag, SINGLE))
    values = np.array([value for curve in curves.values() for _, value in curve if 0 < value < np.inf])
    if len(values) and values.max() > 100 * values.min():
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    if curves:
        axes.legend(frameon=False)
    render(figure, directory / "loss.png")


def render(figure: Figure, path: Path) -> np.ndarray:
    """Save a picture, and return it, ``[height, width, 3]``: drawn once, for the file and for TensorBoard."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())[..., :3]
    imsave(path, image)
    return image
