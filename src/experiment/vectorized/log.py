"""The logs of several runs: what all of them log at a step is serialized together."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from google_crc32c import extend
from google_crc32c import value as crc32c
from tensorboard.compat.proto.event_pb2 import Event
from torch import Tensor

from experiment.runs.events import frame, masked
from experiment.runs.logger import RunLogger


class StackedLog:
    """Logs scalars of several runs, each in the log of its run.

    Args:
        loggers: of the runs, ``None`` where a run has none.

    Attributes:
        newest: the newest values by name, one for each run.
    """

    def __init__(self, loggers: Sequence[RunLogger | None]) -> None:
        self.loggers = [*enumerate(loggers)]
        self.newest: dict[str, Tensor] = {}
        self.waiting: list[tuple[str, int, float, Tensor]] = []  # name, step, wall time, values

    def log(self, scores: Mapping[str, Tensor], step: int) -> None:
        """Log scores, one for each run, at a step."""
        now = time.time()
        for name, values in scores.items():
            values = values.detach().float()
            self.newest[name] = values
            self.waiting.append((name, step, now, values))

    def unmute(self) -> None:
        """Log from here on."""
        for _, logger in self.loggers:
            if logger:
                logger.unmute()

    def serialize(self) -> None:
        """Hand what is waiting to the logs of the runs."""
        waiting, self.waiting = self.waiting, []
        if not waiting:
            return
        templates = [_Template(name, step, now) for name, step, now, _ in waiting]
        table = np.stack([values.cpu().numpy() for *_, values in waiting]).astype("<f4")
        newest = {name: index for index, (name, *_) in enumerate(waiting)}
        for run, logger in self.loggers:
            if logger:
                column = [row.tobytes() for row in table[:, run]]
                records = [template.fill(value) for template, value in zip(templates, column, strict=True)]
                logger.log_serialized(b"".join(records), {name: float(table[i, run]) for name, i in newest.items()})


class _Template:
    """The record of a scalar, whose value is the last four bytes of the event."""

    def __init__(self, name: str, step: int, wall_time: float) -> None:
        summary = {"value": [{"tag": name, "simple_value": 1.0}]}
        content = Event(wall_time=wall_time, step=step, summary=summary).SerializeToString()
        self.content = content[:-4]
        self.header = frame(content)[:12]
        self.checksum = crc32c(self.content)

    def fill(self, value: bytes) -> bytes:
        """Return the record with a value, a little-endian float32."""
        return b"".join((self.header, self.content, value, masked(extend(self.checksum, value))))


class RunLog:
    """The part of a ``StackedLog`` that is one run's: what its checkpoints need of it."""

    def __init__(self, stacked: StackedLog, run: int) -> None:
        self.stacked, self.logger = stacked, stacked.loggers[run][1]

    def unmute(self) -> None:
        """Log from here on."""
        self.stacked.unmute()

    def mark(self, name: str) -> None:
        """Mark that a checkpoint of that name was saved."""
        self.stacked.serialize()
        if self.logger:
            self.logger.mark(name)

    def flush(self) -> list[Path]:
        """Write what was logged, and return the files that hold it."""
        self.stacked.serialize()
        return self.logger.flush() if self.logger else []
