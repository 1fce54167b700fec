"""The TensorBoard log of a run: its events stand directly in the run's directory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


class RunLogger(TensorBoardLogger):
    """Lightning's TensorBoard logger, less what is not asked of it: epochs as a curve, ``hp_metric``, ``hparams.yaml``.

    Attributes:
        logged: the newest value of each scalar.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(str(directory), name="", version="", default_hp_metric=False)
        self.logged: dict[str, float] = {}

    @property
    def log_dir(self) -> str:
        """The run's directory."""
        return self.save_dir

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log scalars at a step."""
        wanted = {tag: float(value) for tag, value in metrics.items() if tag != "epoch"}
        self.logged |= wanted
        super().log_metrics(wanted, step)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Log nothing: what the run was given stands in its directory."""

    def save(self) -> None:
        """Write what was logged to disk."""
        self.experiment.flush()


def scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the steps and values of each scalar that a run's directory holds."""
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0, "images": 1}).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
