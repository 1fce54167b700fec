"""One of several processes that train a run together: what it shares with the one that starts it, and its surroundings.

Of these processes, the first alone is heard.
"""

import logging
import logging.handlers
import os
import pickle
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from typing_extensions import override

from experiment.configuration.errors import ReportedError, format_error
from experiment.configuration.own_code import add_directory
from experiment.runs.files import write_atomically
from experiment.runs.signals import Interrupted, RunStopped, SharedSignals


@dataclass
class Report:
    """How the function ended in one process.

    Attributes:
        time: when it did, by the monotonic clock of the machine.
        metrics: that it has filled.
        error: that it has raised.
    """

    time: float
    metrics: dict[str, Any]
    error: BaseException | None


@dataclass
class ProcessGroup:
    """What the processes share with the one that starts them.

    Attributes:
        size: the number of processes.
        reports: the directory of their reports.
        signal: the number of the signal that has come, 0 before one has.
        records: the end of a pipe to which the first process sends its log records.
        parent: the end of a pipe that is closed when the process that starts them dies.
        threads: of torch in each process.
        port: on which the processes find each other.
        code: the directories of the user's own code.
    """

    size: int
    reports: Path
    signal: Any
    records: Connection
    parent: Connection
    threads: int
    port: int
    code: list[Path]

    def report_file(self, rank: int) -> Path:
        """Return where a process reports."""
        return self.reports / f"{rank}.pickle"


def run_rank(rank: int, group: ProcessGroup, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Call the function in the process of a rank, and report how it ended."""
    signals = SharedSignals(group.signal, group.parent)
    signals.install()
    _set_environment(rank, group)
    _set_output(rank, group)
    report = Report(0.0, {}, None)
    try:
        function(arguments, report.metrics, signals)
    except BaseException as error:
        report.error = portable(error)
    report.time = time.monotonic()
    write_atomically(group.report_file(rank), pickle.dumps(report))
    if report.error and not isinstance(report.error, Interrupted):
        sys.exit(1)


def _set_environment(rank: int, group: ProcessGroup) -> None:
    """Describe the processes as ``torchrun`` does: Lightning then starts none itself."""
    os.environ |= {
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"},
        **{"WORLD_SIZE": str(group.size), "LOCAL_WORLD_SIZE": str(group.size)},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(group.port), "TORCHELASTIC_RUN_ID": "experiment"},
    }
    torch.set_num_threads(group.threads)
    for directory in group.code:
        add_directory(directory)


def _set_output(rank: int, group: ProcessGroup) -> None:
    """Send the log records of the first process to the parent; silence the other processes."""
    root = logging.getLogger()
    root.handlers = [_RecordSender(group.records)]  # type: ignore[arg-type]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    if rank > 0:
        logging.disable(logging.CRITICAL)
        group.records.close()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)


class _RecordSender(logging.handlers.QueueHandler):
    """Sends log records through a pipe."""

    @override
    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.send(record)  # type: ignore[attr-defined]


def portable(error: BaseException) -> BaseException:
    """Return an error that another process can raise: of this project, or else a reported one with the same message."""
    if isinstance(error, Interrupted | RunStopped | ReportedError):
        error.__cause__ = error.__context__ = None
        error.__traceback__ = None
        return error
    reported = ReportedError(format_error(error))
    reported.add_note("".join(traceback.format_exception(error)))
    return reported
