"""The checkpoints of a run: the newest state, the one before, and the best by the objective."""

import logging
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loops.loop import _Loop
from typing_extensions import override

from experiment.runs.best import BestScore
from experiment.runs.callback import LeanCallback
from experiment.runs.checkpoint_files import state_name
from experiment.runs.checkpoint_places import CheckpointPlaces
from experiment.runs.distributed import agree
from experiment.runs.files import sync_files
from experiment.runs.horizon_trainer import HorizonTrainer
from experiment.runs.loop_progress import (
    describe_stop,
    is_at_horizon,
    is_epoch_complete,
    is_out_of_time,
    step_index_to_resume,
    validates_next,
)
from experiment.runs.resumability import why_not_within_epoch, why_workers_are_inexact
from experiment.runs.signals import SignalHandler

log = logging.getLogger("run")  # of the run's log file alone

SAVING_SHARE = 0.04  # of the time of a run that saving may take, at most
STATE = ("validated_step", "is_best", "seconds")  # attributes that a checkpoint holds


class Checkpoints(LeanCallback, Checkpoint):
    """Keeps ``last.ckpt``, ``previous.ckpt`` in case that is damaged, and ``best.ckpt``, by the objective.

    A state is saved between epochs, and within one where it can be resumed exactly there. The file moves into its place
    only when everything that was logged up to that state is marked in the log and on the disk. A best state moves into
    its place together with the next ``last.ckpt``, so that a run that resumes from an earlier state finds it again.

    Args:
        places: of the files.
        every_n_seconds: of training that a kill may lose; more, where saving would take too large a share of the time.
        signals: an interruption is raised as soon as the state is saved.
        best_score: which validation updates. Without one, the last state is the best.

    Attributes:
        epoch, step: how many are completed in ``last.ckpt``.
        seconds: of training up to ``last.ckpt``, in all starts.
        stop_reason: why training ended before its horizon, ``None`` if it did not.
        validated_step: the step after which the validation data was scored last.
    """

    def __init__(
        self,
        places: CheckpointPlaces,
        every_n_seconds: float,
        signals: SignalHandler,
        best_score: BestScore,
    ) -> None:
        self.places, self.every_n_seconds, self.signals = places, every_n_seconds, signals
        self.best_score = best_score
        self.epoch = self.step = 0
        self.seconds = self.began = 0.0
        self.stop_reason: str | None = None
        self.validated_step = -1
        self.is_best = False  # the state that comes next
        self.is_resumable = False  # the state that is being saved
        self.name = ""  # and its name
        self.unplaced: str | None = None  # the name of the state in next.ckpt
        self.is_final = False  # training ends with the state that was saved last
        self.unfinished_epochs = 0  # that Lightning counts as completed: 1 if training ends within an epoch
        self.was_interrupted = False  # before that state was saved
        self.step_index: int | None = None  # of the first step after a resume
        self.due_at = 0.0
        self.epochs_only: str | None = None  # why no state is saved within an epoch

    @override
    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.epoch, self.step = checkpoint["epoch"], checkpoint["global_step"]
        self.step_index, self.stop_reason = checkpoint.get("step_index"), checkpoint["stop_reason"]
        trainer.should_stop = self.stop_reason is not None

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals.install()  # once more: Lightning has installed handlers by now
        self.signals.deferred = True
        self.began = time.monotonic() - self.seconds
        self.due_at = time.monotonic() + self.every_n_seconds if self.places.last.exists() else 0
        self.places.begin()
        if not trainer.fit_loop.restarted_mid_epoch:
            # With max_steps, Lightning takes a state between epochs for one at the end of an epoch.
            _Loop.restarting.fset(trainer.fit_loop, False)  # type: ignore[attr-defined]
        if reason := why_workers_are_inexact(trainer):
            log.warning(f"Random transforms of the data cannot be resumed exactly, since {reason}.")

    def save_between_epochs(self, trainer: Trainer) -> None:
        """Save the state before an epoch, if it is the best one or a save is due."""
        if self.is_best:
            self._save_best(trainer, is_resumable=True)
        if self._is_due(trainer):
            self._save(trainer, is_resumable=True)
            self._place()

    @override
    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["horizon_matters"] = isinstance(trainer, HorizonTrainer) and trainer.horizon_matters
        checkpoint["stop_reason"] = self.stop_reason
        checkpoint["epoch"] -= self.unfinished_epochs
        checkpoint["resumable"] = self.is_resumable
        if self.is_resumable:  # else it is a state that is never resumed, or a checkpoint of the user's
            checkpoint["step_index"] = step_index_to_resume(trainer, checkpoint["loops"]["fit_loop"])
        self.name = state_name(checkpoint)

    def place_before_batch(self, trainer: Trainer) -> None:
        """Move the state that was saved after the batch before into its place: all of that batch is logged by now."""
        if self.step_index is not None:
            trainer.fit_loop.epoch_loop._batches_that_stepped, self.step_index = self.step_index, None
        if self.is_best:  # by a validation within an epoch
            self._save_best(trainer, is_resumable=False)
        if self.unplaced:
            self._place()
        if self._is_interrupted(trainer) and not self._is_exact_within_epoch(trainer):
            self.signals.check()

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches != 0:  # no state holds gradients
            trainer.should_stop &= not is_out_of_time(trainer)  # its timer stops it after the next batch
        elif not trainer.is_last_batch and not validates_next(trainer):
            self.is_final = is_at_horizon(trainer)
            if (self._is_due(trainer) or self.is_final) and self._is_exact_within_epoch(trainer):
                self._save(trainer, is_resumable=True)
            else:
                self.is_final = False

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        self.validated_step = trainer.global_step
        self.is_best = bool(agree(trainer, self.best_score.update(trainer.callback_metrics, trainer.global_step)))

    def save_at_epoch_end(self, trainer: Trainer) -> None:
        """Save the state in which training ends within an epoch, after a validation that was due there."""
        within_epoch = not is_epoch_complete(trainer)
        if within_epoch and not self.is_final and is_at_horizon(trainer) and self._is_exact_within_epoch(trainer):
            self._save(trainer, is_resumable=True)
            self.is_final = True
        if self.is_final:
            self._place()

    def save_at_end(self, trainer: Trainer) -> None:
        """Save the state in which training ends, unless a state within an epoch was saved as that."""
        if trainer.should_stop and not is_out_of_time(trainer):
            self.stop_reason = describe_stop(trainer)
            log.info(f"Training stopped early: {self.stop_reason}.")
        if not self.is_final or self.stop_reason:
            self.unfinished_epochs = int(not is_epoch_complete(trainer))
            self._save(trainer, is_resumable=not self.unfinished_epochs)
            self._place()

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals.deferred = False

    def finish(self, is_scheduled: bool) -> None:
        """Keep the last state as the best one if its score is the best, or if validation gave no finite score.

        Args:
            is_scheduled: a longer run has that validation too.
        """
        self.places.use_last_as_best(self.is_best or self.best_score.value is None, is_scheduled)
        if self.places.directory.exists():  # else nothing was trained
            sync_files([self.places.directory])

    def _is_due(self, trainer: Trainer) -> bool:
        return bool(agree(trainer, time.monotonic() >= self.due_at or self.signals.received is not None))

    def _is_interrupted(self, trainer: Trainer) -> bool:
        return bool(agree(trainer, self.signals.received is not None))

    def _is_exact_within_epoch(self, trainer: Trainer) -> bool:
        reason = why_not_within_epoch(trainer)
        if reason and not self.epochs_only:
            log.info(f"Checkpoints are saved between epochs only, since {reason}.")
        self.epochs_only = reason
        return not reason

    def _save_best(self, trainer: Trainer, is_resumable: bool) -> None:
        self.is_best = False
        name = self._write(trainer, self.places.next_best, is_resumable)
        if is_resumable:
            self.places.mark(name)

    def _save(self, trainer: Trainer, is_resumable: bool) -> None:
        began = time.monotonic()
        self.was_interrupted = self._is_interrupted(trainer)  # a later signal waits for the next state
        self.seconds = began - self.began
        self.unplaced = self._write(trainer, self.places.next, is_resumable)
        self.epoch, self.step = trainer.current_epoch - self.unfinished_epochs, trainer.global_step
        now = time.monotonic()
        self.due_at = now + max(self.every_n_seconds, (now - began) / SAVING_SHARE)

    def _write(self, trainer: Trainer, path: Path, is_resumable: bool) -> str:
        """Write a checkpoint, and return the name of its state."""
        self.is_resumable = is_resumable
        trainer.save_checkpoint(path, weights_only=False)
        self.is_resumable = False
        return self.name

    def _place(self) -> None:
        """Move the state that was saved last into its place."""
        assert self.unplaced is not None
        self.places.place(self.unplaced)
        self.unplaced = None
        if self.was_interrupted:
            self.signals.check()

    @override
    def state_dict(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in STATE} | {"best_score": self.best_score.state_dict()}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for key in STATE:
            setattr(self, key, state_dict[key])
        self.best_score.load_state_dict(state_dict["best_score"])
