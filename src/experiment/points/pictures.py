"""Pictures of the plane: the points, what the network decides, and how its hidden neurons do it."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.utils import vector_to_parameters

from experiment.points.boundaries import straight
from experiment.points.classifier import PointsClassifier
from experiment.points.datamodule import LabelledPoints
from experiment.points.learned_line import compare_lines
from experiment.runs.pictures import DPI, arrange_panels, make_panels, render

# Blue and orange of Okabe and Ito's palette, distinguishable with any kind of colour vision.
CLASS_COLORS = ("#0072B2", "#E69F00")
PROBABILITY_COLORS = LinearSegmentedColormap.from_list("probability", ("#66AAD1", "white", "#F0C566"))
NEURON_STYLE: dict[str, Any] = {"color": "#444444", "lw": 0.8}
VIEW = (-1.1, 1.1)  # of both coordinates
GRID = 161  # probabilities along each axis
SHOWN_POINTS, SCORED_POINTS = 1000, 100_000  # at most, of the training points
NUMBERED_NEURONS = 16  # the lines of more neurons get no numbers
NUMBER_SIZE = (0.24, 0.15)  # of a neuron's number in a small picture, in coordinates
SMALL_WIDTH, SMALL_HEIGHT = 3.3, 3.5  # inches
LEGEND_COLUMNS = {1: 1, 2: 3}  # by the number of pictures above it; six under more than two


def draw_decision_boundary(model: PointsClassifier, data: LabelledPoints, step: int) -> Figure:
    """Return the picture of a model after ``step`` steps, with axes, a color bar and a legend.

    Where the data have a line, the title says how far the line that was learned is from it.
    """
    figure, (axes, color_axes) = make_panels((4.7, 4.7), (0.16, 4.1))
    ticks = (-1, -0.5, 0, 0.5, 1)
    axes.set(xlabel="x", ylabel="y", xticks=ticks, yticks=ticks)
    draw_plane(axes, model, data, step)
    if data.line is not None:
        difference = describe_difference(model, data.line)
        axes.set_title(f"{axes.get_title()}\n{difference}", fontsize=10, y=1)
    # An image, since Matplotlib's own color bar takes 4 ms more to make.
    color_axes.imshow(np.linspace(0, 1, 256)[:, None], PROBABILITY_COLORS, origin="lower", extent=(0, 1, 0, 1))
    color_axes.set(aspect="auto", xticks=(), ylabel="probability of class 1")
    color_axes.yaxis.set_label_position("right")
    color_axes.yaxis.tick_right()
    figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=3, frameon=False, fontsize=9)
    arrange_panels(figure, legend_below=True)
    return figure


def describe_difference(model: PointsClassifier, line: Sequence[float]) -> str:
    """Return in words how far the line that a model has learned is from the given one."""
    found = {name: each.item() for name, each in compare_lines(model.net, line, next(model.parameters())).items()}
    share = f"{found['disagreement']:.1%} of the square"
    if "angle" not in found:
        return f"one class everywhere, against the given line in {share}"
    return f"off the given line by {found['angle']:.1f}° and {found['offset']:.3f}, in {share}"


def draw_small(model: PointsClassifier, weights: Tensor, data: LabelledPoints, step: int) -> Figure:
    """Return a small picture of a model with other weights: the plane and its title alone, as TensorBoard shows it.

    Args:
        weights: all parameters in one vector.
    """
    other = copy.deepcopy(model)
    vector_to_parameters(weights.to(next(model.parameters())), other.parameters())
    figure = Figure(figsize=(SMALL_WIDTH, SMALL_HEIGHT), dpi=DPI)
    axes = figure.add_axes((0.03, 0.03, 0.94, 0.87), xticks=(), yticks=())
    draw_plane(axes, other, data, step)
    return figure


def join_small(images: list[np.ndarray], handles: list[Artist]) -> np.ndarray:
    """Return the pixels of small pictures side by side, above one legend."""
    columns = LEGEND_COLUMNS.get(len(images), 6)
    rows = -(-len(handles) // columns)
    figure = Figure(figsize=(SMALL_WIDTH * len(images), 0.2 + 0.2 * rows), dpi=DPI)
    figure.legend(handles=handles, loc="center", ncols=columns, frameon=False, fontsize=9)
    return np.vstack([np.hstack(images), render(figure)])


@torch.no_grad()
def draw_plane(axes: Axes, model: PointsClassifier, data: LabelledPoints, step: int) -> None:
    """Draw the probability, the decision, the given line, the neurons' lines and the training points."""
    axes.set(aspect="equal", xlim=VIEW, ylim=VIEW)
    side = np.linspace(*VIEW, GRID)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    probability = _probability(model, torch.from_numpy(grid)).reshape(GRID, GRID)
    pixels = PROBABILITY_COLORS(probability, bytes=True)
    axes.imshow(pixels, origin="lower", extent=(*VIEW, *VIEW), interpolation="nearest")
    axes.plot([], [], color="black", lw=2, label="decision")
    if probability.min() < 0.5 < probability.max():
        axes.contour(side, side, probability, levels=[0.5], colors="black", linewidths=2)
    if data.boundary is not None:
        axes.plot(*data.boundary.T, color="black", ls="--", lw=1.5, label="given line")
    if len(model.net.layers) > 1:
        _draw_neurons(axes, model)
    accuracy = _draw_points(axes, model, data.training)
    axes.set_title(f"step {step:,}: {accuracy:.1%} right", fontsize=11, y=1)


