"""The LightningModules of several runs as one, whose steps compute the steps of all of them."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.func import functional_call
from typing_extensions import override

from experiment.vectorized.graph import ReplayedStep
from experiment.vectorized.optimizers import StackedOptimizer
from experiment.vectorized.recorder import Means, Recorder, Rule
from experiment.vectorized.refusal import NotVectorizable
from experiment.vectorized.step import CallableStep, MappedStep, Scores, TrainingResult
from experiment.vectorized.streams import Streams
from experiment.vectorized.trainer_view import TrainerView


class StackedModule(LightningModule):
    """Several modules of one structure, whose parameters are stacked: row i of each belongs to run i.

    Args:
        models: of the runs.
        optimizers: of the runs.
        streams: from which dropout draws.

    Attributes:
        step: of one module, mapped over the runs.
        replayed: computes its training steps from graphs, ``None`` for by itself.
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
        self.step = MappedStep(models[0], streams)
        self.replayed: ReplayedStep | None = None
        self.stacked = nn.ParameterList(
            nn.Parameter(torch.stack([each.detach() for each in rows]), requires_grad=rows[0].requires_grad)
            for rows in zip(*(model.parameters() for model in models), strict=True)
        )
        for index, rows in enumerate(zip(*(model.buffers() for model in models), strict=True)):
            self.register_buffer(f"buffer_{index}", torch.stack([*rows]))
        self.losses = torch.zeros(len(models))
        self.logged: Scores = {}
        self.rules: dict[str, Rule] = {}
        self.training_means, self.scoring_means = Means(), Means()
        self.scores: Scores = {}
        self.absent: dict[str, set[int]] = {}
        self.report: Callable[[Scores], None] = lambda scores: None

    def replay_steps(self, pays: Callable[[float], bool]) -> None:
        """Compute training steps from graphs, as ``ReplayedStep`` does."""
        self.replayed = ReplayedStep(self.step, pays)

    def check_steps(self) -> None:
        """Check that steps that were computed from graphs are right, and that nothing was refused to the module.

        Raises:
            NotVectorizable: they are not, or something was.
        """
        cast(TrainerView, self.models[0].trainer).check()
        if self.replayed:
            self.replayed.check([*self.stacked], [*self.buffers()])

    @override
    def on_fit_start(self) -> None:
        self.models[0]._device = self.device  # what its step reads as ``self.device``

    @override
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        step = self.replayed or self.step
        result = step.compute_gradients([*self.stacked], [*self.buffers()], batch, batch_idx)
        if self.logged and self.logged.keys() != result.scores.keys():  # Lightning logs again what a step does not log
            raise NotVectorizable(f"it logs {min(self.logged.keys() ^ result.scores.keys())} in some steps only")
        self.losses, self.logged = result.losses, result.scores
        self.rules |= result.rules
        for name, values in self.logged.items():
            if self.rules[name].on_epoch:
                self.training_means.add(name, values, result.sizes[name], self.rules[name])
        loss: Tensor = _Loss.apply(result, *(each for each in self.stacked if each.requires_grad))  # type: ignore[no-untyped-call]
        return loss

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
        recorders = self.streams.call_each(partial(self._end_test, run) for run in range(len(self.models)))
        logged = [recorder.values for recorder in recorders]
        rules = {name: rule for recorder in recorders for name, rule in recorder.rules.items()}
        self.absent = {}
        nothing = torch.zeros((), device=self.device)
        for name, rule in rules.items():
            self.absent[name] = {run for run, values in enumerate(logged) if name not in values}
            self.scoring_means.add(name, torch.stack([each.get(name, nothing) for each in logged]), 1, rule)

    def _end_test(self, run: int) -> Recorder:
        """Return what a module logs when its test ends."""
        model = self.models[run]
        state = {f"model.{name}": each[run] for name, each in self._named_tensors()}
        model.eval()
        recorder = Recorder("test", torch.zeros(1))
        with recorder.replacing_log(model), cast(TrainerView, model.trainer).showing_data():
            functional_call(CallableStep(model), state, ("on_test_epoch_end",))
        return recorder

    def report_training(self) -> None:
        """Report the means over the steps of an epoch."""
        self._report(self.training_means)

    def _score(self, stage: str, batch: Any, batch_idx: int) -> None:
        result = self.step.compute(stage, self._tensors, batch, batch_idx)
        self.rules |= result.rules
        for name, values in result.scores.items():
            self.scoring_means.add(name, values, result.sizes[name], self.rules[name])

    @property
    def _tensors(self) -> list[Tensor]:
        return [*self.stacked, *self.buffers()]

    def _named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        return zip(self.step.tensor_names, self._tensors, strict=True)

    def _report(self, means: Means) -> None:
        scores = means.take()
        if scores and not self.trainer.sanity_checking:
            self.scores |= scores
            rules = means.rules
            self.report({rules[name].epoch_name(name): scores[name] for name in scores if rules[name].to_logger})

    @override
    def configure_optimizers(self) -> StackedOptimizer:
        return StackedOptimizer([*self.stacked], self.models, self.optimizers_of_runs)

    @override
    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradients of each run as Lightning and torch do for one."""
        gradients = [each.grad for each in optimizer.places if each.grad is not None]
        if gradient_clip_val is None:
            return
        if gradient_clip_algorithm == "value":
            for gradient in gradients:
                gradient.clamp_(-gradient_clip_val, gradient_clip_val)
            return
        norms = torch.stack([gradient.reshape(len(gradient), -1).norm(dim=1) for gradient in gradients]).norm(dim=0)
        factors = (gradient_clip_val / (norms + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(factors.reshape(-1, *(1 for _ in gradient.shape[1:])))

    @torch.no_grad()
    def copy_tensors(self) -> dict[str, Tensor]:
        """Return copies of the stacked parameters and buffers, by the names that they have in the models."""
        return {name: each.cpu().clone() for name, each in self._named_tensors()}

    @override
    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return nothing: each run has a checkpoint of its own."""
        return {}

    @override
    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load nothing: the parameters come from the runs' own models."""


class _Loss(torch.autograd.Function):
    """The sum of losses whose gradients are known."""

    @staticmethod
    @override
    def forward(ctx: Any, result: TrainingResult, *parameters: Tensor) -> Tensor:
        ctx.gradients = result.gradients
        return result.losses.sum()

    @staticmethod
    @override
    def backward(ctx: Any, *scales: Tensor) -> Any:
        (scale,) = scales  # of the loss, where gradients are accumulated over several steps
        return None, *(each if each is None else each * scale for each in ctx.gradients)
