"""The LightningModules of several runs as one, whose steps compute the steps of all of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import _ModuleMode, is_overridden
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor, nn
from torch.func import functional_call, vmap
from typing_extensions import override

from experiment.vectorized.optimizers import StackedOptimizer
from experiment.vectorized.recorder import Means, Recorder, Rule
from experiment.vectorized.refusal import NotVectorizable
from experiment.vectorized.streams import DropoutFromStreams, Streams
from experiment.vectorized.trainer_view import TrainerView

Scores = dict[str, Tensor]  # by name, one for each run


class StackedModule(LightningModule):
    """Several modules of one structure, whose parameters are stacked: row i of each belongs to run i.

    A step is the step of the first module, mapped over the runs by ``torch.func``.

    Args:
        models: of the runs.
        optimizers: of the runs.
        streams: from which dropout draws.

    Attributes:
        losses: of the newest training step, ``[runs]``.
        logged: what the newest training step logged.
        rules: how each name is logged.
        scores: the newest means over an epoch.
        absent: the runs, by their index, that have not logged a score when their test ended, by its name.
        report: is given those that are to be logged.
    """

    def __init__(self, models: Sequence[LightningModule], optimizers: Sequence[Any], streams: Streams) -> None:
        super().__init__()
        self.models, self.optimizers_of_runs, self.streams = [*models], optimizers, streams
        # In a list, since the first model's own parameters are none of this module's.
        self.template = [_Step(models[0])]
        self.training_mode = _ModuleMode()  # some of its submodules may stay in the mode of evaluation
        self.training_mode.capture(self.template[0])
        self.stacked = nn.ParameterList(
            nn.Parameter(torch.stack([each.detach() for each in rows]), requires_grad=rows[0].requires_grad)
            for rows in zip(*(model.parameters() for model in models), strict=True)
        )
        named = (*models[0].named_parameters(), *models[0].named_buffers())
        self.tensor_names = [name for name, _ in named]
        for index, rows in enumerate(zip(*(model.buffers() for model in models), strict=True)):
            self.register_buffer(f"buffer_{index}", torch.stack([*rows]))
        self.draws = any(isinstance(each, nn.modules.dropout._DropoutNd) for each in models[0].modules())
        self.losses = torch.zeros(len(models))
        self.logged: Scores = {}
        self.rules: dict[str, Rule] = {}
        self.training_means, self.scoring_means = Means(), Means()
        self.scores: Scores = {}
        self.absent: dict[str, set[int]] = {}
        self.report: Callable[[Scores], None] = lambda scores: None

    @override
    def on_fit_start(self) -> None:
        self.models[0]._device = self.device  # what its step reads as ``self.device``

    @override
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        before = self.logged.keys()
        self.losses, self.logged, sizes = self._compute("training", batch, batch_idx)
        if before and before != self.logged.keys():  # Lightning logs again what a step does not log
            raise NotVectorizable(f"it logs {min(before ^ self.logged.keys())} in some steps only")
        for name, values in self.logged.items():
            if self.rules[name].on_epoch:
                self.training_means.add(name, values, sizes[name], self.rules[name])
        total = self.losses.sum()
        self.losses = self.losses.detach()
        return total

    @override
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._score("validation", batch, batch_idx)

    @override
    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._score("test", batch, batch_idx)

    @override
    def on_validation_epoch_end(self) -> None:
        self._report(self.scoring_means)

    @override
    def on_test_epoch_end(self) -> None:
        self.end_test_of_each()
        self._report(self.scoring_means)

    @torch.no_grad()
    def end_test_of_each(self) -> None:
        """Record what each module logs when its test ends, one by one: there it may read the data of its run."""
        if not is_overridden("on_test_epoch_end", self.models[0], LightningModule):
            return
        logged: list[Scores] = []
        rules: dict[str, Rule] = {}
        self.absent = {}
        tensors = (*self.stacked, *self.buffers())
        for run, model in enumerate(self.models):
            state = {f"model.{name}": each[run] for name, each in zip(self.tensor_names, tensors, strict=True)}
            model.eval()
            recorder = Recorder("test", torch.zeros(1))
            view = cast(TrainerView, model.trainer)
            with self.streams.of(run), recorder.replacing_log(model), view.showing_data():
                functional_call(_Step(model), state, ("on_test_epoch_end",))
            logged.append(recorder.values)
            rules |= recorder.rules
        nothing = torch.zeros((), device=self.device)
        for name, rule in rules.items():
            self.absent[name] = {run for run, values in enumerate(logged) if name not in values}
            self.scoring_means.add(name, torch.stack([each.get(name, nothing) for each in logged]), 1, rule)

    def report_training(self) -> None:
        """Report the means over the steps of an epoch."""
        self._report(self.training_means)

    def _score(self, stage: str, batch: Any, batch_idx: int) -> None:
        _, scores, sizes = self._compute(stage, batch, batch_idx)
        for name, values in scores.items():
            self.scoring_means.add(name, values, sizes[name], self.rules[name])

    def _report(self, means: Means) -> None:
        scores = means.take()
        if scores and not self.trainer.sanity_checking:
            self.scores |= scores
            rules = means.rules
            self.report({rules[name].epoch_name(name): scores[name] for name in scores if rules[name].to_logger})

    def _compute(self, stage: str, batch: Any, batch_idx: int) -> tuple[Tensor, Scores, dict[str, int]]:
        """Return the losses, what is logged, and the sizes of the batches, of the step of all runs."""
        template, recorders = self.template[0], []
        if template.training != self.training:
            template.eval()
            if self.training:
                self.training_mode.restore(template)

        def compute_one(state: dict[str, Tensor], batch: Any) -> tuple[Tensor, Scores]:
            recorder = Recorder(stage, batch)
            recorders.append(recorder)
            with recorder.replacing_log(template.model):
                result = functional_call(template, state, (f"{stage}_step", batch, batch_idx))
            return get_loss(result) if stage == "training" else torch.zeros(()), recorder.values

        tensors = (*self.stacked, *self.buffers())
        state = {f"model.{name}": each for name, each in zip(self.tensor_names, tensors, strict=True)}
        if self.draws and self.training:
            with DropoutFromStreams(self.streams):
                losses, logged = vmap(compute_one)(state, batch)
        else:
            losses, logged = vmap(compute_one)(state, batch)
        self.rules |= recorders[0].rules
        return losses, logged, recorders[0].sizes

    @override
    def configure_optimizers(self) -> StackedOptimizer:
        return StackedOptimizer([*self.stacked], self.models, self.optimizers_of_runs)

    @override
    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradients of each run as Lightning and torch do for one."""
        gradients = [each.grad for each in self.stacked if each.grad is not None]
        if gradient_clip_val is None:
            return
        if gradient_clip_algorithm == "value":
            for gradient in gradients:
                gradient.clamp_(-gradient_clip_val, gradient_clip_val)
            return
        norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
        factors = (gradient_clip_val / (norms + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(factors.reshape(-1, *(1 for _ in gradient.shape[1:])))

    @torch.no_grad()
    def copy_tensors(self) -> dict[str, Tensor]:
        """Return copies of the stacked parameters and buffers, by the names that they have in the models."""
        tensors = (*self.stacked, *self.buffers())
        return {name: each.cpu().clone() for name, each in zip(self.tensor_names, tensors, strict=True)}

    @override
    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return nothing: each run has a checkpoint of its own."""
        return {}

    @override
    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load nothing: the parameters come from the runs' own models."""


class _Step(nn.Module):
    """Lets ``functional_call`` call any step of a module, with the arguments that it takes."""

    def __init__(self, model: LightningModule) -> None:
        super().__init__()
        self.model = model

    @override
    def forward(self, step: str, *arguments: Any) -> Any:
        method, buffers = getattr(self.model, step), [*self.model.buffers()]
        result = method(*arguments[: count_arguments(method)])
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
