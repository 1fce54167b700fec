"""The checkpoints of a run: whole or not there, the newest for going on, and the best by validation loss."""

import logging
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.combined_loader import CombinedLoader

from experiment.runs.callback import LeanCallback
from experiment.runs.checkpoint_files import link, move_into_place
from experiment.runs.horizon import HorizonTrainer
from experiment.runs.signals import SignalHandler

log = logging.getLogger(__name__)

SHARE = 0.04  # of the time of a run that saving may take, at most


class Checkpoints(LeanCallback, Checkpoint):
    """Keeps ``last.ckpt``, in case that is damaged the one before it, and ``best.ckpt``, of the lowest ``val/loss``.

    A state is saved where it can be taken up exactly: between epochs, and within one where the loaders of the training
    data have a state of their own. It comes into its place only after what was logged with it is on disk. A state that
    is the best so far waits for the next ``last.ckpt``: a run that goes on from an earlier one finds it again.

    Args:
        directory: of the files.
        seconds: of training that may be lost; more, where saving would take too large a share of the time.
        interrupts: where one has come, it is raised as soon as the state is saved.
        sync: brings to disk what was logged.
    """

    def __init__(self, directory: Path, seconds: float, interrupts: SignalHandler, sync: Callable[[], None]) -> None:
        self.last, self.previous, self.best = (directory / f"{name}.ckpt" for name in ("last", "previous", "best"))
        self.next, self.better = (directory / f"{name}.ckpt" for name in ("next", "better"))  # to be last and best
        self.runner_up = directory / "runner_up.ckpt"  # the best but for the end, which is none of a longer run
        self.seconds, self.interrupts, self.sync = seconds, interrupts, sync
        self.seconds_trained = self.began = 0.0  # up to the newest state, by all starts; when this start began
        self.epoch = self.step = 0  # of last.ckpt
        self.validated = -1  # the step that was validated last
        self.lowest = math.inf
        self.is_best = False  # the state that comes next
        self.written = False  # next.ckpt is to become last.ckpt
        self.between_epochs = self.leaving = False
        self.due_at = 0.0

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """See where the run stands, which may be at its end already."""
        self.epoch, self.step = checkpoint["epoch"], checkpoint["global_step"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Defer interrupts to where the state is whole; Lightning has put handlers of its own in place by now."""
        self.interrupts.install()
        self.interrupts.deferred = True
        self.began = time.monotonic() - self.seconds_trained
        self.due_at = time.monotonic() + self.seconds if self.last.exists() else 0
        self.better.unlink(missing_ok=True)  # of a start that was killed
        if self.runner_up.exists():
            self.runner_up.replace(self.best)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save between epochs, with all of the epoch before it logged."""
        self.between_epochs = True
        if self.is_best:
            self._keep(trainer)
        if self._due:
            self._write(trainer)
            self._put()
        self.between_epochs = False

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Say if the horizon matters, and between epochs that the next one is not begun: Lightning has it as ready."""
        checkpoint["horizon_matters"] = isinstance(trainer, HorizonTrainer) and trainer.horizon_matters
        if self.between_epochs:
            for counts in checkpoint["loops"]["fit_loop"]["epoch_progress"].values():
                counts["ready"] = counts["completed"]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Put what was saved after the batch before, now logged, into its place."""
        if self.is_best:  # by a validation within an epoch
            self._keep(trainer)
        if self.written:
            self._put()
        if self.interrupts.received is not None and not _resumable(trainer):
            self.interrupts.check()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save within an epoch, where it can be taken up there."""
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0  # no state holds gradients
        if self._due and stepped and not trainer.is_last_batch and _resumable(trainer):
            self._write(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See whether the state is the best so far."""
        if trainer.sanity_checking:
            return
        self.validated = trainer.global_step
        loss = float(trainer.callback_metrics.get("val/loss", math.nan))
        self.is_best = loss < self.lowest or not (self.best.exists() or self.better.exists())
        self.lowest = min(loss, self.lowest) if math.isfinite(loss) else self.lowest

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the state that training ended with."""
        if trainer.global_step != self.step or not self.last.exists():
            self._write(trainer)
            self._put()
        self.interrupts.deferred = False

    def finish(self, scheduled: bool) -> None:
        """After training: the last state is the best if the last validation says so, or if there never was one.

        Args:
            scheduled: that validation was one of training's, which a longer run has too.
        """
        if self.last.exists() and (self.is_best or not self.best.exists()):
            if self.best.exists() and not scheduled:
                link(self.best, self.runner_up)
            shutil.copyfile(self.last, self.better)
            move_into_place(self.better, self.best)

    @property
    def _due(self) -> bool:
        return time.monotonic() >= self.due_at or self.interrupts.received is not None

    def _keep(self, trainer: Trainer) -> None:
        self.is_best = False
        trainer.save_checkpoint(self.better, weights_only=False)

    def _write(self, trainer: Trainer) -> None:
        began = time.monotonic()
        self.written = True
        self.leaving = self.interrupts.received is not None  # one that comes from here on waits for the next state
        self.seconds_trained = began - self.began
        trainer.save_checkpoint(self.next, weights_only=False)
        self.epoch, self.step = trainer.current_epoch, trainer.global_step
        now = time.monotonic()
        self.due_at = now + max(self.seconds, (now - began) / SHARE)

    def _put(self) -> None:
        self.written = False
        self.sync()
        if self.better.exists():  # first: what last.ckpt knows to be surpassed must be there
            move_into_place(self.better, self.best)
        if self.last.exists():
            link(self.last, self.previous)
        move_into_place(self.next, self.last)
        if self.leaving:
            self.interrupts.check()

    def state_dict(self) -> dict[str, Any]:
        """Return what a run that goes on must know."""
        return {
            **{"lowest": self.lowest, "validated": self.validated, "is_best": self.is_best},
            "seconds": self.seconds_trained,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what ``state_dict`` returned."""
        self.lowest, self.validated, self.is_best, self.seconds_trained = (
            state_dict[key] for key in ("lowest", "validated", "is_best", "seconds")
        )


def _resumable(trainer: Trainer) -> bool:
    """Whether the loaders of the training data can be taken up within an epoch."""
    loaders = CombinedLoader(trainer.train_dataloader).flattened
    return all(hasattr(each, "state_dict") and hasattr(each, "load_state_dict") for each in loaders)
