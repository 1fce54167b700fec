"""The moments at which a state is complete: before the other callbacks act in the next one."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from typing_extensions import override

from experiment.runs.callback import LeanCallback
from experiment.runs.checkpoints import Checkpoints
from experiment.runs.marked_log import MarkedLog


class SavePoints(LeanCallback):
    """Stands first among the callbacks, and lets ``Checkpoints``, the last one, save before the others act.

    What they log or change in the same hook belongs to the next state: a resumed start calls the hook again.
    """

    def __init__(self, checkpoints: Checkpoints, logs: Sequence[MarkedLog]) -> None:
        self.checkpoints, self.muted = checkpoints, logs

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._unmute()
        self.checkpoints.save_between_epochs(trainer)

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._unmute()
        self.checkpoints.place_before_batch(trainer)

    def _unmute(self) -> None:
        for log in self.muted:
            log.unmute()
        self.muted = ()

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.checkpoints.save_at_epoch_end(trainer)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.checkpoints.save_at_end(trainer)

    @override
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._unmute()  # nothing was left to train
