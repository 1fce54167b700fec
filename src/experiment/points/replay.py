"""A training step of a run, made again."""

import copy
import tempfile
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import DictConfig
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from experiment.configuration.errors import ConfigurationError
from experiment.points.classifier import PointsClassifier
from experiment.points.net import SimpleNet
from experiment.runs.initial_weights import InitialWeights
from experiment.runs.objects import make_callbacks, make_model_and_data, trainer_arguments
from experiment.runs.randomness import Randomness


@dataclass
class ReplayedStep:
    """A training step of a ``PointsClassifier``.

    Attributes:
        index: of the step, from 0.
        before: the net before the step.
        after: the net after the step.
        points, classes: what the step trains on, ``[n, 2]`` and ``[n]``; of all its batches.
        shares: of each point's loss ℓ in the loss of the step, L = Σ share · ℓ, ``[n]``.
        gradients: ∂L/∂parameter, as the backward pass left it, by the parameter's name in the net.
        update: the formula or the name of the optimizer's update.
    """

    index: int
    before: SimpleNet
    after: SimpleNet
    points: Tensor
    classes: Tensor
    shares: Tensor
    gradients: dict[str, Tensor]
    update: str


def replay_step(config: DictConfig, index: int) -> ReplayedStep:
    """Train as the run does, up to and including a step, without writing anything.

    Raises:
        ConfigurationError: the run has no such step, or does not train a ``PointsClassifier``.
    """
    model, data = make_model_and_data(config)
    if not isinstance(model, PointsClassifier):
        raise ConfigurationError(f"model._target_={config.model._target_}: only a PointsClassifier can be explained.")
    recorder = StepRecorder(index)
    with tempfile.TemporaryDirectory() as directory:
        arguments = trainer_arguments(config) | {
            **{"logger": False, "enable_checkpointing": False, "default_root_dir": directory},
            **{"strategy": "auto", "devices": 1, "num_nodes": 1, "enable_progress_bar": False},
        }
        weights = InitialWeights.of(config)
        callbacks = [*([weights] if weights else []), *make_callbacks(config), Randomness(config.seed), recorder]
        trainer = Trainer(**arguments, callbacks=callbacks)
        trainer.fit(model, datamodule=data)
    if recorder.step is None:
        raise ConfigurationError(f"step={index}: the run has the steps 0 to {trainer.global_step - 1}.")
    return recorder.step


class StepRecorder(Callback):
    """Records one step of a ``PointsClassifier``, then stops training.

    Attributes:
        step: ``None`` until the step has been made.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.step: ReplayedStep | None = None
        self.before: SimpleNet | None = None
        self.batches: list[tuple[Tensor, Tensor, Tensor]] = []  # points, classes and shares
        self.gradients: dict[str, Tensor] = {}
        self.update = ""

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.index:
            self.before = self.before or copy.deepcopy(cast(SimpleNet, pl_module.net))
            points, classes = batch
            shares = torch.full_like(classes[:, 0], 1 / len(points) / trainer.accumulate_grad_batches)
            self.batches.append((points, classes[:, 0], shares))

    @override
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if trainer.global_step == self.index:
            parameters = cast(SimpleNet, pl_module.net).named_parameters()
            self.gradients = {name: p.grad.clone() for name, p in parameters if p.grad is not None}
            self.update = describe_update(optimizer, clipped=bool(trainer.gradient_clip_val))

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.index + 1 and self.before:
            after = copy.deepcopy(cast(SimpleNet, pl_module.net))
            points, classes, shares = (torch.cat(parts) for parts in zip(*self.batches, strict=True))
            self.step = ReplayedStep(
                self.index, self.before, after, points, classes, shares, self.gradients, self.update
            )
            trainer.should_stop = True


def describe_update(optimizer: Optimizer, clipped: bool) -> str:
    """Return the formula of plain SGD, or the name of another optimizer and the options that change its update."""
    group = optimizer.param_groups[0]
    options = [key for key in ("momentum", "weight_decay", "maximize") if group.get(key)] + ["clipping"] * clipped
    if type(optimizer) is torch.optim.SGD and not options:
        return f"w′ = w − {group['lr']:g}·∂L/∂w"
    return f"w′ by {' and '.join([type(optimizer).__name__, *options])}"
