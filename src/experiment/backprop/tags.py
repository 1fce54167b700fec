"""The error as it travels back: what each training step does to every layer and every parameter, in TensorBoard."""

import functools
import re
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from experiment.backprop.pictures import draw_backpropagation
from experiment.runs.callback import LeanCallback, step_index
from experiment.runs.logger import tensorboard_loggers
from experiment.runs.pictures import FinishedRun, render

BINS = 30  # of a histogram


class Backprop(LeanCallback):
    """Logs, of the backward pass and the update of a training step, at that step:

    - ``error/<layer>``: ‖∂L/∂z‖₂, of the layer's output z before its activation, over all points of the step: the
      error δ that is passed back (Rumelhart, Hinton and Williams, 1986);
    - ``gradient/<parameter>``: ‖∂L/∂w‖₂, before it is clipped;
    - ``update_ratio/<parameter>``: ‖w' − w‖₂ / ‖w‖₂, from w before the step to w' after it;
    - ``gradients/<parameter>``, ``weights/<parameter>``: histograms of the elements, before the step.

    L is the loss of the step: the mean over its batches where it accumulates several, and over all devices. A layer is
    a module that holds parameters itself. Names are the LightningModule's, less a leading ``net.``.

    Args:
        every_n_steps: the scalars are logged at the steps 0, n, 2n, …; ``None``: never.
        histogram_every_n_steps: the histograms, likewise.
    """

    def __init__(self, every_n_steps: int | None, histogram_every_n_steps: int | None) -> None:
        self.every_n_steps, self.histogram_every_n_steps = every_n_steps, histogram_every_n_steps
        self.hooks: list[Any] = []
        self.errors: dict[str, list[Tensor]] = {}  # of each layer, from the output to the input
        self.before: dict[str, Tensor] = {}  # the parameters that the step is about to change
        self.gradients: dict[str, Tensor] = {}  # and their gradients' norms
        self.scale = 1.0  # of the loss, where it is scaled to keep small gradients from vanishing
        self.laid_out = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Listen to the layers, if the step is one of those that are logged; no other step pays for it."""
        if trainer.loggers and not self.hooks and _due(trainer, self.every_n_steps):
            self.hooks = [
                module.register_forward_hook(functools.partial(self._listen, _short(name)))
                for name, module in pl_module.named_modules()
                if name and next(module.parameters(recurse=False), None) is not None
            ]

    def _listen(self, layer: str, module: nn.Module, inputs: Any, output: Any) -> None:
        for z in output if isinstance(output, tuple | list) else [output]:
            if isinstance(z, Tensor) and z.requires_grad:
                z.register_hook(functools.partial(self._passed_back, layer))

    def _passed_back(self, layer: str, error: Tensor) -> None:
        self.errors.setdefault(layer, []).append(_norm(error))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """See the gradients as the backward pass left them, and the parameters as the optimizer finds them."""
        histograms = _due(trainer, self.histogram_every_n_steps)
        if not trainer.loggers or not (self.hooks or histograms):
            return
        changed = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        for name, parameter in _parameters(pl_module):
            if id(parameter) in changed and parameter.grad is not None and name not in self.before:
                self.before[name], self.gradients[name] = parameter.detach().clone(), _norm(parameter.grad)
                if histograms:
                    _log_histogram(trainer, f"weights/{name}", parameter)
                    _log_histogram(trainer, f"gradients/{name}", parameter.grad)
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self.scale = scaler.get_scale() if scaler else 1.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the step, once all of its batches have come and the parameters are changed."""
        if not self.before:  # the step is not one that is logged, or not all of its batches have come
            return
        if self.hooks:
            self._log_scalars(trainer, pl_module)
        self._forget()

    def _log_scalars(self, trainer: Trainer, module: LightningModule) -> None:
        values = self._errors(trainer)
        self._lay_out(trainer, list(values))
        for name, parameter in _parameters(module):
            if name in self.before:
                values[f"gradient/{name}"] = self.gradients[name]
                values[f"update_ratio/{name}"] = _norm(parameter - self.before[name]) / _norm(self.before[name])
        numbers = torch.stack(list(values.values())).tolist()  # at once: the device is waited for but once
        for logger in trainer.loggers:
            logger.log_metrics(dict(zip(values, numbers, strict=True)), step=step_index(trainer))

    def _errors(self, trainer: Trainer) -> dict[str, Tensor]:
        """Return the norm of each layer's error over all batches and all devices, of which the loss is the mean."""
        norms = {layer: _norm(torch.stack(errors)) / self.scale for layer, errors in self.errors.items()}
        if trainer.world_size > 1:
            squares = {layer: trainer.strategy.reduce(norm.square(), reduce_op="sum") for layer, norm in norms.items()}
            norms = {layer: square.sqrt() / trainer.world_size for layer, square in squares.items()}
        return {f"error/{layer}": norm for layer, norm in norms.items()}

    def _lay_out(self, trainer: Trainer, errors: list[str]) -> None:
        """Lay the errors on one chart, from the output to the input: in the order in which they came."""
        if not self.laid_out:
            self.laid_out = True
            for logger in tensorboard_loggers(trainer):
                tags = [f"^{re.escape(tag)}$" for tag in errors]
                logger.experiment.add_custom_scalars({"backpropagation": {"error of each layer": ["Multiline", tags]}})

    def draw(self, run: FinishedRun) -> None:
        """Draw ``backpropagation.png``."""
        if any(tag.startswith("error/") for tag in run.curves):
            render(draw_backpropagation(run.curves), run.directory / "backpropagation.png")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the module as it was."""
        self._forget()

    def _forget(self) -> None:
        for hook in self.hooks:
            hook.remove()
        self.hooks, self.errors, self.before, self.gradients = [], {}, {}, {}


def _due(trainer: Trainer, every: int | None) -> bool:
    return every is not None and step_index(trainer) % every == 0


def _norm(values: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(values.detach(), dtype=torch.promote_types(values.dtype, torch.float32))
    return norm


def _parameters(module: LightningModule) -> Iterator[tuple[str, nn.Parameter]]:
    return ((_short(name), parameter) for name, parameter in module.named_parameters())


def _short(name: str) -> str:
    return name.removeprefix("net.")


def _log_histogram(trainer: Trainer, tag: str, values: Tensor) -> None:
    elements = values.detach().float().flatten().cpu()
    elements = elements[elements.isfinite()]
    for logger in tensorboard_loggers(trainer) if len(elements) else ():
        logger.experiment.add_histogram(tag, elements, step_index(trainer), bins=BINS)
