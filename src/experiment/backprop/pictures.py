"""The picture of backpropagation: the error passed back to each layer, and how far its weights move."""

from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from experiment.runs.pictures import Curve, label_axes

NAMED = 12  # curves that a legend names at most


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
        label_axes(axes, part.values(), title, label)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="center right", frameon=False)
    return figure
