"""The logs of several runs: what all of them log at a step is serialized together."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from google_crc32c import extend
from google_crc32c import value as crc32c
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from torch import Tensor

from experiment.runs.events import frame, masked
from experiment.runs.logger import RunLogger


class StackedLog:
    """Logs scalars of several runs, each in the log of its run.

    Args:
        loggers: of the runs, ``None`` where a run has none.

    Attributes:
        newest: the newest values by name, one for each run.
        absent: the runs that have no value of a name, by the name.
    """

    def __init__(self, loggers: Sequence[RunLogger | None]) -> None:
        self.loggers = loggers
        self.newest: dict[str, Tensor] = {}
        self.absent: dict[str, set[int]] = {}
        self.waiting: list[_Entry] = []

    def log(self, scores: Mapping[str, Tensor], step: int, absent: Mapping[str, set[int]] | None = None) -> None:
        """Log scores, one for each run, at a step; ``absent`` names the runs that have none of a name."""
        self.absent |= absent or {}
        for name, values in scores.items():
            self.newest[name] = values.detach().float()
            self.waiting.append(_Scalars(name, step, self.newest[name], self.absent.get(name, set())))

    def mark(self, state: str) -> "StateMark":
        """Mark that a state of that name may be saved; the mark is logged by the runs that are added to it."""
        mark = StateMark(state)
        self.waiting.append(mark)
        return mark

    def unmute(self) -> None:
        """Log from here on."""
        for logger in self.loggers:
            if logger:
                logger.unmute()

    def serialize(self) -> None:
        """Hand what is waiting to the logs of the runs."""
        if not self.waiting:
            return
        waiting, self.waiting = self.waiting, []
        newest = {name: values.tolist() for name, values in self.newest.items()}
        for run, logger in enumerate(self.loggers):
            if logger:
                records = b"".join([entry.record(run) for entry in waiting])
                own = {name: values[run] for name, values in newest.items() if run not in self.absent.get(name, ())}
                logger.log_serialized(records, own)


class _Entry(Protocol):
    """Something that is logged for several runs."""

    def record(self, run: int) -> bytes:
        """Return the record of its event in the log of a run, given by its index."""


class _Scalars:
    """A scalar of each run. All of the event is the same but the value, which is its last four bytes."""

    def __init__(self, name: str, step: int, values: Tensor, absent: set[int]) -> None:
        self.absent = absent
        summary = {"value": [{"tag": name, "simple_value": 1.0}]}
        content = Event(wall_time=time.time(), step=step, summary=summary).SerializeToString()
        self.content, self.header = content[:-4], frame(content)[:12]
        self.checksum, self.values = crc32c(self.content), values.cpu().numpy().astype("<f4").tobytes()

    def record(self, run: int) -> bytes:
        """Return the record with the value of a run, or nothing if it has none."""
        if run in self.absent:
            return b""
        value = self.values[4 * run : 4 * run + 4]
        return b"".join((self.header, self.content, value, masked(extend(self.checksum, value))))


class StateMark:
    """The mark of a state that a run can be resumed from, as ``EventLog.mark`` writes it.

    Attributes:
        runs: that have saved the state.
    """

    def __init__(self, state: str) -> None:
        session = SessionLog(status=SessionLog.CHECKPOINT, checkpoint_path=state, msg="{}")
        self.bytes = frame(Event(wall_time=time.time(), session_log=session).SerializeToString())
        self.runs: set[int] = set()

    def record(self, run: int) -> bytes:
        """Return the mark, or nothing if the run has not saved the state."""
        return self.bytes if run in self.runs else b""


class RunLog:
    """The part of a ``StackedLog`` that is one run's: what its checkpoints need of it."""

    def __init__(self, stacked: StackedLog, run: int) -> None:
        self.stacked, self.logger = stacked, stacked.loggers[run]

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
