"""The random streams and the losses of several runs, by the callbacks that single runs have."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from typing_extensions import override

from experiment.runs.loss import TAG, LossMonitor
from experiment.runs.randomness import Randomness
from experiment.vectorized.log import StackedLog
from experiment.vectorized.member import Member
from experiment.vectorized.module import StackedModule
from experiment.vectorized.streams import Streams


class StackedRandomness(Randomness):
    """Seeds each epoch of several runs."""

    state_key = Randomness.__qualname__

    def __init__(self, streams: Streams) -> None:
        super().__init__(seed=0)
        self.streams = streams

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.streams.watch_global()
        super().on_train_start(trainer, pl_module)

    @override
    def _seed(self, epoch: int) -> None:
        self.streams.begin_epoch(epoch)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load nothing: these runs resume between epochs, or draw nothing within one."""


class StackedLossMonitor(LossMonitor):
    """Logs the losses of several runs, and what their modules log after a step."""

    state_key = LossMonitor.__qualname__

    def __init__(self, members: Sequence[Member], stack: StackedModule, log: StackedLog) -> None:
        super().__init__()
        self.members, self.stack, self.stacked_log = members, stack, log
        starts = [member.loss for member in members]
        self.firsts = torch.tensor([float("nan") if each.first is None else each.first for each in starts])
        self.losses = torch.tensor([each.newest for each in starts])
        self.is_first = members[0].loss.first is None

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses = self.stack.losses
        if self.is_first:
            self.firsts, self.is_first = self.losses, False
        if not torch.isfinite(self.losses.sum()):
            for member, loss in zip(self.members, self.losses.tolist(), strict=True):
                member.is_dropped |= not abs(loss) < float("inf")
            trainer.should_stop |= all(member.is_dropped for member in self.members)
        if self.logs is None:
            self.logs = TAG not in self.stack.logged or not self.stack.rules[TAG].to_logger
        if (step := self.step_to_log(trainer, batch_idx)) is not None:
            rules = self.stack.rules
            scores = {
                rules[name].step_name(name): values
                for name, values in self.stack.logged.items()
                if rules[name].on_step and rules[name].to_logger
            }
            self.stacked_log.log(({TAG: self.losses} if self.logs else {}) | scores, step)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loop = trainer.fit_loop.epoch_loop
        loop._batches_that_stepped -= 1  # as Lightning does: the means are logged at the last step of the epoch
        self.stack.report_training()
        loop._batches_that_stepped += 1

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log nothing more: nothing is held back."""

    def update_members(self) -> None:
        """Give each run its first and its newest loss."""
        for member, first, newest in zip(self.members, self.firsts.tolist(), self.losses.tolist(), strict=True):
            member.loss.first, member.loss.newest = None if self.is_first else first, newest
            member.loss.logs = self.logs

    def states(self) -> list[dict[str, Any]]:
        """Return the state that a checkpoint of each run holds."""
        self.update_members()
        return [member.loss.state_dict() for member in self.members]

    @override
    def state_dict(self) -> dict[str, Any]:
        return {}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.logs = state_dict["logs"]
