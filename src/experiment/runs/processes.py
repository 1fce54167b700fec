"""One function in several processes of this machine, which train together.

The process that starts them handles the signals, and outlives them. Of the others, the first alone is heard.
"""

import logging
import logging.handlers
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.spawn import start_processes

from experiment.configuration.errors import ReportedError, format_error
from experiment.configuration.own_code import add_directory, named_directories
from experiment.runs.files import write_atomically
from experiment.runs.signals import Interrupted, RunStopped, SharedSignals, SignalHandler

GRACE = 10.0  # seconds for the other processes to end after one has
POLL = 0.1  # seconds between two looks at the signals


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
        records: the log records of the first process.
        threads: of torch in each process.
        port: on which the processes find each other.
        code: the directories of the user's own code.
    """

    size: int
    reports: Path
    signal: Any
    records: Any
    threads: int
    port: int
    code: list[Path]

    def report_file(self, rank: int) -> Path:
        """Return where a process reports."""
        return self.reports / f"{rank}.pickle"


def run_in_processes(
    size: int, function: Callable[..., None], arguments: Sequence[Any], metrics: dict[str, Any]
) -> None:
    """Call ``function(*arguments, metrics, signals)`` in several processes; ``metrics`` are those of the first.

    Raises:
        Interrupted: a signal has ended all of them, after they have saved their state.
        ReportedError: the process that failed first raised an error, or died. The others are ended.
    """
    threads = max(1, torch.get_num_threads() // size)
    # A copy of this process starts in no time, but survives neither CUDA nor a pool of threads.
    is_copied = sys.platform == "linux" and threads == 1 and not torch.cuda.is_available()
    method = "fork" if is_copied else "spawn"
    context = multiprocessing.get_context(method)
    with tempfile.TemporaryDirectory() as reports, SignalHandler() as signals:
        signals.deferred = True
        group = ProcessGroup(
            size, Path(reports), context.Value("i", 0), context.Queue(), threads, _free_port(), named_directories()
        )
        started = start_processes(_run_rank, (group, function, arguments), size, join=False, start_method=method)
        listener = logging.handlers.QueueListener(group.records, _RootLog())
        listener.start()
        try:
            _wait(started.processes, group, signals)
            ends = {rank: process.exitcode for rank, process in enumerate(started.processes)}
        finally:
            for process in started.processes:
                process.kill()
                process.join()
            listener.stop()
        reports_found = {rank: report for rank in range(size) if (report := _read_report(group, rank))}
    if 0 in reports_found:
        metrics |= reports_found[0].metrics
    if error := _first_error(ends, reports_found):
        raise error


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class _RootLog(logging.Handler):
    """Handles the records of another process as if they were of this one."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).handle(record)


def _wait(processes: Sequence[BaseProcess], group: ProcessGroup, signals: SignalHandler) -> None:
    """Wait until all processes have ended; or one has failed, or the first has ended, and the others had some time."""
    running = {process.sentinel: rank for rank, process in enumerate(processes)}
    give_up = float("inf")
    while running and time.monotonic() < give_up:
        for sentinel in multiprocessing.connection.wait([*running], POLL):
            rank = running.pop(sentinel)  # type: ignore[arg-type]
            processes[rank].join()
            if rank == 0 or processes[rank].exitcode:
                give_up = min(give_up, time.monotonic() + GRACE)
        if signals.received and not group.signal.value:
            group.signal.value = signals.received


def _read_report(group: ProcessGroup, rank: int) -> Report | None:
    path = group.report_file(rank)
    return pickle.loads(path.read_bytes()) if path.exists() else None


def _first_error(ends: dict[int, int | None], reports: dict[int, Report]) -> BaseException | None:
    """Return why training failed: a process that was killed, else the error that was raised first."""
    for rank, end in ends.items():
        if end is not None and end < 0:
            return ReportedError(f"Process {rank} of {len(ends)} was killed by {signal.Signals(-end).name}.")
    failed = [report for report in reports.values() if report.error]
    if failed:
        return min(failed, key=lambda report: report.time).error
    silent = [rank for rank in ends if rank not in reports]
    return ReportedError(f"Process {silent[0]} of {len(ends)} has not ended.") if silent else None


def _run_rank(rank: int, group: ProcessGroup, function: Callable[..., None], arguments: Sequence[Any]) -> None:
    """Call the function in the process of a rank, and report how it ended."""
    signals = SharedSignals(group.signal)
    signals.install()
    _set_environment(rank, group)
    _set_output(rank, group)
    report = Report(0.0, {}, None)
    try:
        function(*arguments, report.metrics, signals)
    except BaseException as error:
        report.error = _portable(error)
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
    root.handlers = [logging.handlers.QueueHandler(group.records)]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    if rank > 0:
        logging.disable(logging.CRITICAL)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)


def _portable(error: BaseException) -> BaseException:
    """Return an error that another process can raise: of this project, or else a reported one with the same message."""
    if isinstance(error, Interrupted | RunStopped | ReportedError):
        error.__cause__ = error.__context__ = None
        error.__traceback__ = None
        return error
    reported = ReportedError(format_error(error))
    reported.add_note("".join(traceback.format_exception(error)))
    return reported
