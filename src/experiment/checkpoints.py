"""The checkpoints of a run: the newest state, and the best by validation loss."""

import math
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all: beside, synced to disk, then renamed into its place."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Replace the file at ``path``."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".partial")
        with beside.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)


class Checkpoints(Checkpoint):
    """Keeps ``last.ckpt``, the state at the end of training, and ``best.ckpt``, that of the lowest ``val/loss``."""

    def __init__(self, directory: Path) -> None:
        self.last, self.best = directory / "last.ckpt", directory / "best.ckpt"
        self.lowest = math.inf
        self.validated = -1  # the step that was validated last

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best state when it is one."""
        if trainer.sanity_checking:
            return
        self.validated = trainer.global_step
        loss = float(trainer.callback_metrics.get("val/loss", math.nan))
        if not loss < self.lowest and self.best.exists():
            return
        self.lowest = loss if math.isfinite(loss) else self.lowest
        if trainer.state.fn == TrainerFn.FITTING:
            trainer.save_checkpoint(self.best)
        else:  # after training: the state is the last one
            shutil.copyfile(self.last, self.best)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the newest state."""
        trainer.save_checkpoint(self.last)

    def state_dict(self) -> dict[str, Any]:
        """Return what a run that goes on must know."""
        return {"lowest": self.lowest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what ``state_dict`` returned."""
        self.lowest = state_dict["lowest"]
