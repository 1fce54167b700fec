"""Divergence: a run whose loss is no longer finite stops, and one whose loss has grown is told apart."""

import math
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor


class Divergence(Callback):
    """Watches the loss that ``training_step`` returns, and stops training when it is not finite."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.newest = math.nan

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """See the loss of a step."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if not isinstance(loss, Tensor):  # with manual optimization a step may return nothing
            return
        self.newest = loss.item()
        self.first = self.newest if self.first is None else self.first
        trainer.should_stop |= not math.isfinite(self.newest)

    @property
    def diverged(self) -> bool:
        """Whether the loss is not finite, or more than twice what it was at first."""
        return self.first is not None and not self.newest <= 2 * self.first

    def state_dict(self) -> dict[str, Any]:
        """Return what a run that goes on must know."""
        return {"first": self.first, "newest": self.newest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what ``state_dict`` returned."""
        self.first, self.newest = state_dict["first"], state_dict["newest"]
