"""How far a run goes: its limits of epochs, steps and time, whichever is reached first."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from omegaconf import DictConfig

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.plain import resolved_data


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        epoch, step: how many are completed.
        seconds: of training.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0

    @classmethod
    def read(cls, content: dict[str, Any]) -> Self:
        """Read it from ``metrics.json``."""
        return cls(*(content.get(key) or 0 for key in ("epoch", "step", "seconds")))


@dataclass
class Horizon:
    """The limits of a run; infinity where there is none.

    Attributes:
        epochs, steps: of training.
        seconds: of training, in all starts.
    """

    epochs: float
    steps: float
    seconds: float

    @classmethod
    def of(cls, config: DictConfig) -> Self:
        """Return the horizon of a configuration, as ``of_trainer`` does."""
        return cls.of_trainer(resolved_data(config.trainer))

    @classmethod
    def of_trainer(cls, trainer: dict[str, Any]) -> Self:
        """Return the horizon of a trainer's arguments.

        Raises:
            ConfigurationError: ``trainer.max_time`` is no duration, or there is no limit at all.
        """
        epochs, steps = (
            math.inf if limit in (None, -1) else limit for limit in map(trainer.get, ("max_epochs", "max_steps"))
        )
        horizon = cls(epochs, steps, _seconds(trainer.get("max_time")))
        if all(map(math.isinf, (horizon.epochs, horizon.steps, horizon.seconds))):
            given = f"trainer.max_epochs={trainer.get('max_epochs')}"
            problem = f"{given}: without trainer.max_steps or trainer.max_time it would never end"
            raise ConfigurationError.from_lines([problem])
        return horizon

    def is_reached(self, progress: Progress) -> bool:
        """Whether a run has come to its limit of epochs or steps."""
        return progress.epoch >= self.epochs or progress.step >= self.steps

    def describe_excess(self, progress: Progress, old: Self) -> Iterator[str]:
        """Yield a line for each limit that a run of the horizon ``old`` has been trained beyond."""
        if progress.epoch > self.epochs:
            yield f"trainer.max_epochs={self.epochs}: {progress.epoch} epochs are trained already"
        if progress.step > self.steps:
            yield f"trainer.max_steps={self.steps}: {progress.step} steps are trained already"
        if progress.seconds > self.seconds and self.seconds < old.seconds:
            yield f"trainer.max_time of {self.seconds:g} s: it was trained for {progress.seconds:.1f} s already"


def _seconds(duration: Any) -> float:
    """Return the seconds of what Lightning takes as ``max_time``: ``DD:HH:MM:SS``, or units and their numbers."""
    if duration is None:
        return math.inf
    try:
        if isinstance(duration, dict):
            return timedelta(**duration).total_seconds()
        days, hours, minutes, seconds = map(int, duration.split(":"))
    except (TypeError, ValueError, AttributeError):
        problem = f"trainer.max_time={duration}: DD:HH:MM:SS, or units such as {{minutes: 30}}"
        raise ConfigurationError.from_lines([problem]) from None
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
