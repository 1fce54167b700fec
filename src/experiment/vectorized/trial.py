"""A trial before runs are trained together: do their steps, computed together, come to what each comes to alone?"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from lightning.pytorch.plugins import Precision
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig
from torch import Tensor
from torch.utils._pytree import tree_map

from experiment.configuration.objective import Objective
from experiment.runs.directory import RunDirectory
from experiment.runs.loss import TAG
from experiment.runs.objects import make_model_and_data
from experiment.vectorized.agreement import agree
from experiment.vectorized.attributes import check_alike, describe, describe_state
from experiment.vectorized.grouping import check_modules
from experiment.vectorized.loaders import StackedData
from experiment.vectorized.member import Member
from experiment.vectorized.module import StackedModule
from experiment.vectorized.recorder import Recorder
from experiment.vectorized.refusal import NotVectorizable, explain
from experiment.vectorized.step import count_arguments, get_loss
from experiment.vectorized.streams import Streams
from experiment.vectorized.trainer_view import TrainerView
from experiment.vectorized.training import make_trainer

TRIED, COMPARED = 4, 2  # runs
FEWEST, MOST = 16, 1024  # runs together
CACHE = 8 * 2**20  # bytes that a step of all runs may keep on a CPU: about a cache of the last level
MEMORY = 2**30  # on an accelerator that does not say how much it has


def choose_batch_size(
    runs: Sequence[tuple[RunDirectory, DictConfig]], processes: int = 1, compared: int = COMPARED
) -> int:
    """Try a step of a few runs of one structure, and return how many are best trained together.

    Args:
        runs: some of them.
        processes: that train at once, on the same device.
        compared: how many of these runs are compared with runs alone.

    Raises:
        NotVectorizable: they cannot be trained together.
    """
    trainer = make_trainer(runs[0][1])
    try:
        check_modules(*make_model_and_data(runs[0][1]))
        members = [Member.make(index, directory, config, trainer) for index, (directory, config) in enumerate(runs)]
        check_alike([member.model for member in members])
        trial = _Trial(members, compared, trainer.precision_plugin)
        size = trial.try_training() / len(members)
        trial.try_scoring(with_validation=trainer.limit_val_batches != 0)
    except Exception as error:  # whatever somebody's step makes torch raise
        raise NotVectorizable(explain(error)) from error
    return int(min(max(_room(trainer.strategy.root_device, processes) / size, FEWEST), MOST))


def _room(device: torch.device, processes: int) -> float:
    """Return how many bytes a step of all runs of one process may keep on a device."""
    if device.type == "cpu":
        return CACHE
    return (torch.cuda.mem_get_info(device)[0] / 4 if device.type == "cuda" else MEMORY) / processes


class _Trial:
    """Computes steps of several runs together, and compares them with those of some alone.

    Args:
        members: the runs.
        compared: how many of them are compared.
        precision: of the trainer.

    Raises:
        NotVectorizable: they come to something else.
    """

    def __init__(self, members: Sequence[Member], compared: int, precision: Precision) -> None:
        self.members, self.compared, self.precision = members, members[:compared], precision
        self.streams = Streams([each.config.seed for each in members], [each.streams for each in members])
        self.data = StackedData([each.data for each in members], self.streams)
        models, optimizers = [each.model for each in members], [each.optimizer for each in members]
        self.stack = StackedModule(models, optimizers, self.streams)
        self.stack.configure_optimizers()
        self.counts: Sequence[int] | None = None  # of the rows of each run in the newest batch
        self.attributes = describe_state(models[0])
        self.data.prepare_data()
        self.data.setup("fit")

    def try_training(self) -> int:
        """Compare losses, gradients and what is logged; return how many bytes a step keeps for its backward pass."""
        sizes: dict[int, int] = {}

        def measure(tensor: Tensor) -> Tensor:
            sizes[tensor.data_ptr()] = tensor.nbytes
            return tensor

        batch = self._first_batch(self.data.train_dataloader())
        saved = torch.autograd.graph.saved_tensors_hooks(measure, lambda tensor: tensor)
        with self._step_context("training"), saved:
            total = self.stack.training_step(batch, 0)
        total.backward()
        self._check_attributes()
        gradients = [each.grad for each in self.stack.stacked]
        drawn = [describe(self.streams.state(member.index)) for member in self.compared]
        self.streams.begin_epoch(0)
        for member, streams in zip(self.compared, drawn, strict=True):
            row = member.index
            result, recorder = self._compute_alone("training", batch, member)
            if describe(self.streams.states[row]) != streams:
                raise NotVectorizable("its step draws random numbers otherwise than by nn.Dropout")
            loss = get_loss(result)
            loss.backward()
            _check_equal({"loss": loss}, {"loss": self.stack.losses[row]}, "loss")
            own = {name: each.grad for name, each in member.model.named_parameters() if each.grad is not None}
            theirs = zip(self.stack.step.tensor_names, gradients, strict=False)
            _check_equal(own, {name: each[row] for name, each in theirs if each is not None}, "gradient")
            self._check_scores(recorder, self.stack.logged, row)
        return sum(sizes.values())

    def try_scoring(self, with_validation: bool) -> None:
        """Compare what is logged of the first batches of validation and test."""
        model, data = self.members[0].model, self.members[0].data
        validated: set[str] = set()
        for stage, split in [("validation", "val")] * with_validation + [("test", "test")]:
            step, loader = f"{stage}_step", f"{split}_dataloader"
            if is_overridden(step, model) and is_overridden(loader, data):
                if stage == "test":
                    self.data.setup("test")
                scores = self._try_scoring(stage, getattr(self.data, loader)())
                if stage == "test":
                    self.stack.end_test_of_each()
                    self.stack.scoring_means.take()
                validated |= scores if stage == "validation" else set()
        metric = Objective.of(self.members[0].config).metric
        rules = self.stack.logged.keys()
        trained = {TAG, *rules, *(f"{name}_step" for name in rules), *(f"{name}_epoch" for name in rules)}
        if metric in trained - validated:
            raise NotVectorizable(f"objective={metric} is a score of training")

    def _try_scoring(self, stage: str, loader: Any) -> set[str]:
        batch = self._first_batch(loader)
        self.stack.eval()
        with self._step_context(stage):
            getattr(self.stack, f"{stage}_step")(batch, 0)
        self._check_attributes()
        means = self.stack.scoring_means.take()
        for member in self.compared:
            member.model.eval()
            _, recorder = self._compute_alone(stage, batch, member)
            self._check_scores(recorder, means, member.index)
        return {*means}

    def _first_batch(self, loader: Any) -> Any:
        self.counts = getattr(loader, "counts", None)
        batch = self.precision.convert_input(next(iter(loader)))
        self.streams.begin_epoch(0)
        return batch

    @contextmanager
    def _step_context(self, stage: str) -> Iterator[None]:
        if stage == "training":
            with self.precision.train_step_context():
                yield
        else:
            with self.precision.val_step_context(), torch.no_grad():
                yield

    def _compute_alone(self, stage: str, batch: Any, member: Member) -> tuple[Any, Recorder]:
        count = self.counts[member.index] if self.counts else None  # the others are repeated
        own = tree_map(lambda tensor: tensor[member.index][:count], batch)
        step, recorder = getattr(member.model, f"{stage}_step"), Recorder(stage, own)
        with self._step_context(stage), self.streams.of(member.index), recorder.replacing_log(member.model):
            return step(*(own, 0)[: count_arguments(step)]), recorder

    def _check_attributes(self) -> None:
        if describe_state(self.members[0].model) != self.attributes:
            raise NotVectorizable("its step changes an attribute of the module")
        for member in self.members:
            cast(TrainerView, member.model.trainer).check()

    def _check_scores(self, recorder: Recorder, scores: Mapping[str, Tensor], row: int) -> None:
        _check_equal(recorder.values, {name: each[row] for name, each in scores.items()}, "score")


def _check_equal(alone: Mapping[str, Tensor], together: Mapping[str, Tensor], what: str) -> None:
    if not agree(alone, together):
        raise NotVectorizable(f"its step comes to another {what} where runs are computed together")
