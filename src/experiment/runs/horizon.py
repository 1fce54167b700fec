"""The horizon: where code asks how long training will last, a longer run is another run from its first step on."""

import sys

from lightning.pytorch import Trainer

# These ask without training differently for it.
SHOWING = ("lightning.pytorch.trainer.", "lightning.pytorch.callbacks.progress.", "experiment.runs.progress")


class HorizonTrainer(Trainer):
    """A ``Trainer`` that notes when it is asked how long training will last, for a schedule say.

    Attributes:
        horizon_matters: whether it was asked.
    """

    horizon_matters = False

    @property
    def max_epochs(self) -> int | None:
        """The number of epochs to train."""
        self._note()
        return super().max_epochs

    @property
    def estimated_stepping_batches(self) -> int | float:
        """The number of steps to train."""
        self._note()
        return super().estimated_stepping_batches

    def _note(self) -> None:
        asks = sys._getframe(2).f_globals.get("__name__", "")
        self.horizon_matters |= not asks.startswith(SHOWING)
