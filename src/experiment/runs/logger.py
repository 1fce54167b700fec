"""The TensorBoard log of a run: one file of events for each start, directly in the run's directory."""

import io
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google_crc32c import value as crc32c
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.writer import FileWriter

FLUSH = 1.0  # seconds after which what was logged can be seen
STARTS = ("_hparams_/", "custom_scalars__config__")  # what each start logs anew: the first of it that is read counts


class RunLogger(TensorBoardLogger):
    """Lightning's TensorBoard logger, on a file that goes on where a checkpoint stands.

    It logs no epochs as a curve, no ``hp_metric``, and leaves no ``hparams.yaml``. The table of hyperparameters lists
    a run from its start on, with its newest scores.

    Args:
        directory: of the run.
        step: the first step that is not completed; what earlier starts logged at it or later is dropped.
        hyperparameters: the table, the run's row in it, and what says that the run is complete.

    Attributes:
        logged: the newest value of each scalar.
    """

    def __init__(self, directory: Path, step: int, hyperparameters: tuple[Summary, Summary, Summary]) -> None:
        super().__init__(str(directory), name="", version="", default_hp_metric=False)
        carried = [event for event in _events(directory) if event.step < step]
        self.logged = {value.tag: value.simple_value for event in carried for value in event.summary.value}
        self.images = {
            (value.tag, event.step) for event in carried for value in event.summary.value if value.image.width
        }
        self.file = EventFile(_replace(directory, carried))
        self.writer = _Writer(self.file)
        columns, row, self.end = hyperparameters
        for summary in (columns, row):
            self.file.add_event(Event(wall_time=time.time(), summary=summary))

    @property
    def log_dir(self) -> str:
        """The run's directory."""
        return str(self.save_dir)

    @property
    def experiment(self) -> SummaryWriter:
        """torch's ``SummaryWriter``, for images and the like."""
        return self.writer

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log scalars at a step, in one event."""
        values = {tag: float(value) for tag, value in metrics.items() if tag != "epoch"}
        if not values:
            return
        self.logged.update(values)
        summary = {"value": [{"tag": tag, "simple_value": value} for tag, value in values.items()]}
        self.file.add_event({"wall_time": time.time(), "step": step, "summary": summary})

    def log_image(self, tag: str, image: np.ndarray, step: int) -> None:
        """Log a picture, ``[height, width, 3]``, at a step, unless an earlier start did."""
        if (tag, step) not in self.images:
            height, width, _ = image.shape
            value = {"height": height, "width": width, "colorspace": 3, "encoded_image_string": encode_png(image)}
            summary = {"value": [{"tag": tag, "image": value}]}
            self.file.add_event({"wall_time": time.time(), "step": step, "summary": summary})

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Log nothing: the run's own are logged when it starts."""

    def complete(self) -> None:
        """Say in the table of hyperparameters that the run is complete."""
        self.file.add_event(Event(wall_time=time.time(), summary=self.end))
        self.file.flush()

    def save(self) -> None:
        """Leave no file beside the log; that is handed to the file system by time."""

    def sync(self) -> None:
        """Bring what was logged to the disk."""
        self.file.sync()

    def finalize(self, status: str) -> None:
        """Hand what was logged to the file system; the file stays open, since testing follows training."""
        self.file.flush()

    def close(self) -> None:
        """End the log."""
        self.file.close()


def encode_png(image: np.ndarray) -> bytes:
    """Return a picture, ``[height, width, 3]``, as PNG."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "png", compress_level=1)  # a quarter larger, in half the time
    return content.getvalue()


def tensorboard_loggers(trainer: Trainer) -> list[TensorBoardLogger]:
    """Return the TensorBoard loggers that this process writes to."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero]


class EventFile:
    """Appends events to a file, in the calling thread: an error of the disk is the caller's to see.

    They wait for each other: to write a thousand at once takes a sixth of the time of one after each step.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("ab")
        self.waiting: list[Event | dict[str, Any]] = []
        self.flushed = time.monotonic()

    def add_event(self, event: Event | dict[str, Any]) -> None:
        """Append an event, or what an event is to be made of."""
        self.waiting.append(event)
        if time.monotonic() - self.flushed > FLUSH:
            self.flush()

    def flush(self) -> None:
        """Hand what was appended to the file system."""
        waiting, self.waiting = self.waiting, []
        for event in waiting:
            self.file.write(_record(Event(**event) if isinstance(event, dict) else event))
        self.file.flush()
        self.flushed = time.monotonic()

    def sync(self) -> None:
        """Bring what was appended to the disk."""
        self.flush()
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close the file."""
        with self.file:
            self.flush()

    def get_logdir(self) -> str:
        """Return the directory of the file, as torch's ``FileWriter`` asks for it."""
        return str(self.path.parent)


class _FileWriter(FileWriter):
    def __init__(self, file: EventFile) -> None:
        self.event_writer = file


class _Writer(SummaryWriter):
    """torch's ``SummaryWriter``, without its thread and on a file of ours."""

    def __init__(self, file: EventFile) -> None:
        self.file = file
        super().__init__(file.get_logdir())

    def _get_file_writer(self) -> FileWriter:
        writer: FileWriter = _FileWriter(self.file)
        self.all_writers: Any = {self.file.get_logdir(): writer}
        self._get_file_writer = lambda: writer  # type: ignore[method-assign]
        return writer


def _record(event: Event) -> bytes:
    """Return an event as TensorFlow's TFRecord format frames it: length, checksum, content, checksum."""
    content = event.SerializeToString()
    length = struct.pack("<Q", len(content))
    return b"".join((length, _checksum(length), content, _checksum(content)))


def _checksum(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)  # masked, as the format has it


def _read(path: Path) -> Iterator[Event]:
    """Yield the events of a file, up to the first that is not whole: a kill may have cut it short."""
    with path.open("rb") as file:
        while (length := file.read(8)) and file.read(4) == _checksum(length):
            content = file.read(*struct.unpack("<Q", length))
            if file.read(4) != _checksum(content):
                return
            yield Event.FromString(content)


def _files(directory: Path) -> list[Path]:
    return sorted(directory.glob("events.out.tfevents.*"))


def _events(directory: Path) -> list[Event]:
    """Return what was logged, less what a later start took back."""
    kept: list[Event] = []
    for path in _files(directory):
        for event in _read(path):
            if event.session_log.status == SessionLog.START:
                kept = [earlier for earlier in kept if earlier.step < event.step]
            elif event.HasField("graph_def") or (
                event.summary.value and not event.summary.value[0].tag.startswith(STARTS)
            ):
                kept.append(event)
    return kept


def _replace(directory: Path, events: Iterable[Event]) -> Path:
    """Begin a new file with these events, in the place of the older files, and return it.

    It starts a session at step 0, so that a TensorBoard that watches forgets what it has read. The older files are
    emptied, not deleted: TensorBoard would wait for them.
    """
    old = _files(directory)
    now = time.time()
    second = max([int(now), *(int(path.name.split(".")[3]) + 1 for path in old)])
    beside = EventFile(directory / ".events.partial")
    beside.file.truncate(0)
    beside.add_event(Event(wall_time=now, file_version="brain.Event:2"))
    beside.add_event(Event(wall_time=now, step=0, session_log=SessionLog(status=SessionLog.START)))
    for event in events:
        beside.add_event(event)
    beside.sync()
    beside.close()
    new = beside.path.rename(directory / f"events.out.tfevents.{second:010d}.{socket.gethostname()}")
    for path in old:
        os.truncate(path, 0)
    return new


def read_scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the steps and values of each scalar that a run's directory holds."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for event in _events(directory):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    return curves
