"""``python -m experiment.explain [RUN_DIR] [key=value …]``: one training step, in numbers."""

import argparse
import copy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import DictConfig
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer

from experiment.command import errors_reported
from experiment.configuration.compose import compose_configuration
from experiment.configuration.errors import ConfigurationError
from experiment.points.chain_rule import Array, Layer, backpropagate
from experiment.points.classifier import PointsClassifier
from experiment.points.net import SimpleNet
from experiment.points.textbook import Textbook, format_number
from experiment.runs.directory import RunDirectory
from experiment.runs.objects import (
    check_instantiable,
    load_recorded,
    make_callbacks,
    make_model_and_data,
    trainer_arguments,
)
from experiment.runs.randomness import Randomness

PICKS = {"step": 0, "point": 0, "neuron": None}


class Step(Callback):
    """A training step of a ``PointsClassifier`` as the run makes it, and the end of training.

    Attributes:
        index: of the step.
        before, after: the net; ``None`` until the step is made.
        points, classes, shares: of each of the step's batches.
        gradients: as the backward pass left them, by parameter.
        update: how the optimizer makes the new weights of them.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.before: SimpleNet | None = None
        self.after: SimpleNet | None = None
        self.points: list[Tensor] = []
        self.classes: list[Tensor] = []
        self.shares: list[Tensor] = []
        self.gradients: dict[str, Tensor] = {}
        self.update = ""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Take the net, and what the step is to see."""
        if trainer.global_step == self.index:
            self.before = self.before or copy.deepcopy(pl_module.net)  # type: ignore[assignment]
            points, classes = batch
            self.points.append(points)
            self.classes.append(classes[:, 0])
            self.shares.append(torch.full_like(classes[:, 0], 1 / len(points) / trainer.accumulate_grad_batches))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Take the gradients."""
        if trainer.global_step == self.index:
            self.gradients = {name: p.grad.clone() for name, p in pl_module.net.named_parameters()}  # type: ignore
            self.update = _update(optimizer, bool(trainer.gradient_clip_val))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the net with its new weights."""
        if trainer.global_step == self.index + 1:
            self.after = copy.deepcopy(pl_module.net)  # type: ignore[assignment]
            trainer.should_stop = True


def _update(optimizer: Optimizer, clipped: bool) -> str:
    group = optimizer.param_groups[0]
    more = [key for key in ("momentum", "weight_decay", "maximize") if group.get(key)] + ["clipping"] * clipped
    if type(optimizer) is torch.optim.SGD and not more:
        return f"w′ = w − {group['lr']:g}·∂L/∂w"
    return f"w′ by {' and '.join([type(optimizer).__name__, *more])}"


def replay_step(config: DictConfig, index: int) -> Step:
    """Train as the run does, up to a step, and return that step; nothing is left of it elsewhere.

    Raises:
        ConfigurationError: the run has no such step, or is none of points of the plane.
    """
    model, data = make_model_and_data(config)
    if not isinstance(model, PointsClassifier):
        raise ConfigurationError(f"model._target_={config.model._target_}: only a PointsClassifier can be explained.")
    step = Step(index)
    with tempfile.TemporaryDirectory() as elsewhere:
        arguments = trainer_arguments(config) | {
            **{"logger": False, "enable_checkpointing": False, "default_root_dir": elsewhere},
            **{"strategy": "auto", "devices": 1, "num_nodes": 1, "enable_progress_bar": False},
        }
        trainer = Trainer(**arguments, callbacks=[*make_callbacks(config), Randomness(config.seed), step])
        trainer.fit(model, datamodule=data)
    if step.after is None:
        raise ConfigurationError(f"step={index}: the run has the steps 0 to {trainer.global_step - 1}.")
    return step


