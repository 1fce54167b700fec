"""Backpropagation in TensorBoard: the errors, gradients and updates of a training step, of each layer and parameter."""

import functools
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from experiment.backprop.pictures import draw_backpropagation
from experiment.runs.callback import View, step_index
from experiment.runs.layers import named_layers, tag_name
from experiment.runs.logger import tensorboard_loggers
from experiment.runs.pictures import FinishedRun, render

HISTOGRAM_BINS = 30


class Backprop(View):
    """Logs the backward pass and the update of a training step, at that step:

    - ``error/<layer>``: ‖∂L/∂z‖₂, of the layer's output z before its activation, over all points of the step: the
      error δ that is passed back (Rumelhart, Hinton and Williams, 1986);
    - ``gradient/<parameter>``: ‖∂L/∂w‖₂, before it is clipped;
    - ``update_ratio/<parameter>``: ‖w' − w‖₂ / ‖w‖₂, from w before the step to w' after it;
    - ``gradients/<parameter>``, ``weights/<parameter>``: histograms of the elements, before the step.

    L is the loss of the step: the mean over its accumulated batches and over all devices. A layer is a module that
    holds parameters itself. Names are those in the LightningModule, without a leading ``net.``.

    Args:
        every_n_steps: the scalars are logged at the steps 0, n, 2n, …; ``None``: never.
        histogram_every_n_steps: the histograms are logged at the steps 0, n, 2n, …; ``None``: never.
    """

    def __init__(self, every_n_steps: int | None, histogram_every_n_steps: int | None) -> None:
        self.every_n_steps, self.histogram_every_n_steps = every_n_steps, histogram_every_n_steps
        self.hooks: list[Any] = []
        self.error_norms: dict[str, list[Tensor]] = {}  # of each layer, in the order of the backward pass
        self.before: dict[str, Tensor] = {}  # the parameters, before the step
        self.gradient_norms: dict[str, Tensor] = {}
        self.loss_scale = 1.0  # of mixed precision
        self.copies = 1  # of the batch: the number of processes that train on all of it
        self.chart_logged = False

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.copies = _count_copies(trainer, batch_idx)
        if trainer.loggers and not self.hooks and _is_due(trainer, self.every_n_steps):
            self.hooks = [
                layer.register_forward_hook(functools.partial(self._hook_output, tag_name(name)))
                for name, layer in named_layers(pl_module)
            ]

    def _hook_output(self, layer: str, module: nn.Module, inputs: Any, output: Any) -> None:
        for z in output if isinstance(output, tuple | list) else [output]:
            if isinstance(z, Tensor) and z.requires_grad:
                z.register_hook(functools.partial(self._record_error, layer))

    def _record_error(self, layer: str, error: Tensor) -> None:
        self.error_norms.setdefault(layer, []).append(_norm(error) * math.sqrt(self.copies))

    @override
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        histograms = _is_due(trainer, self.histogram_every_n_steps)
        if not trainer.loggers or not (self.hooks or histograms):
            return
        optimized = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        for name, parameter in _named_parameters(pl_module):
            if id(parameter) in optimized and parameter.grad is not None and name not in self.before:
                self.before[name] = parameter.detach().clone()
                self.gradient_norms[name] = _norm(parameter.grad)
                if histograms:
                    _log_histogram(trainer, f"weights/{name}", parameter)
                    _log_histogram(trainer, f"gradients/{name}", parameter.grad)
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self.loss_scale = scaler.get_scale() if scaler else 1.0

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self.before:  # the step is not logged, or further batches are accumulated
            return
        if self.hooks:
            self._log_scalars(trainer, pl_module)
        self._reset()

    def _log_scalars(self, trainer: Trainer, module: LightningModule) -> None:
        values = self._reduce_errors(trainer)
        self._log_chart(trainer, list(values))
        for name, parameter in _named_parameters(module):
            if name in self.before:
                values[f"gradient/{name}"] = self.gradient_norms[name]
                before = self.before[name]
                values[f"update_ratio/{name}"] = _norm(parameter - before) / _norm(before)
        numbers = torch.stack(list(values.values())).tolist()  # in one transfer from the device
        for logger in trainer.loggers:
            logger.log_metrics(dict(zip(values, numbers, strict=True)), step=step_index(trainer))

    def _reduce_errors(self, trainer: Trainer) -> dict[str, Tensor]:
        """Return the norm of each layer's error over all batches and devices; the loss is their mean."""
        norms = {layer: _norm(torch.stack(errors)) / self.loss_scale for layer, errors in self.error_norms.items()}
        if trainer.world_size > 1:
            squares = {layer: trainer.strategy.reduce(norm.square(), reduce_op="sum") for layer, norm in norms.items()}
            norms = {layer: square.sqrt() / trainer.world_size for layer, square in squares.items()}
        return {f"error/{layer}": norm for layer, norm in norms.items()}

    def _log_chart(self, trainer: Trainer, errors: list[str]) -> None:
        """Log the layout of Custom Scalars: all errors on one chart, from the output to the input."""
        if not self.chart_logged:
            self.chart_logged = True
            for logger in tensorboard_loggers(trainer):
                tags = [f"^{re.escape(tag)}$" for tag in errors]
                logger.experiment.add_custom_scalars({"backpropagation": {"error of each layer": ["Multiline", tags]}})

    def draw(self, run: FinishedRun) -> None:
        """Draw ``backpropagation.png``."""
        if any(tag.startswith("error/") for tag in run.curves):
            render(draw_backpropagation(run.curves), run.directory / "backpropagation.png")

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._reset()

    def _reset(self) -> None:
        for hook in self.hooks:
            hook.remove()
        self.hooks, self.error_norms, self.before, self.gradient_norms = [], {}, {}, {}


def _is_due(trainer: Trainer, every_n_steps: int | None) -> bool:
    return every_n_steps is not None and step_index(trainer) % every_n_steps == 0


def _count_copies(trainer: Trainer, batch_idx: int) -> int:
    """Return how many processes train on all of a batch: one, unless its loader says that it does not divide it."""
    is_divided = getattr(trainer.train_dataloader, "is_divided", None)
    return 1 if is_divided is None or is_divided(batch_idx) else trainer.world_size


def _norm(values: Tensor) -> Tensor:
    """Return the L2 norm, in float32 at least: in float16 the squares of small gradients vanish."""
    norm: Tensor = torch.linalg.vector_norm(values.detach(), dtype=torch.promote_types(values.dtype, torch.float32))
    return norm


def _named_parameters(module: LightningModule) -> Iterator[tuple[str, nn.Parameter]]:
    return ((tag_name(name), parameter) for name, parameter in module.named_parameters())


def _log_histogram(trainer: Trainer, tag: str, values: Tensor) -> None:
    elements = values.detach().flatten().cpu().double().numpy()
    elements = elements[np.isfinite(elements)]
    for logger in tensorboard_loggers(trainer) if len(elements) else ():
        logger.experiment.add_histogram(tag, elements, step_index(trainer), bins=_bin_edges(elements))


def _bin_edges(elements: np.ndarray) -> np.ndarray:
    """Return the edges of equal bins over the elements, however near to each other, large or small these are."""
    low, high = elements.min(), elements.max()
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # NumPy makes no bins that are narrower than its precision
        margin = max(0.5, 1e-6 * abs(high))
        low, high = low - margin, high + margin
    return np.linspace(low, high, HISTOGRAM_BINS + 1)
