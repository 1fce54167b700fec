"""The pictures of points of the plane: what the network decides, how its neurons do it, and how it came to that."""

import copy
import math
import time
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from experiment.points.classifier import PointsClassifier
from experiment.points.datamodule import Batches, PointsDataModule
from experiment.runs.callback import LeanCallback
from experiment.runs.logger import RunLogger, tensorboard_loggers
from experiment.runs.pictures import FinishedRun, render, save

# Blue and orange of Okabe and Ito's palette: told apart with any kind of colour vision.
CLASSES = ("#0072B2", "#E69F00")
PALE = ("#66AAD1", "white", "#F0C566")  # the same at three fifths, between them white
PROBABILITY = LinearSegmentedColormap.from_list("probability", PALE)
VIEW = (-1.1, 1.1)
SHADES = 161  # of the probability, along each axis
SHOWN, SCORED = 1000, 100_000  # points that a picture shows, and that its accuracy is of, at most
KEPT = 64  # states of the network, spread over training; fewer of a large one
KEPT_NUMBERS = 500_000  # of all these states together
PATIENCE = 10.0  # seconds of training before an image is drawn: a shorter run draws its images when it is over
TAG = "decision_boundary"


class DecisionBoundary(LeanCallback):
    """Shows what a network decides: in TensorBoard after 0, 10, 100, … steps and at the end, and in pictures.

    Of other problems than points of the plane it shows nothing. It keeps the weights of every n-th step, n doubled
    whenever they become too many, and of those that are shown: which ones does not depend on when training will end.
    """

    def __init__(self) -> None:
        self.every, self.seen = 1, -1
        self.states: dict[int, Tensor] = {}  # the weights before a step
        self.waiting: list[int] = []  # the steps whose images are yet to be drawn
        self.loggers: list[RunLogger] = []
        self.patient_until = math.inf

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """See where images go; a start may have nothing left to train."""
        self.loggers = [logger for logger in tensorboard_loggers(trainer) if isinstance(logger, RunLogger)]
        self.patient_until = time.monotonic() + PATIENCE

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """See the weights before a step."""
        step = trainer.global_step
        if step == self.seen or not isinstance(pl_module, PointsClassifier):  # a step may be of several batches
            return
        self.seen = step
        if step % self.every == 0 or _is_shown(step):
            self._keep(step, parameters_to_vector(pl_module.parameters()).detach().cpu())
        if self.waiting and time.monotonic() > self.patient_until:
            self._log_waiting(trainer, pl_module)

    def _keep(self, step: int, weights: Tensor) -> None:
        self.states[step] = weights
        if _is_shown(step):
            self.waiting.append(step)
        if sum(each % self.every == 0 for each in self.states) > max(4, min(KEPT, KEPT_NUMBERS // len(weights))):
            self.every *= 2
            self.states = {each: w for each, w in self.states.items() if each % self.every == 0 or _is_shown(each)}

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Draw what waits, if the run is stopped or fails: it need not be gone on with."""
        if isinstance(exception, Exception) and isinstance(pl_module, PointsClassifier):
            self._log_waiting(trainer, pl_module)

    def _log_waiting(self, trainer: Trainer, module: PointsClassifier) -> None:
        data, points = getattr(trainer, "datamodule", None), trainer.train_dataloader
        if self.loggers and isinstance(data, PointsDataModule) and isinstance(points, Batches):
            for each in self.waiting:
                self._log(each, render(_small(module, self.states[each], points, data.parameters, each)))
        self.waiting = []

    def _log(self, step: int, image: np.ndarray) -> None:
        for logger in self.loggers:
            logger.log_image(TAG, image, step)

    def draw(self, run: FinishedRun) -> None:
        """Draw ``decision_boundary.png``, of the model after its last step, and ``training.png``, of the way there."""
        model, data, step = run.model, run.data, run.step
        if not (isinstance(model, PointsClassifier) and isinstance(data, PointsDataModule)):
            return
        points = data.train_dataloader()
        render(decision_boundary(model, points, data.parameters, step), run.directory / "decision_boundary.png")
        states = {**self.states, step: parameters_to_vector(model.parameters()).detach().cpu()}
        way = dict.fromkeys(min(states, key=lambda each: abs(each - step * share)) for share in (0, 0.1, 1 / 3, 1))
        images, waiting = {}, self.waiting if self.loggers else []
        for each in dict.fromkeys((*way, *waiting)):
            figure = _small(model, states[each], points, data.parameters, each)
            images[each] = render(figure)
        for each in (*waiting, step):
            self._log(each, images[each])
        legend = figure.axes[0].get_legend_handles_labels()[0]
        save(_strip([images[each] for each in way], legend), run.directory / "training.png")

    def state_dict(self) -> dict[str, Any]:
        """Return what a run that goes on must know."""
        weights = torch.stack([*self.states.values()]) if self.states else torch.empty(0)
        return {"every": self.every, "steps": [*self.states], "weights": weights, "waiting": list(self.waiting)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what ``state_dict`` returned."""
        self.every, self.waiting = state_dict["every"], list(state_dict["waiting"])
        self.states = dict(zip(state_dict["steps"], state_dict["weights"], strict=True))


def _is_shown(step: int) -> bool:
    """Whether TensorBoard shows the weights before a step: 0, 10, 100, …"""
    return step == 0 or (step >= 10 and str(step).strip("0") == "1")


def decision_boundary(model: PointsClassifier, points: Batches, problem: dict[str, Any], step: int) -> Figure:
    """Return a picture of the plane: probability, decision, training points, the given line, the neurons' lines."""
    figure = Figure(figsize=(6.4, 6), dpi=100)
    ticks = (-1, -0.5, 0, 0.5, 1)
    axes = figure.add_axes((0.12, 0.17, 0.74, 0.78), xlabel="x", ylabel="y", xticks=ticks, yticks=ticks)
    _panel(axes, model, points, problem, step)
    figure.colorbar(
        ScalarMappable(cmap=PROBABILITY),
        cax=figure.add_axes((0.885, 0.22, 0.025, 0.68)),
        label="probability of class 1",
    )
    figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _small(model: PointsClassifier, weights: Tensor, points: Batches, problem: dict[str, Any], step: int) -> Figure:
    """Return the picture of a model with other weights, without what surrounds it, as wide as TensorBoard shows it."""
    other = copy.deepcopy(model)
    vector_to_parameters(weights.to(next(model.parameters())), other.parameters())
    figure = Figure(figsize=(3.3, 3.5), dpi=100)
    axes = figure.add_axes((0.03, 0.03, 0.94, 0.87), xticks=(), yticks=())
    _panel(axes, other, points, problem, step)
    return figure


def _strip(images: list[np.ndarray], handles: list[Artist]) -> np.ndarray:
    """Return small pictures side by side, above their legend."""
    rows = 1 if len(images) > 2 else 2
    figure = Figure(figsize=(3.3 * len(images), 0.2 + 0.2 * rows), dpi=100)
    figure.legend(handles=handles, loc="center", ncols=6 // rows, frameon=False, fontsize=9)
    return np.vstack([np.hstack(images), render(figure)])


@torch.no_grad()
def _panel(axes: Axes, model: PointsClassifier, points: Batches, problem: dict[str, Any], step: int) -> None:
    """Draw the plane as a model sees it after so many steps."""
    axes.set(aspect="equal", xlim=VIEW, ylim=VIEW)
    side = np.linspace(*VIEW, SHADES)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    probability = _probability(model, torch.from_numpy(grid)).reshape(SHADES, SHADES)
    axes.imshow(PROBABILITY(probability, bytes=True), origin="lower", extent=(*VIEW, *VIEW), interpolation="nearest")
    axes.plot([], [], color="black", lw=2, label="decision")
    if probability.min() < 0.5 < probability.max():
        axes.contour(side, side, probability, levels=[0.5], colors="black", linewidths=2)
    if "line" in problem:
        _line(axes, *problem["line"], color="black", ls="--", lw=1.5, label="given line")
    _neurons(axes, model)
    accuracy = _points(axes, model, points)
    axes.set_title(f"step {step:,}: {accuracy:.1%} right", fontsize=11)


def _line(axes: Axes, a: float, b: float, c: float, **style: Any) -> None:
    """Draw a·x + b·y + c = 0; where it leaves the view it is cut off."""
    foot = -c * np.array([a, b]) / (a * a + b * b)
    along = np.array([-b, a]) / np.hypot(a, b) * 4
    axes.plot(*np.stack([foot - along, foot + along]).T, **style)


def _neurons(axes: Axes, model: PointsClassifier) -> None:
    """Draw where each neuron of the first hidden layer is 0, with its number on the side where it is positive."""
    if len(model.net.layers) == 1:
        return
    parameters = model.net.get_submodule(model.net.layers[0]).parameters()
    weight, bias = (parameter.detach().double().cpu().numpy() for parameter in parameters)
    axes.plot([], [], color="#444444", lw=0.8, label="hidden neurons, + where positive")
    for number, ((a, b), c) in enumerate(zip(weight, bias, strict=True), 1):
        norm = np.hypot(a, b)
        if not np.isfinite(norm) or norm == 0:
            continue
        _line(axes, a, b, c, color="#444444", ls="-", lw=0.8)
        normal, along = np.array([a, b]) / norm, np.array([-b, a]) / norm
        on_line = -c / norm * normal + np.linspace(-2, 2, 401)[:, None] * along
        seen = on_line[np.abs(on_line).max(axis=1) < 0.95]
        if len(seen) and len(weight) <= 16:
            # Away from the middle, where the lines cross: each neuron a little further along than the one before.
            at = seen[int(len(seen) * (0.12 + 0.76 * ((number * 0.382) % 1)))] + 0.07 * normal
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.8}
            axes.text(
                at[0], at[1], f"{number}+", color="#222222", ha="center", va="center", fontsize=8, bbox=box, zorder=5
            )


def _points(axes: Axes, model: PointsClassifier, points: Batches) -> float:
    """Draw the training points by class, cross out the wrong ones, and return the accuracy."""
    coordinates, classes = (tensor[:SCORED].numpy() for tensor in points.tensors)
    wrong = (_probability(model, points.tensors[0][:SCORED]) > 0.5) != (classes > 0.5)
    coordinates, classes = coordinates[:SHOWN], classes[:SHOWN]
    for value, marker in enumerate("o^"):
        x, y = coordinates[classes[:, 0] == value].T
        axes.plot(x, y, marker, color=CLASSES[value], ms=5, mec="#222222", mew=0.5, label=f"class {value}", zorder=3)
    x, y = coordinates[wrong[:SHOWN, 0]].T
    axes.plot(x, y, "x", color="black", ms=6.5, mew=1.2, label="decided wrongly", zorder=4)
    return 1 - float(wrong.mean())


def _probability(model: PointsClassifier, points: Tensor) -> np.ndarray:
    weight = next(model.parameters())
    probability: np.ndarray = model(points.to(weight)).cpu().numpy()
    return probability
