"""The picture of points of the plane: what the network decides, and how its neurons do it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from experiment.classifier import PointsClassifier
from experiment.datamodule import PointsDataModule
from experiment.logger import RunLogger
from experiment.pictures import render

# Blue and orange of Okabe and Ito's palette: told apart with any kind of colour vision.
CLASSES = ("#0072B2", "#E69F00")
PROBABILITY = LinearSegmentedColormap.from_list("probability", [CLASSES[0], "white", CLASSES[1]])
VIEW = (-1.1, 1.1)
SHOWN = 1000  # points that a picture shows at most


class DecisionBoundary(Callback):
    """Draws ``decision_boundary.png`` when a run ends, in TensorBoard too; of other problems it draws nothing."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw what the network decides with its last weights."""
        data = getattr(trainer, "datamodule", None)
        if not (isinstance(pl_module, PointsClassifier) and isinstance(data, PointsDataModule)):
            return
        figure = decision_boundary(pl_module, data, f"step {trainer.global_step}")
        image = render(figure, Path(trainer.default_root_dir, "decision_boundary.png"))
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.experiment.add_image("decision_boundary", image, trainer.global_step, dataformats="HWC")


@torch.no_grad()
def decision_boundary(model: PointsClassifier, data: PointsDataModule, when: str) -> Figure:
    """Return a picture of the plane: probability, decision, training points, the given line, the neurons' lines."""
    figure = Figure(figsize=(6.4, 5.6), dpi=120, layout="constrained")
    axes = figure.add_subplot(aspect="equal", xlim=VIEW, ylim=VIEW, xlabel="x", ylabel="y")
    side = np.linspace(*VIEW, 201)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    probability = _probability(model, torch.from_numpy(grid)).reshape(201, 201)
    shade = axes.pcolormesh(side, side, probability, cmap=PROBABILITY, vmin=0, vmax=1, alpha=0.6, rasterized=True)
    figure.colorbar(shade, label="probability of class 1", shrink=0.8)
    if probability.min() < 0.5 < probability.max():
        axes.contour(side, side, probability, levels=[0.5], colors="black", linewidths=2)
        axes.plot([], [], color="black", lw=2, label="decision")
    if "line" in data.parameters:
        _line(axes, *data.parameters["line"], color="black", ls="--", lw=1.5, label="given line")
    _neurons(axes, model)
    accuracy = _points(axes, model, data)
    axes.set_title(f"{when}: {accuracy:.1%} of the training points right")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _line(axes: Axes, a: float, b: float, c: float, **style: Any) -> None:
    """Draw a·x + b·y + c = 0; where it leaves the view it is cut off."""
    foot = -c * np.array([a, b]) / (a * a + b * b)
    along = np.array([-b, a]) / np.hypot(a, b) * 4
    axes.plot(*np.stack([foot - along, foot + along]).T, **style)


def _neurons(axes: Axes, model: PointsClassifier) -> None:
    """Draw where each neuron of the first hidden layer is 0, with a number on the side where it is positive."""
    if len(model.net.layers) == 1:
        return
    parameters = model.net.get_submodule(model.net.layers[0]).parameters()
    weight, bias = (parameter.detach().double().cpu().numpy() for parameter in parameters)
    for number, ((a, b), c) in enumerate(zip(weight, bias, strict=True), 1):
        norm = np.hypot(a, b)
        if not np.isfinite(norm) or norm == 0:
            continue
        label = "hidden neurons, + where positive" if number == 1 else None
        _line(axes, a, b, c, color="#444444", ls="-", lw=0.8, label=label)
        foot = -c * np.array([a, b]) / norm**2
        if np.abs(foot).max() < VIEW[1] and len(weight) <= 16:
            at = foot + 0.07 * np.array([a, b]) / norm
            axes.text(at[0], at[1], f"{number}+", color="#444444", ha="center", va="center", fontsize=8, clip_on=True)


def _points(axes: Axes, model: PointsClassifier, data: PointsDataModule) -> float:
    """Draw the training points by class, cross out the wrong ones, and return the accuracy on all of them."""
    tensors = data.train_dataloader().tensors
    wrong = (_probability(model, tensors[0]) > 0.5) != (tensors[1].numpy() > 0.5)
    points, classes = (tensor[:SHOWN].numpy() for tensor in tensors)
    for value, marker in enumerate("o^"):
        x, y = points[classes[:, 0] == value].T
        axes.scatter(x, y, c=CLASSES[value], marker=marker, s=26, ec="white", lw=0.6, label=f"class {value}", zorder=3)
    if wrong[:SHOWN].any():
        x, y = points[wrong[:SHOWN, 0]].T
        axes.scatter(x, y, c="black", marker="x", s=40, lw=1.2, label="decided wrongly", zorder=4)
    return 1 - float(wrong.mean())


def _probability(model: PointsClassifier, points: torch.Tensor) -> np.ndarray:
    weight = next(model.parameters())
    probability: np.ndarray = model(points.to(weight)).cpu().numpy()
    return probability
