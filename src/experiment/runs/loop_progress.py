"""The position of training in Lightning's loops, and its form in a checkpoint."""

import math
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer

from experiment.runs.distributed import agree
from experiment.runs.loss import LossMonitor


def step_index_to_resume(trainer: Trainer, fit_loop: dict[str, Any]) -> int:
    """Return the index of the next step, and correct the state of the loops so that it resumes there.

    Args:
        trainer: that saves its state.
        fit_loop: the state of its fit loop, corrected in place.
    """
    epochs, batches = fit_loop["epoch_progress"], fit_loop["epoch_loop.batch_progress"]
    index = trainer.fit_loop.epoch_loop._batches_that_stepped
    if epochs["total"]["ready"] > epochs["total"]["started"]:  # before an epoch, which Lightning counts as ready
        for counts in epochs.values():
            counts["ready"] = counts["completed"]
    elif epochs["total"]["processed"] > epochs["total"]["completed"]:  # training ends within an epoch
        for key in ("total", "current"):
            epochs[key]["processed"] = epochs[key]["completed"]
            batches[key]["completed"] -= 1
    elif batches["total"]["started"] > batches["total"]["completed"]:  # at the end of a batch, not counted yet
        index += 1
    return index


def is_epoch_complete(trainer: Trainer) -> bool:
    """Whether all batches of the epoch are trained."""
    return trainer.fit_loop.epoch_loop._num_ready_batches_reached()


def validates_next(trainer: Trainer) -> bool:
    """Whether a validation is scheduled after this batch, even if training does not end there."""
    should_stop, trainer.should_stop = trainer.should_stop, False
    try:
        fetcher = trainer.fit_loop._data_fetcher
        return trainer.enable_validation and trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)  # type: ignore[arg-type]
    finally:
        trainer.should_stop = should_stop


def is_out_of_time(trainer: Trainer) -> bool:
    """Whether ``max_time`` has passed."""
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
    remaining = [timer.time_remaining() for timer in timers]
    return bool(timers) and bool(agree(trainer, any(seconds is not None and seconds <= 0 for seconds in remaining)))


def is_at_horizon(trainer: Trainer) -> bool:
    """Whether training ends after this batch because ``max_steps`` or ``max_time`` is reached."""
    return 0 <= trainer.fit_loop.max_steps <= trainer.global_step or is_out_of_time(trainer)


def describe_stop(trainer: Trainer) -> str:
    """Return why ``trainer.should_stop`` is set."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, LossMonitor) and not math.isfinite(callback.newest):
            return "the loss is not finite"
        if isinstance(callback, EarlyStopping) and callback.stopping_reason_message:
            return callback.stopping_reason_message.strip().rstrip(".")
    return "trainer.should_stop was set"
