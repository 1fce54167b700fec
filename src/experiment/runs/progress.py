"""The progress bar."""

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm


class TimedProgressBar(ProgressBar):
    """Shows the steps and the loss; drawn by time, not by step, so that a fast step is not slowed down."""

    interval = 0.1  # seconds

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the bar where training begins."""
        total = trainer.estimated_stepping_batches
        self.bar = tqdm(total=None if total == float("inf") else int(total), initial=trainer.global_step, unit="step")
        self.drawn = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Draw the bar when it is time."""
        if time.monotonic() - self.drawn > self.interval:
            self._draw(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the bar as it ends."""
        self._draw(trainer)
        self.bar.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the line of the bar."""
        if hasattr(self, "bar"):
            self.bar.close()

    def _draw(self, trainer: Trainer) -> None:
        loss = trainer.callback_metrics.get("train/loss")
        self.bar.n = trainer.global_step
        self.bar.set_postfix_str("" if loss is None else f"loss {float(loss):.4g}", refresh=False)
        self.bar.refresh()
        self.drawn = time.monotonic()
