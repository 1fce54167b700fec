"""The callbacks of single runs, for several runs at once: a checkpoint holds the state of the run that it is of."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from typing_extensions import override

from experiment.runs.checkpoint_places import CheckpointPlaces, place_together
from experiment.runs.checkpoints import Checkpoints
from experiment.runs.loss import TAG, LossMonitor
from experiment.runs.randomness import Randomness, get_streams
from experiment.runs.signals import SignalHandler
from experiment.vectorized.log import StackedLog
from experiment.vectorized.member import Member
from experiment.vectorized.module import StackedModule
from experiment.vectorized.streams import Streams


class StackedRandomness(Randomness):
    """Seeds each epoch of several runs."""

    state_key = Randomness.__qualname__  # type: ignore[assignment]

    def __init__(self, streams: Streams) -> None:
        super().__init__(seed=0)
        self.streams = streams
        self.member: Member | None = None

    @override
    def _seed(self, epoch: int) -> None:
        self.streams.begin_epoch(epoch)

    @override
    def state_dict(self) -> dict[str, Any]:
        assert self.member is not None
        with self.streams.of(self.member.index):
            return get_streams()

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load nothing: these runs resume between epochs, or draw nothing within one."""


class StackedLossMonitor(LossMonitor):
    """Logs the losses of several runs, and what their modules log after a step."""

    state_key = LossMonitor.__qualname__  # type: ignore[assignment]

    def __init__(self, members: Sequence[Member], log: StackedLog) -> None:
        super().__init__()
        self.members, self.stacked_log = members, log
        self.member: Member | None = None
        starts = [member.loss for member in members]
        self.firsts = torch.tensor([float("nan") if each.first is None else each.first for each in starts])
        self.losses = torch.tensor([each.newest for each in starts])
        self.is_first = members[0].loss.first is None

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, StackedModule)
        self.losses = pl_module.losses
        if self.is_first:
            self.firsts, self.is_first = self.losses, False
        if not torch.isfinite(self.losses.sum()):
            for member, loss in zip(self.members, self.losses.tolist(), strict=True):
                member.is_dropped |= not abs(loss) < float("inf")
            trainer.should_stop |= all(member.is_dropped for member in self.members)
        if (step := self.step_to_log(trainer, batch_idx)) is not None:
            rules = pl_module.rules
            scores = {
                rules[name].step_name(name): values
                for name, values in pl_module.logged.items()
                if rules[name].on_step and rules[name].to_logger
            }
            self.logs = not any(name.startswith(TAG) for name in pl_module.logged)
            self.stacked_log.log(({TAG: self.losses} if self.logs else {}) | scores, step)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log nothing more: nothing is held back."""

    def update_members(self) -> None:
        """Give each run its first and its newest loss."""
        for member, first, newest in zip(self.members, self.firsts.tolist(), self.losses.tolist(), strict=True):
            member.loss.first, member.loss.newest = None if self.is_first else first, newest

    @override
    def state_dict(self) -> dict[str, Any]:
        assert self.member is not None
        run = self.member.index
        self.member.loss.first, self.member.loss.newest = self.firsts[run].item(), self.losses[run].item()
        self.member.loss.logs = self.logs
        return self.member.loss.state_dict()

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.logs = state_dict["logs"]


class StackedPlaces(CheckpointPlaces):
    """Moves the checkpoint files of several runs, whose names are those of the first run."""

    def __init__(self, members: Sequence[Member]) -> None:
        first = members[0].places
        super().__init__(first.directory, [])
        self.members = members

    @property
    def _kept(self) -> list[CheckpointPlaces]:
        return [member.places for member in self.members if not member.is_dropped]

    @override
    def begin(self) -> None:
        for places in self._kept:
            places.begin()

    @override
    def mark(self, name: str) -> None:
        for places in self._kept:
            places.mark(name)

    @override
    def place(self, name: str) -> None:
        place_together(self._kept, name)


class StackedCheckpoints(Checkpoints):
    """Saves the states of several runs, each in the directory of its run."""

    state_key = Checkpoints.__qualname__  # type: ignore[assignment]

    def __init__(self, members: Sequence[Member], every_n_seconds: float, signals: SignalHandler) -> None:
        super().__init__(StackedPlaces(members), every_n_seconds, signals, members[0].best_score)
        self.members = members
        self.chosen: Sequence[Member] = members
        self.member: Member | None = None

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        assert isinstance(pl_module, StackedModule)
        self.validated_step = trainer.global_step
        columns = {name: values.tolist() for name, values in pl_module.scores.items()}
        for member in self.members:
            scores = {name: values[member.index] for name, values in columns.items()}
            member.is_best = not member.is_dropped and member.best_score.update(scores, trainer.global_step)
        self.is_best = any(member.is_best for member in self.members)

    @override
    def _save_best(self, trainer: Trainer, is_resumable: bool) -> None:
        self.chosen = [member for member in self.members if member.is_best]
        for member in self.chosen:
            member.is_best = False
        super()._save_best(trainer, is_resumable)
        self.chosen = self.members

    @override
    def _write(self, trainer: Trainer, path: Path, is_resumable: bool) -> str:
        self.is_resumable = is_resumable
        for member in self.chosen:
            if not member.is_dropped:
                with self._only(member, trainer):
                    trainer.save_checkpoint(member.places.directory / path.name, weights_only=False)
        self.is_resumable = False
        return self.name

    @contextmanager
    def _only(self, member: Member, trainer: Trainer) -> Iterator[None]:
        """Let the trainer hold one run alone, so that it saves what it would save of it."""
        strategy, stack = trainer.strategy, trainer.lightning_module
        assert isinstance(stack, StackedModule)
        data, optimizers = trainer.datamodule, strategy.optimizers  # type: ignore[attr-defined]
        stack.store(member.index)
        optimizers[0].store(member.index)
        strategy._lightning_module, trainer.datamodule = member.model, member.data  # type: ignore[attr-defined]
        strategy._optimizers = [member.optimizer]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            callback.member = member
        try:
            yield
        finally:
            strategy._lightning_module, trainer.datamodule = stack, data  # type: ignore[attr-defined]
            strategy._optimizers = optimizers

    @override
    def finish(self, is_scheduled: bool) -> None:
        for member in self.members:
            if not member.is_dropped:
                member.places.use_last_as_best(member.is_best or member.best_score.value is None, is_scheduled)

    @override
    def state_dict(self) -> dict[str, Any]:
        assert self.member is not None
        own = {"is_best": self.member.is_best, "seconds": self.seconds_of(self.member)}
        return {"validated_step": self.validated_step, **own, "best_score": self.member.best_score.state_dict()}

    def seconds_of(self, member: Member) -> float:
        """Return how long a run was trained: its earlier starts, and its share of this one."""
        return member.earlier_seconds + self.seconds / len(self.members)

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validated_step = state_dict["validated_step"]
        self.is_best = any(member.is_best for member in self.members)
