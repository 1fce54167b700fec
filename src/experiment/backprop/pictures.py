"""The picture of backpropagation: the error passed back to each layer, and how far its weights move."""

import re
from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from experiment.runs.pictures import Curve, arrange_panels, label_axes, make_panels, plot_curve, spread

LEGEND_LAYERS = 12  # named in the legend at most, spread over the depth of the net
NAME_LENGTH = 32  # characters of a layer's name in the legend at most


def draw_backpropagation(curves: Mapping[str, Curve]) -> Figure:
    """Return a picture of each layer's error and of how far its weights move.

    Args:
        curves: the scalars of a run by their tags, those of the errors in the order of the backward pass.
    """
    figure, panels = make_panels((4.3, 3.4), (4.3, 3.4))
    errors = {tag.removeprefix("error/"): curve for tag, curve in curves.items() if tag.startswith("error/")}
    moves = [(layer, curve) for layer in errors for curve in _weight_curves(curves, layer)]
    contents = (
        ([*errors.items()], "The error passed back to each layer", "‖∂L/∂z‖"),
        (moves, "How far a step moves the weights", "‖Δw‖ / ‖w‖"),
    )
    colors = dict(zip(errors, colormaps["viridis"](np.linspace(0, 0.9, len(errors))), strict=True))
    for axes, (layer_curves, title, label) in zip(panels, contents, strict=True):
        for layer, curve in layer_curves:
            plot_curve(axes, curve, color=colors[layer], lw=1.3)
        label_axes(axes, [curve for _, curve in layer_curves], title, label)
    places = spread(len(errors), LEGEND_LAYERS)
    figure.legend(
        [panels[0].get_lines()[place] for place in places],
        [legend_name([*errors][place]) for place in places],
        title="output layer first" if len(errors) > 1 else None,
        loc="center right",
        frameon=False,
    )
    arrange_panels(figure)
    return figure


def _weight_curves(curves: Mapping[str, Curve], layer: str) -> list[Curve]:
    """Return how far the weights of a layer move, of which a recurrent layer has several; biases are left out."""
    weight = re.compile(rf"update_ratio/{re.escape(layer)}\.(?!.*bias)[^.]+")
    return [curve for tag, curve in curves.items() if weight.fullmatch(tag)]


def legend_name(layer: str) -> str:
    """Return a layer's name for the legend: where it is a number, with the ``net.`` that its tag leaves out."""
    name = f"net.{layer}" if layer[:1].isdigit() else layer
    return name if len(name) <= NAME_LENGTH else f"…{name[1 - NAME_LENGTH :]}"
