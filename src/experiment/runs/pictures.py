"""The pictures of a run: its losses, and what its callbacks draw."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox, BboxBase

from experiment.runs.files import write_atomically
from experiment.runs.logger import encode_png, read_scalars

Curve = list[tuple[int, float]]  # steps and values

# Okabe and Ito's palette, distinguishable with any kind of colour vision.
STYLES: dict[str, dict[str, Any]] = {
    "train/loss": {"color": "#0072B2"},
    "val/loss": {"color": "#E69F00", "marker": "o", "ms": 3},
    "test/loss": {"color": "black", "marker": "x", "ms": 6, "ls": ""},
}
OTHER_COLORS = ("#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")
DPI = 100
PAD = 0.12  # inches between the parts of a picture, and around it


@dataclass
class FinishedRun:
    """What the pictures of a run are drawn from.

    Attributes:
        directory: the run directory, where the pictures are written.
        curves: every scalar that was logged, by its tag.
        model, data: those of the run, after its last step.
        step: the number of completed steps.
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
    """Draw ``loss.png``, and call the method ``draw(run)`` of each callback that has one."""
    if losses := {tag: curve for tag, curve in run.curves.items() if "loss" in tag.lower()}:
        render(draw_losses(losses), run.directory / "loss.png")
    for callback in callbacks:
        if draw := getattr(callback, "draw", None):
            draw(run)


def draw_losses(curves: Mapping[str, Curve]) -> Figure:
    """Return a picture of every loss over the steps."""
    figure, (axes,) = make_panels((6, 3.4))
    axes.set_prop_cycle(color=OTHER_COLORS)
    tags = sorted(curves, key=[*STYLES].__contains__, reverse=True)
    for tag in tags:
        plot_curve(axes, curves[tag], **STYLES.get(tag, {}))
    label_axes(axes, curves.values(), "Loss", "loss")
    names = [tag.replace("$", r"\$") for tag in tags]  # without mathematics
    figure.legend(axes.get_lines(), names, loc="center right", frameon=False)
    arrange_panels(figure)
    return figure


def plot_curve(axes: Axes, curve: Curve, **style: Any) -> None:
    """Plot a curve over the steps; a single finite value gets a marker, without which it could not be seen."""
    steps, values = np.array(curve, float).reshape(-1, 2).T
    marker: dict[str, Any] = {"marker": "o", "ms": 3} if np.isfinite(values).sum() == 1 else {}
    axes.plot(steps, values, **marker | style)


def label_axes(axes: Axes, curves: Iterable[Curve], title: str, label: str) -> None:
    """Label the axes of curves over the steps; positive values far apart get a logarithmic scale."""
    axes.set(xlabel="step", ylabel=label)
    axes.set_title(title, y=1)
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True, min_n_ticks=1))
    values = [value for curve in curves for _, value in curve if math.isfinite(value)]
    positive = [value for value in values if value > 0]
    if positive and min(values) >= 0 and max(positive) > 100 * min(positive):
        axes.set_yscale("log")
    axes.grid(alpha=0.3)


def spread(count: int, most: int) -> list[int]:
    """Return indices from 0 to ``count`` - 1, both included, that are evenly spread and ``most`` at most."""
    places: list[int] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
    return places


def make_panels(*sizes: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """Return a figure and axes of these widths and heights in inches, for ``arrange_panels`` to place."""
    figure = Figure(figsize=(1, 1), dpi=DPI)
    return figure, [
        figure.add_axes((0, 0, width, height), label=str(index)) for index, (width, height) in enumerate(sizes)
    ]


def arrange_panels(figure: Figure, legend_below: bool = False) -> None:
    """Place the axes of a figure side by side, and its legend at the right or below, so that nothing overlaps.

    The figure takes the size that its parts need. The axes keep theirs, so that ticks and labels stay as measured
    here: a layout that fits axes into a given figure has to draw it twice.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    pad = PAD * figure.dpi
    frames = [axes.bbox.frozen() for axes in figure.axes]
    boxes = [_measure(axes, renderer) for axes in figure.axes]
    middles = [(frame.y0 + frame.y1) / 2 for frame in frames]
    below = pad + max(middle - box.y0 for middle, box in zip(middles, boxes, strict=True))
    above = pad + max(box.y1 - middle for middle, box in zip(middles, boxes, strict=True))
    width, height = pad + sum(box.width + pad for box in boxes), below + above
    x, y = pad, below
    for legend in figure.legends:
        size = legend.get_window_extent(renderer)
        if legend_below:
            x += max(0, size.width + 2 * pad - width) / 2
            width, height, y = max(width, size.width + 2 * pad), height + size.height, y + size.height
        else:
            y += max(0, size.height + 2 * pad - height) / 2
            width, height = width + size.width + pad, max(height, size.height + 2 * pad)
    width, height = math.ceil(width), math.ceil(height)
    figure.set_size_inches(width / figure.dpi, height / figure.dpi)
    for axes, frame, box in zip(figure.axes, frames, boxes, strict=True):
        left, bottom = x + frame.x0 - box.x0, y - frame.height / 2
        axes.set_position((left / width, bottom / height, frame.width / width, frame.height / height))
        x += box.width + pad


def _measure(axes: Axes, renderer: RendererAgg) -> BboxBase:
    """Return the extent of axes with their ticks, labels and title, which must have been set with ``y``.

    A title without ``y`` makes Matplotlib measure all of this once more, and once more when it is drawn.
    """
    ticks_and_labels = [axis.get_tightbbox(renderer) for axis in (axes.xaxis, axes.yaxis)]
    if axes.yaxis.get_offset_text().get_text():  # the factor or offset of all tick labels, at the left above the axes
        axes.title.set(x=1, ha="right")
    return Bbox.union([axes.bbox, axes.title.get_window_extent(renderer), *filter(None, ticks_and_labels)])


def render(figure: Figure, path: Path | None = None) -> np.ndarray:
    """Return a picture's pixels, ``[height, width, 3]``; with a path, write them to a PNG file too."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())[..., :3]
    if path:
        save_png(image, path)
    return image


def save_png(image: np.ndarray, path: Path) -> None:
    """Write pixels, ``[height, width, 3]``, to a PNG file."""
    write_atomically(path, encode_png(image))
