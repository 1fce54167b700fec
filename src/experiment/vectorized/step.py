"""The step of a module, computed for several runs at once: mapped over them by ``torch.func``."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import _ModuleMode
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor, nn
from torch.func import functional_call, vmap
from typing_extensions import override

from experiment.vectorized.agreement import agree_in_each_run
from experiment.vectorized.recorder import Recorder, Rule
from experiment.vectorized.recurrent import RecurrentLayers
from experiment.vectorized.refusal import NotVectorizable
from experiment.vectorized.streams import DropoutFromStreams, Streams

Scores = dict[str, Tensor]  # by name, one for each run


@dataclass
class StepResult:
    """What the steps of several runs come to.

    Attributes:
        losses: ``[runs]``, zeros where nothing is trained.
        scores: what was logged.
        sizes: of the batch of one run, for each name that was logged.
        rules: how each name is logged.
    """

    losses: Tensor
    scores: Scores
    sizes: dict[str, int]
    rules: dict[str, Rule]


@dataclass
class TrainingResult(StepResult):
    """What the training steps of several runs come to.

    Attributes:
        gradients: of the sum of the losses, for each parameter that is trained; ``None`` where one has no part in it.
    """

    gradients: Sequence[Tensor | None]

    def agrees(self, other: "TrainingResult") -> bool:
        """Return whether another result is the same, but for rounding."""
        gradients, others = ([each for each in side.gradients if each is not None] for side in (self, other))
        return (
            self.scores.keys() == other.scores.keys()
            and [each is None for each in self.gradients] == [each is None for each in other.gradients]
            and all(agree_in_each_run([score], [other.scores[name]]) for name, score in self.scores.items())
            and agree_in_each_run([self.losses], [other.losses])
            and agree_in_each_run(gradients, others)
        )


class MappedStep:
    """Computes the steps of several runs as one.

    Args:
        model: of the first run; the others differ in the values of their parameters and buffers alone.
        streams: from which dropout draws.

    Attributes:
        tensor_names: of the parameters, and then of the buffers.
        draws: whether the module has layers that draw random numbers.
    """

    def __init__(self, model: LightningModule, streams: Streams) -> None:
        self.model, self.streams = model, streams
        self.callable = CallableStep(model)
        self.training_mode = _ModuleMode()  # some of its submodules may stay in the mode of evaluation
        self.training_mode.capture(self.callable)
        self.tensor_names = [name for name, _ in (*model.named_parameters(), *model.named_buffers())]
        modules = [*model.modules()]
        self.is_recurrent = any(isinstance(each, nn.RNNBase) for each in modules)
        self.draws = any(isinstance(each, nn.modules.dropout._DropoutNd) for each in modules)

    def compute(self, stage: str, tensors: Sequence[Tensor], batch: Any, batch_idx: Any) -> StepResult:
        """Compute a step of all runs.

        Args:
            stage: ``training``, ``validation`` or ``test``.
            tensors: parameters and buffers, in the order of ``tensor_names``: row i of each belongs to run i.
            batch: whose row i is the batch of run i.
            batch_idx: the number of the batch in its epoch.
        """
        is_training, recorders = stage == "training", []
        self._set_mode(is_training)

        def compute_one(state: dict[str, Tensor], batch: Any) -> tuple[Tensor, Scores]:
            recorder = Recorder(stage, batch)
            recorders.append(recorder)
            with recorder.replacing_log(self.model):
                result = functional_call(self.callable, state, (f"{stage}_step", batch, batch_idx))
            return get_loss(result) if is_training else torch.zeros(()), recorder.values

        state = {f"model.{name}": each for name, each in zip(self.tensor_names, tensors, strict=True)}
        with ExitStack() as stack:
            if self.draws and is_training:
                stack.enter_context(DropoutFromStreams(self.streams))
            if self.is_recurrent:
                stack.enter_context(RecurrentLayers())
            losses, scores = vmap(compute_one)(state, batch)
        return StepResult(losses, scores, recorders[0].sizes, recorders[0].rules)

    def compute_gradients(
        self, parameters: Sequence[Tensor], buffers: Sequence[Tensor], batch: Any, batch_idx: Any
    ) -> TrainingResult:
        """Compute the training step of all runs, and its gradients.

        Args:
            parameters: stacked, of which those are trained that require a gradient.
            buffers: stacked.
            batch: whose row i is the batch of run i.
            batch_idx: the number of the batch in its epoch.
        """
        with torch.enable_grad():
            result = self.compute("training", [*parameters, *buffers], batch, batch_idx)
            trained = [each for each in parameters if each.requires_grad]
            gradients = torch.autograd.grad(result.losses.sum(), trained, allow_unused=True)
        return TrainingResult(result.losses.detach(), result.scores, result.sizes, result.rules, gradients)

    def _set_mode(self, is_training: bool) -> None:
        if self.callable.training != is_training:
            self.callable.eval()
            if is_training:
                self.training_mode.restore(self.callable)


class CallableStep(nn.Module):
    """Lets ``functional_call`` call any step of a module, with the arguments that it takes."""

    def __init__(self, model: LightningModule) -> None:
        super().__init__()
        self.model = model

    @override
    def forward(self, step: str, *arguments: Any) -> Any:
        method, buffers = getattr(self.model, step), [*self.model.buffers()]
        trained = [each.requires_grad for each in self.model.parameters()]
        result = method(*arguments[: count_arguments(method)])
        if trained != [each.requires_grad for each in self.model.parameters()]:
            raise NotVectorizable("its step changes which parameters are trained")
        if any(new is not old for new, old in zip(self.model.buffers(), buffers, strict=True)):
            raise NotVectorizable("its step replaces a buffer, instead of changing it in place")
        return result


def count_arguments(step: Callable[..., Any]) -> int:
    """Return how many of a batch and its index a step takes."""
    return 2 if is_param_in_hook_signature(step, "batch_idx", min_args=2) else 1


def get_loss(result: Any) -> Tensor:
    """Return the loss, ``[]``, of what a training step returns.

    Raises:
        NotVectorizable: there is none.
    """
    loss = result.get("loss") if isinstance(result, Mapping) else result
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise NotVectorizable("its training step returns no loss, or not one number")
    return loss.reshape(())
