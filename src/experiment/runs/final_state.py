"""When the state in which training ends is saved."""

from lightning.pytorch import LightningModule, Trainer
from typing_extensions import override

from experiment.runs.callback import LeanCallback
from experiment.runs.checkpoints import Checkpoints


class FinalState(LeanCallback):
    """Saves the state in which training ends: as the first of the callbacks, since others change the weights then."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.checkpoints.save_at_epoch_end(trainer)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.checkpoints.save_at_end(trainer)
