"""The loss that each training step returns: logged as ``train/loss``, and watched for divergence."""

import math
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor
from typing_extensions import override

from experiment.runs.callback import LeanCallback, is_users_own, step_index

TAG = "train/loss"
LATER_HOOKS = ("on_train_batch_end", "on_train_epoch_end")  # in which a module may log the loss after its step


class LossMonitor(LeanCallback):
    """Logs what ``training_step`` returns as ``train/loss``, unless the module logs that tag itself.

    Here, since ``self.log`` takes 350 µs, twice as long as a step of a small network. Where the module may log the tag
    when the epoch ends, the values of the first epoch are held back until then.

    Attributes:
        first, newest: the loss of the first and of the newest step.
    """

    def __init__(self) -> None:
        self.first: float | None = None
        self.newest = math.nan
        self.logs: bool | None = None  # whether this callback logs; ``None``: not decided yet
        self.held: list[tuple[int, float]] = []  # steps and losses, not logged yet
        self.epoch = 0  # in which they are held
        self.metrics: dict[str, Any] | None = None

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if not isinstance(loss, Tensor):  # with manual optimization a step may return nothing
            return
        if trainer.accumulate_grad_batches > 1:
            loss = loss * trainer.accumulate_grad_batches  # by which Lightning has divided it
        if trainer.world_size > 1:
            loss = trainer.strategy.reduce(loss.detach().clone(), reduce_op="mean")
        self.newest = loss.item()
        self.first = self.newest if self.first is None else self.first
        trainer.should_stop |= not math.isfinite(self.newest)
        if self.logs is None:
            self._decide(trainer, pl_module)
        if self.logs is not False:
            if self.metrics is None:
                self.metrics = trainer.callback_metrics
            self.metrics[TAG] = loss  # for callbacks that monitor it
            self._log(trainer, batch_idx)

    def _decide(self, trainer: Trainer, module: LightningModule) -> None:
        """Decide who logs: the module if it has logged the tag, else this callback as soon as the module will not."""
        results = trainer.fit_loop.epoch_loop._results.values()
        if any(result.meta.name == TAG and result.meta.logger for result in results) or _is_logged(trainer):
            self.logs, self.held = False, []
        elif (self.held and trainer.current_epoch > self.epoch) or not _may_log_later(trainer, module):
            self.logs = True
            self._release(trainer)
        elif not self.held:
            self.epoch = trainer.current_epoch

    def _log(self, trainer: Trainer, batch_idx: int) -> None:
        step = self.step_to_log(trainer, batch_idx)
        if step is not None:
            self.held.append((step, self.newest))
            if self.logs:
                self._release(trainer)

    def step_to_log(self, trainer: Trainer, batch_idx: int) -> int | None:
        """Return the index of the step that ends with a batch, ``None`` if none does, or if it is not to be logged."""
        step = step_index(trainer)
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        return step if stepped and every and (step + 1) % every == 0 else None

    def _release(self, trainer: Trainer) -> None:
        """Log what is held back."""
        for step, loss in self.held:
            for logger in trainer.loggers:
                logger.log_metrics({TAG: loss}, step)
        self.held = []

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.held and not _is_logged(trainer):
            self._release(trainer)

    @property
    def diverged(self) -> bool:
        """Whether the loss is not finite, or is more than |its first value| above its first value."""
        return self.first is not None and not self.newest - self.first <= abs(self.first)

    @override
    def state_dict(self) -> dict[str, Any]:
        held = [list(each) for each in self.held]
        return {"first": self.first, "newest": self.newest, "logs": self.logs, "held": held, "epoch": self.epoch}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for key in ("first", "newest", "logs", "epoch"):
            setattr(self, key, state_dict[key])
        self.held = [(step, loss) for step, loss in state_dict["held"]]


def _is_logged(trainer: Trainer) -> bool:
    """Whether the module has logged the tag, in this start or in an earlier one."""
    return TAG in trainer.logged_metrics or any(TAG in getattr(each, "logged", ()) for each in trainer.loggers)


def _may_log_later(trainer: Trainer, module: LightningModule) -> bool:
    """Whether the module, or a callback of the user's, has a hook after the step in which it may log the loss."""
    others = [callback for callback in trainer.callbacks if is_users_own(callback)]  # type: ignore[attr-defined]
    return any(
        is_overridden(hook, each, parent)
        for hook in LATER_HOOKS
        for each, parent in [(module, LightningModule), *((callback, Callback) for callback in others)]
    )
