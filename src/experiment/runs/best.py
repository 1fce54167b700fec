"""The best value of the objective that validation has given, and the warning where it gives none."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from experiment.configuration.objective import Objective, suggest_objective

log = logging.getLogger("run")  # of the run's log file; on the terminal, its warnings alone


class BestScore:
    """The best value of the objective so far.

    Args:
        objective: of the run.
        warning_level: at which it is logged, once, that validation does not log the objective.

    Attributes:
        value: the best one, ``None`` before the first that is finite.
        step: how many steps were completed when it was logged.
        newest: the value of the last validation, ``None`` if that had none.
    """

    def __init__(self, objective: Objective, warning_level: int) -> None:
        self.objective, self.warning_level = objective, warning_level
        self.value: float | None = None
        self.step: int | None = None
        self.newest: float | None = None
        self.warned = False

    def update(self, scores: Mapping[str, Any], step: int) -> bool:
        """Compare the value of the validation that has just ended, and return whether it is the best one.

        Args:
            scores: that the run has by now.
            step: how many are completed.
        """
        metric = self.objective.metric
        if metric not in scores:
            if not self.warned:
                problem = "validation logs no such score, so best.ckpt will be the last state."
                suggestion = suggest_objective(scores)
                log.log(self.warning_level, f"objective={metric}: {problem} {suggestion}")
            self.warned, self.newest = True, None
            return False
        self.newest = value = float(scores[metric])
        is_best = math.isfinite(value) and (self.value is None or self.objective.is_better(value, self.value))
        if is_best:
            self.value, self.step = value, step
        return is_best

    def use_last(self, value: float | None, step: int) -> None:
        """Take the value of the last state where validation has given none: that state is kept as the best one."""
        if self.value is None and value is not None and math.isfinite(value):
            self.value, self.step = value, step

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, its step, and the newest value."""
        return {"value": self.value, "step": self.step, "newest": self.newest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best value, its step, and the newest value."""
        self.value, self.step, self.newest = state["value"], state["step"], state["newest"]
