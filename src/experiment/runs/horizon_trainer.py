"""A trainer that notices when training depends on how long it will last."""

import sys

from lightning.pytorch import Trainer
from typing_extensions import override

# These ask for the horizon without training differently because of it.
NEUTRAL = (
    *("lightning.pytorch.trainer.", "lightning.pytorch.loops.", "lightning.pytorch.callbacks.progress."),
    "experiment.runs.",
)


class HorizonTrainer(Trainer):
    """A ``Trainer`` that notes when code asks how long training will last, for a schedule for example.

    Attributes:
        horizon_matters: whether it was asked.
    """

    horizon_matters = False

    @property
    @override
    def max_epochs(self) -> int | None:
        self._note_caller()
        return super().max_epochs

    @property
    @override
    def max_steps(self) -> int:
        self._note_caller()
        return super().max_steps

    @property
    @override
    def estimated_stepping_batches(self) -> int | float:
        self._note_caller()
        return super().estimated_stepping_batches

    @property
    def steps_left(self) -> int | float:
        """How many steps are left to train. Nothing that is trained may depend on it: it is not noted."""
        return super().estimated_stepping_batches - self.global_step

    def _note_caller(self) -> None:
        caller = sys._getframe(2).f_globals.get("__name__", "")
        self.horizon_matters |= not caller.startswith(NEUTRAL)