def _draw_neurons(axes: Axes, model: PointsClassifier) -> None:
    """Draw where the z of each neuron of the first hidden layer is 0, with its number where z is positive."""
    parameters = model.net.get_submodule(model.net.layers[0]).parameters()
    weight, bias = (parameter.detach().double().cpu().numpy() for parameter in parameters)
    axes.plot([], [], **NEURON_STYLE, label="hidden neurons, + where positive")
    for number, ((a, b), c) in enumerate(zip(weight, bias, strict=True), 1):
        if np.isfinite(np.hypot(a, b)) and np.hypot(a, b) > 0:
            axes.plot(*straight(a, b, c).T, **NEURON_STYLE)
            if len(weight) <= NUMBERED_NEURONS:
                _draw_number(axes, number, a, b, c)


def _draw_number(axes: Axes, number: int, a: float, b: float, c: float) -> None:
    """Draw the number of a neuron beside its line, on the side where a·x + b·y + c is positive."""
    norm = np.hypot(a, b)
    normal, along = np.array([a, b]) / norm, np.array([-b, a]) / norm
    line = -c / norm * normal + np.linspace(-2, 2, 401)[:, None] * along
    places = line[np.abs(line).max(axis=1) < 0.95] + 0.07 * normal
    if not len(places):
        return
    others = np.array([text.get_position() for text in axes.texts]).reshape(-1, 2)
    room = np.abs((places[:, None] - others) / NUMBER_SIZE).max(axis=2).min(axis=1, initial=np.inf)
    # Spread along the lines, by the golden ratio, and away from the middle, where the lines cross.
    index = int(len(places) * (0.12 + 0.76 * ((number * 0.382) % 1)))
    x, y = places[index if room[index] >= 1 else room.argmax()]
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.8}
    axes.text(x, y, f"{number}+", color="#222222", ha="center", va="center", fontsize=8, bbox=box, zorder=5)


def _draw_points(axes: Axes, model: PointsClassifier, points: tuple[Tensor, Tensor]) -> float:
    """Draw the training points by class, cross out those decided wrongly, and return the accuracy."""
    coordinates, classes = (tensor[:SCORED_POINTS].numpy() for tensor in points)
    wrong = (_probability(model, points[0][:SCORED_POINTS]) > 0.5) != (classes > 0.5)
    coordinates, classes = coordinates[:SHOWN_POINTS], classes[:SHOWN_POINTS]
    for value, marker in enumerate("o^"):
        x, y = coordinates[classes[:, 0] == value].T
        axes.plot(
            x, y, marker, color=CLASS_COLORS[value], ms=5, mec="#222222", mew=0.5, label=f"class {value}", zorder=3
        )
    x, y = coordinates[wrong[:SHOWN_POINTS, 0]].T
    axes.plot(x, y, "x", color="black", ms=6.5, mew=1.2, label="decided wrongly", zorder=4)
    return 1 - float(wrong.mean())


def _probability(model: PointsClassifier, points: Tensor) -> np.ndarray:
    """Return the probability of class 1, ``[n, 1]``, at points, ``[n, 2]``, of any dtype and device."""
    probability: np.ndarray = model(points.to(next(model.parameters()))).float().cpu().numpy()  # NumPy has no bfloat16
    return probability
