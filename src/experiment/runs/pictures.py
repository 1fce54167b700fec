"""The pictures of a run: its losses, and whatever its callbacks draw."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiment.runs.logger import encode_png, read_scalars

Curve = list[tuple[int, float]]

# Of Okabe and Ito's palette, which is told apart with any kind of colour vision.
STYLES: dict[str, dict[str, Any]] = {
    "train/loss": {"color": "#0072B2"},
    "val/loss": {"color": "#E69F00", "marker": "o", "ms": 3},
}
SINGLE: dict[str, Any] = {"color": "black", "marker": "x", "ls": ""}


@dataclass
class FinishedRun:
    """What the pictures of a run are drawn from.

    Attributes:
        directory: where they are written.
        curves: every scalar that was logged, by its tag.
        model, data: of the run, after its last step.
        step: how many steps are completed.
    """

    directory: Path
    curves: dict[str, Curve]
    model: LightningModule
    data: LightningDataModule
    step: int

    @classmethod
    def read(cls, directory: Path, model: LightningModule, data: LightningDataModule, step: int) -> Self:
        """Read the curves from a run's directory."""
        return cls(directory, read_scalars(directory), model, data, step)


def draw_pictures(run: FinishedRun, callbacks: Iterable[Callback]) -> None:
    """Draw ``loss.png``, and let each callback that has a method ``draw`` draw its own pictures of the run."""
    if run.curves:
        losses = {tag: curve for tag, curve in run.curves.items() if tag.endswith("/loss")}
        render(draw_losses(losses), run.directory / "loss.png")
    for callback in callbacks:
        if draw := getattr(callback, "draw", None):
            draw(run)


def draw_losses(curves: Mapping[str, Curve]) -> Figure:
    """Return a picture of every loss, over the steps."""
    figure = Figure(figsize=(7, 4.2), dpi=100)
    axes = figure.add_axes((0.1, 0.12, 0.87, 0.8))
    for tag in sorted(curves, key=[*STYLES].__contains__, reverse=True):
        axes.plot(*zip(*curves[tag], strict=True), label=tag, **STYLES.get(tag, SINGLE))
    label_axes(axes, curves.values(), "Loss", "loss")
    axes.legend(frameon=False)
    return figure


def label_axes(axes: Axes, curves: Iterable[Curve], title: str, label: str) -> None:
    """Label the axes of curves over the steps; values far apart get a logarithmic scale."""
    axes.set(xlabel="step", ylabel=label, title=title)
    values = np.array([value for curve in curves for _, value in curve if 0 < value < np.inf])
    if len(values) and values.max() > 100 * values.min():
        axes.set_yscale("log")
    axes.grid(alpha=0.3)


def render(figure: Figure, path: Path | None = None) -> np.ndarray:
    """Draw a picture once, for TensorBoard and for a file; returns it, ``[height, width, 3]``."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())[..., :3]
    if path:
        save(image, path)
    return image


def save(image: np.ndarray, path: Path) -> None:
    """Write a picture, ``[height, width, 3]``."""
    path.write_bytes(encode_png(image))
