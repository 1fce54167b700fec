"""The pictures that any run leaves: its losses, and the error as it travels back."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from matplotlib import colormaps
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
NAMED = 12  # curves that a legend names at most


def draw_pictures(
    directory: Path, callbacks: Iterable[Callback], model: LightningModule, data: LightningDataModule, step: int
) -> None:
    """Draw all pictures of a run: of what its directory holds, and those that its callbacks have a ``draw`` for."""
    found = read_scalars(directory)
    if found:
        render(
            draw_losses({tag: curve for tag, curve in found.items() if tag.endswith("/loss")}), directory / "loss.png"
        )
    if any(tag.startswith("error/") for tag in found):
        render(draw_backpropagation(found), directory / "backpropagation.png")
    for callback in callbacks:
        if own := getattr(callback, "draw", None):
            own(directory, model, data, step)


def draw_losses(curves: Mapping[str, Curve]) -> Figure:
    """Return a picture of every loss, over the steps."""
    figure = Figure(figsize=(7, 4.2), dpi=100)
    axes = figure.add_axes((0.1, 0.12, 0.87, 0.8))
    for tag in sorted(curves, key=[*STYLES].__contains__, reverse=True):
        axes.plot(*zip(*curves[tag], strict=True), label=tag, **STYLES.get(tag, SINGLE))
    _finish(axes, curves.values(), "Loss", "loss")
    axes.legend(frameon=False)
    return figure


def draw_backpropagation(curves: Mapping[str, Curve]) -> Figure:
    """Return a picture of each layer's error, from the output to the input, and of how far its weights move."""
    figure = Figure(figsize=(11, 4.2), dpi=100)
    errors = {tag.removeprefix("error/"): curve for tag, curve in curves.items() if tag.startswith("error/")}
    moves = {layer: curves[tag] for layer in errors if (tag := f"update_ratio/{layer}.weight") in curves}
    parts = (
        (errors, "The error passed back to each layer", "‖∂L/∂z‖"),
        (moves, "How far a step moves the weights", "‖Δw‖ / ‖w‖"),
    )
    shades = dict(zip(errors, colormaps["viridis"](np.linspace(0, 0.9, len(errors))), strict=True))
    named = list(errors)[:NAMED]
    for index, (part, title, label) in enumerate(parts):
        axes = figure.add_axes((0.07 + 0.46 * index, 0.12, 0.36, 0.8))
        for layer, curve in part.items():
            name = layer if layer in named else None
            axes.plot(*zip(*curve, strict=True), color=shades[layer], label=name, lw=1.3)
        _finish(axes, part.values(), title, label)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="center right", frameon=False)
    return figure


def _finish(axes: Axes, curves: Iterable[Curve], title: str, label: str) -> None:
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
