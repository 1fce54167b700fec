"""Metrics that a callback monitors and nothing logs: reported as soon as that is known."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from typing_extensions import override

from experiment.configuration.errors import ReportedError
from experiment.runs.callback import LeanCallback

HOOKS = ("on_train_batch_end", "on_train_epoch_end", "on_validation_end")  # in which a callback reads what it monitors
COUNTERS = {"epoch", "step"}  # by which a ModelCheckpoint may choose, though nothing logs them


class MonitoredMetrics(LeanCallback):
    """Raises a ``ReportedError`` if nothing logs the metric that a callback monitors.

    It does so where the callback itself would raise an error, or after the first epoch of training if the names that
    validation logs are known by then, from the sanity check.

    Args:
        callbacks: by their names in the configuration.
    """

    def __init__(self, callbacks: Mapping[str, Callback]) -> None:
        self.tags = {
            name: callback.monitor
            for name, callback in callbacks.items()
            if isinstance(callback, EarlyStopping | ModelCheckpoint) and callback.monitor and _is_strict(callback)
        }
        self.validated: set[str] = set()  # the names that validation logs
        self.is_validated = False
        self.is_trained = False  # for an epoch
        for name in self.tags:
            for hook in HOOKS:
                setattr(callbacks[name], hook, self._explaining(name, getattr(callbacks[name], hook)))

    def _explaining(self, name: str, hook: Callable[..., None]) -> Callable[..., None]:
        """Return a hook of a callback whose error about its metric is raised in this project's words."""

        @functools.wraps(hook)
        def explaining(trainer: Trainer, *args: Any, **kwargs: Any) -> None:
            try:
                hook(trainer, *args, **kwargs)
            except (RuntimeError, MisconfigurationException):
                self._check(trainer, name)
                raise

        return explaining

    def _check(self, trainer: Trainer, *names: str) -> None:
        logged = trainer.callback_metrics.keys() | self.validated
        for name in names:
            if self.tags[name] not in logged | COUNTERS:
                raise ReportedError(
                    f"callbacks.{name}.monitor={self.tags[name]}: nothing is logged under that name. "
                    f"What is logged: {', '.join(sorted(logged)) or 'nothing'}."
                )

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.is_validated = True
        self.validated |= trainer.callback_metrics.keys()

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.is_trained and (self.is_validated or not trainer.enable_validation):
            self._check(trainer, *self.tags)
        self.is_trained = True

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.is_validated or not trainer.enable_validation:
            self._check(trainer, *self.tags)


def _is_strict(callback: EarlyStopping | ModelCheckpoint) -> bool:
    return callback.strict if isinstance(callback, EarlyStopping) else callback.save_top_k != 0
