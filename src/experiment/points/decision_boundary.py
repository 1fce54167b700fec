"""The callback that shows what a network decides, in TensorBoard and in pictures of a run."""

import math
import time
from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from matplotlib.axes import Axes
from torch import Tensor
from torch.nn.utils import parameters_to_vector
from typing_extensions import override

from experiment.points.classifier import PointsClassifier
from experiment.points.datamodule import LabelledPoints
from experiment.points.pictures import draw_decision_boundary, draw_plane, draw_small, join_small
from experiment.runs.callback import View
from experiment.runs.logger import RunLogger, tensorboard_loggers
from experiment.runs.pictures import FinishedRun, render, save_png

TAG = "decision_boundary"
MAX_STATES = 64  # kept, evenly spread over training; fewer of a large network
MAX_STATE_NUMBERS = 500_000  # in all of these states together
DRAWING_DELAY = 10.0  # seconds of training before images are drawn; a shorter run draws them when it has finished


class DecisionBoundary(View):
    """Logs images of what a network decides after 0, 10, 100, … steps and at the end, and draws the run's pictures.

    Other models than a ``PointsClassifier`` of the plane are ignored. The weights are kept of every n-th step, n
    doubled whenever there are too many of them, and of the steps whose image is logged: which ones does not depend on
    the horizon.

    Attributes:
        every_n_steps: n.
        last_step: the newest step seen.
        states: all parameters in one vector, by the number of steps completed.
        pending: the steps whose image is still to be drawn and logged.
    """

    def __init__(self) -> None:
        self.every_n_steps, self.last_step = 1, -1
        self.states: dict[int, Tensor] = {}
        self.pending: list[int] = []
        self.loggers: list[RunLogger] = []
        self.draws_after = math.inf  # on the monotonic clock

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Not when training starts: a resumed run may have nothing left to train, and still log its last image.
        self.loggers = [logger for logger in tensorboard_loggers(trainer) if isinstance(logger, RunLogger)]
        self.draws_after = time.monotonic() + DRAWING_DELAY

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        # A step of several accumulated batches comes several times.
        if step == self.last_step or not _is_of_plane(pl_module):
            return
        self.last_step = step
        if step % self.every_n_steps == 0 or _is_logged(step):
            self._keep_state(step, parameters_to_vector(pl_module.parameters()).detach().cpu())
        if self.pending and time.monotonic() > self.draws_after:
            self._log_pending(trainer, pl_module)

    def _keep_state(self, step: int, weights: Tensor) -> None:
        self.states[step] = weights
        if _is_logged(step):
            self.pending.append(step)
        limit = max(4, min(MAX_STATES, MAX_STATE_NUMBERS // len(weights)))
        if sum(kept % self.every_n_steps == 0 for kept in self.states) > limit:
            self.every_n_steps *= 2
            self.states = {
                kept: state for kept, state in self.states.items() if kept % self.every_n_steps == 0 or _is_logged(kept)
            }

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        # The run may never be resumed.
        if isinstance(exception, Exception) and _is_of_plane(pl_module):
            self._log_pending(trainer, pl_module)

    def _log_pending(self, trainer: Trainer, model: PointsClassifier) -> None:
        data = getattr(trainer, "datamodule", None)
        if self.loggers and isinstance(data, LabelledPoints):
            for step in self.pending:
                self._log_image(step, render(draw_small(model, self.states[step], data, step)))
        self.pending = []

    def _log_image(self, step: int, image: np.ndarray) -> None:
        for logger in self.loggers:
            logger.log_image(TAG, image, step)

    def draw(self, run: FinishedRun) -> None:
        """Draw ``decision_boundary.png``, of the last weights, and ``training.png``, of up to four states."""
        model, data = run.model, run.data
        if not (_is_of_plane(model) and isinstance(data, LabelledPoints)):
            return
        figure = draw_decision_boundary(model, data, run.step)
        render(figure, run.directory / "decision_boundary.png")
        legend = figure.axes[0].get_legend_handles_labels()[0]
        states = {**self.states, run.step: parameters_to_vector(model.parameters()).detach().cpu()}
        shown = dict.fromkeys(
            min(states, key=lambda step: abs(step - run.step * share)) for share in (0, 0.1, 1 / 3, 1)
        )
        pending = self.pending if self.loggers else []
        images = {step: render(draw_small(model, states[step], data, step)) for step in {*shown, *pending}}
        for step in (*pending, run.step):
            self._log_image(step, images[step])
        save_png(join_small([images[step] for step in shown], legend), run.directory / "training.png")

    def comparison_panel(self, run: FinishedRun) -> Callable[[Axes], None] | None:
        """Return what draws the decision of the last weights, as ``experiment.draw --together`` shows it."""
        model, data = run.model, run.data
        if not (_is_of_plane(model) and isinstance(data, LabelledPoints)):
            return None
        return lambda axes: draw_plane(axes, model, data, run.step)

    @override
    def state_dict(self) -> dict[str, Any]:
        weights = torch.stack([*self.states.values()]) if self.states else torch.empty(0)
        return {
            "every_n_steps": self.every_n_steps,
            "steps": [*self.states],
            "weights": weights,
            "pending": list(self.pending),
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.every_n_steps, self.pending = state_dict["every_n_steps"], list(state_dict["pending"])
        self.states = dict(zip(state_dict["steps"], state_dict["weights"], strict=True))


def _is_of_plane(model: LightningModule) -> TypeGuard[PointsClassifier]:
    return isinstance(model, PointsClassifier) and model.net.inputs == 2


def _is_logged(step: int) -> bool:
    """Whether the image of the weights after so many steps is logged: 0, 10, 100, …"""
    return step == 0 or (step >= 10 and str(step).strip("0") == "1")
