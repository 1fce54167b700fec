"""The objective: the score by which the states of a run, and the runs of a sweep, are compared."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from omegaconf import DictConfig, OmegaConf

from experiment.configuration.overrides import quote_for_hydra, quote_for_shell

# The keys of metrics.json that are no scores.
TEXTS = ("status", "stop_reason", "error", "engine")
COUNTS = ("epoch", "step", "best", "best_step", "seconds")


@dataclass(frozen=True)
class Objective:
    """A score, and which of its values are the better ones.

    Attributes:
        metric: the name under which the score is logged.
        mode: ``min`` if lower is better, ``max`` if higher is.
    """

    metric: str = "val/loss"
    mode: str = "min"

    @classmethod
    def of(cls, config: DictConfig) -> Self:
        """Return the objective of a valid configuration."""
        return cls.parse(config.objective)

    @classmethod
    def parse(cls, objective: str | DictConfig) -> Self:
        """Return the objective that the value of the key ``objective`` stands for."""
        if isinstance(objective, str):
            return cls(objective)
        return cls(objective.metric, objective.get("mode", "min"))

    @property
    def worst(self) -> float:
        """A value that every other one is better than."""
        return -math.inf if self.mode == "max" else math.inf

    @property
    def extreme(self) -> str:
        """What the best value is among all values."""
        return "highest" if self.mode == "max" else "lowest"

    def is_better(self, value: float, other: float) -> bool:
        """Whether a value is better than another one."""
        return value > other if self.mode == "max" else value < other

    def rank(self, value: float) -> float:
        """Return a number that is the lower, the better a value is."""
        return -value if self.mode == "max" else value


DEFAULT = Objective()

# For callbacks that monitor the objective, whichever way it is written.
OmegaConf.register_new_resolver("objective_metric", lambda each: Objective.parse(each).metric, replace=True)
OmegaConf.register_new_resolver("objective_mode", lambda each: Objective.parse(each).mode, replace=True)


def suggest_objective(names: Iterable[str]) -> str:
    """Return what is logged, and what to type so that one of these scores is the objective."""
    logged = sorted(names)
    if not logged:
        return "Nothing is logged."
    # Most likely a loss of validation is meant, or else another score of validation.
    likely = min(logged, key=lambda name: (not name.startswith("val"), "loss" not in name))
    value = quote_for_hydra(likely)
    choice = quote_for_shell([f"objective={value}"])
    if "loss" not in likely:
        choice += ", or if higher is better " + quote_for_shell([f"objective={{metric:{value},mode:max}}"])
    return f"What is logged: {', '.join(logged)}. To choose one: {choice}"
