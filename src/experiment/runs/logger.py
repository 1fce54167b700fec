"""The TensorBoard log of a run, directly in its directory."""

import functools
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.writer import FileWriter
from typing_extensions import override

from experiment.configuration.objective import DEFAULT, Objective
from experiment.runs.events import EventFile, EventLog, read_events
from experiment.runs.hyperparameters import add_scores
from experiment.runs.report import select_scores


class RunLogger(TensorBoardLogger):
    """Lightning's TensorBoard logger, whose log continues where a checkpoint was saved.

    It logs no epochs as a curve, no ``hp_metric``, and writes no ``hparams.yaml``. The table of hyperparameters lists
    a run from its start on, with its newest scores. What defines the table is logged at the end, when it is known which
    scores there are: TensorBoard keeps the first definition, and takes every scalar for a score until there is one.

    Args:
        directory: of the run.
        mark: of the checkpoint to resume from, ``None`` to start an empty log.
        hyperparameters: the table, the run's row in it, and the event that marks the run as complete.
        objective: of the run: it is a score, whatever its name.

    Attributes:
        logged: the newest value of each scalar.
        newest: the step and the value of each that this start logged last.
    """

    def __init__(
        self,
        directory: Path,
        mark: str | None,
        hyperparameters: tuple[Summary, Summary, Summary],
        objective: Objective = DEFAULT,
    ) -> None:
        super().__init__(str(directory), name="", version="", default_hp_metric=False)
        self.log = EventLog(directory, mark)
        self.logged = {
            value.tag: value.simple_value
            for event in self.log.carried
            for value in event.summary.value
            if value.HasField("simple_value")
        }
        self.newest: dict[str, tuple[int | None, float]] = {}
        self.table, row, self.end = hyperparameters
        self.objective = objective
        self.log.main.add_event(Event(wall_time=time.time(), summary=row))
        self.log.is_muted = mark is not None

    @property
    @override
    def log_dir(self) -> str:
        return str(self.save_dir)

    @functools.cached_property
    def experiment(self) -> SummaryWriter:
        """torch's writer, which takes 0.1 ms to make; few runs use it."""
        return _Writer(self.log)

    @override
    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log scalars at a step, in one event; what is the newest value already, at that very step, is not repeated.

        ``LearningRateMonitor`` logs at the start of each batch, several times a step where batches are accumulated.
        """
        named = {tag: float(value) for tag, value in metrics.items() if tag != "epoch"}
        values = {tag: value for tag, value in named.items() if self.newest.get(tag) != (step, value)}
        if not values:
            return
        self.logged.update(values)
        self.newest.update({tag: (step, value) for tag, value in values.items()})
        summary = {"value": [{"tag": tag, "simple_value": value} for tag, value in values.items()]}
        self.log.main.add_event({"wall_time": time.time(), "step": step, "summary": summary})

    def log_serialized(self, records: bytes, newest: Mapping[str, float]) -> None:
        """Log scalars as the records of their events, with the newest value of each."""
        self.logged.update(newest)
        self.log.main.add_event(records)

    def log_image(self, tag: str, image: np.ndarray, step: int) -> None:
        """Log a picture, ``[height, width, 3]``, at a step."""
        height, width, _ = image.shape
        value = {"height": height, "width": width, "colorspace": 3, "encoded_image_string": encode_png(image)}
        summary = {"value": [{"tag": tag, "image": value}]}
        self.log.main.add_event({"wall_time": time.time(), "step": step, "summary": summary})

    @override
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Log nothing: the run's hyperparameters are logged when it starts."""

    def complete(self) -> None:
        """Log in the table of hyperparameters that the run is complete; the log is closed next."""
        self.log.main.add_event(Event(wall_time=time.time(), summary=self.end))

    def unmute(self) -> None:
        """Log from here on: a log that resumes is muted at first."""
        self.log.is_muted = False

    def mark(self, name: str) -> None:
        """Mark in the log that a checkpoint of that name was saved."""
        self.log.mark(name)

    def flush(self) -> list[Path]:
        """Write what is buffered, and return the files."""
        self.log.flush()
        return self.log.paths

    @override
    def save(self) -> None:
        """Write no file beside the log, which is flushed by time."""

    @override
    def finalize(self, status: str) -> None:
        """Flush the log; it stays open, since testing follows training."""
        self.log.flush()

    def close(self) -> None:
        """Log the table of hyperparameters with the scores that there are, and close the log."""
        table = add_scores(self.table, select_scores(self.logged, self.objective))
        self.unmute()
        self.log.main.add_event(Event(wall_time=time.time(), summary=table))
        self.log.flush()


def encode_png(image: np.ndarray) -> bytes:
    """Return a picture, ``[height, width, 3]``, as PNG."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "png", compress_level=1)  # a quarter larger, in half the time
    return content.getvalue()


def tensorboard_loggers(trainer: Trainer) -> list[TensorBoardLogger]:
    """Return the TensorBoard loggers that this process writes to."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero]


def read_scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the steps and values of each scalar in a run's directory."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for event in read_events(directory):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    return curves


class _FileWriter(FileWriter):
    def __init__(self, file: EventFile) -> None:
        self.event_writer = file


class _Writer(SummaryWriter):
    """torch's ``SummaryWriter`` on the files of an ``EventLog``, without torch's thread."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        super().__init__(log.main.get_logdir())

    @override
    def _get_file_writer(self) -> FileWriter:
        if self.file_writer is None:
            self.file_writer: Any = _FileWriter(self.log.main)
            self.all_writers: Any = {self.log.main.get_logdir(): self.file_writer}
        return self.file_writer

    @override
    def add_scalars(self, main_tag: str, tag_scalar_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        """Log each scalar in a folder for itself, as torch does; TensorBoard shows each folder as a run."""
        for tag in tag_scalar_dict:
            folder = f"{self.log.main.get_logdir()}/{main_tag.replace('/', '_')}_{tag}"
            self.all_writers.setdefault(folder, _FileWriter(self.log.open(Path(folder))))
        super().add_scalars(main_tag, tag_scalar_dict, *args, **kwargs)