def explain_step(step: Step, activation: str, point: int, neuron: int | None) -> list[str]:
    """Return the page that explains a step.

    Raises:
        ConfigurationError: there is no such point or neuron, or the loss is not finite.
    """
    assert step.before is not None
    assert step.after is not None
    points, classes, shares = (_array(torch.cat(each)) for each in (step.points, step.classes, step.shares))
    if not 0 <= point < len(points):
        raise ConfigurationError(f"point={point}: the step has the points 0 to {len(points) - 1}.")
    layers, losses = backpropagate(_parameters(step.before), activation, points, classes, shares)
    _, losses_after = backpropagate(_parameters(step.after), activation, points, classes, shares)
    if not (np.isfinite(losses).all() and np.isfinite(losses_after).all()):
        raise ConfigurationError(f"step={step.index}: the loss is not finite there.")
    widest = max((len(layer.bias) for layer in layers[:-1]), default=0)
    if neuron is not None and not 1 <= neuron <= widest:
        raise ConfigurationError(f"neuron={neuron}: the hidden layers have the neurons 1 to {widest}.")
    net = "-".join(str(width) for width in (2, *(len(layer.bias) for layer in layers)))
    x, y = points[point]
    page = Textbook(
        layers=layers,
        after=_parameters(step.after),
        activation=activation,
        classes=classes,
        losses=losses,
        losses_after=losses_after,
        shares=shares,
        update=step.update,
        point=point,
        neuron=neuron,
    )
    return [
        f"Step {step.index} of a {net} net on {len(points)} points; followed is point {point}, "
        f"x = {format_number(x)}, y = {format_number(y)}, of class t = {classes[point]:.0f}",
        "",
        *page.lines(),
        *_checked(step, layers, points, classes, shares),
    ]


def _checked(step: Step, layers: list[Layer], points: Array, classes: Array, shares: Array) -> list[str]:
    """Return how far the page is from what autograd makes of the same, and from what the run itself came to."""
    assert step.before is not None
    kind = str(next(step.before.parameters()).dtype).removeprefix("torch.")
    net = copy.deepcopy(step.before).double().cpu()
    zs: list[Tensor] = []
    for layer in net.layers:
        net.get_submodule(layer).register_forward_hook(lambda module, inputs, z: zs.append(z))
    z = net(torch.from_numpy(points))[:, 0]
    losses = functional.binary_cross_entropy_with_logits(z, torch.from_numpy(classes), reduction="none")
    found = torch.autograd.grad(losses @ torch.from_numpy(shares), [*zs, *net.parameters()])
    errors = [layer.error * shares[:, None] for layer in layers]
    gradients = [each for layer in layers for each in (layer.weight_gradient, layer.bias_gradient)]
    theirs = [_array(each) for each in found]
    far = max(_difference(a, b) for a, b in zip([*errors, *gradients], theirs, strict=True))
    run = max(_difference(a, _array(b)) for a, b in zip(gradients, step.gradients.values(), strict=True))
    return [
        f"   All by the chain rule. Autograd, in float64 too, comes to the same δ and ∂L/∂w, within {far:.0e} of them,",
        f"   and the run itself, in {kind}, to the same ∂L/∂w within {run:.0e}.",
    ]


def _difference(ours: Array, theirs: Array) -> float:
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), np.finfo(float).tiny))


def _array(tensor: Tensor) -> Array:
    return tensor.detach().double().cpu().numpy()


def _parameters(net: SimpleNet) -> list[tuple[Array, Array]]:
    layers = (net.get_submodule(name) for name in net.layers)
    return [(_array(layer.get_parameter("weight")), _array(layer.get_parameter("bias"))) for layer in layers]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiment.explain",
        description="Print one training step in numbers: of a run's directory, or of what the overrides compose.",
    )
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="RUN_DIR | key=value",
        help="step=N, point=N (0 by default) and neuron=N (counted from 1) pick what is shown; "
        "other keys are those of train.py",
    )
    given = parser.parse_args().arguments
    is_directory = given and (Path(given[0]).is_dir() or not ("=" in given[0] or given[0].startswith("~")))
    directory = Path(given.pop(0)) if is_directory else None
    with errors_reported():
        picks, changes = _picked(given)
        config = _configuration(directory, changes)
        step = replay_step(config, picks["step"])
        print("\n".join(explain_step(step, config.model.activation, picks["point"], picks["neuron"])))


def _configuration(directory: Path | None, changes: list[str]) -> DictConfig:
    if directory:
        return load_recorded(RunDirectory(directory), changes)[0]
    config = compose_configuration(changes)
    check_instantiable(config)
    return config


def _picked(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Tell what is picked of a step from what changes the configuration."""
    picks: dict[str, Any] = dict(PICKS)
    changes = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in picks:
            changes.append(argument)
        elif value.isdecimal():
            picks[key] = int(value)
        else:
            raise ConfigurationError(f"{argument}: a whole number ≥ 0")
    return picks, changes


if __name__ == "__main__":
    main()
