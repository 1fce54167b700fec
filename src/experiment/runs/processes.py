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
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.spawn import start_processes
from typing_extensions import override

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


def run_in_processes(
    size: int, function: Callable[..., None], arguments: Sequence[Any], metrics: dict[str, Any]
) -> None:
    """Call ``function(*arguments, metrics, signals)`` in several processes; ``metrics`` are those of the first.

    Raises:
        Interrupted: a signal has ended all of them, after they have saved their state.
        ReportedError: the process that failed first raised an error, or died. The others are ended.
    """
    context = _clean_context()
    records, sender = context.Pipe(duplex=False)
    watched, kept = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as reports, SignalHandler() as signals:
        signals.deferred = True
        group = ProcessGroup(
            size=size,
            reports=Path(reports),
            signal=context.Value("i", 0, lock=False),
            records=sender,
            parent=watched,
            threads=max(1, torch.get_num_threads() // size),
            port=_free_port(),
            code=named_directories(),
        )
        method = context.get_start_method()
        started = start_processes(_run_rank, (group, function, arguments), size, join=False, start_method=method)
        sender.close()
        try:
            _wait(started.processes, group, records, signals)
            ends = {rank: process.exitcode for rank, process in enumerate(started.processes)}
        finally:
            for process in started.processes:
                process.kill()
                process.join()
            kept.close()
        reports_found = {rank: report for rank in range(size) if (report := _read_report(group, rank))}
    if 0 in reports_found:
        metrics |= reports_found[0].metrics
    if error := _first_error(ends, reports_found):
        raise error


def _clean_context() -> Any:
    """Return how processes start: not as copies of this one, whose pools of threads would not survive that.

    Where the system can, they are copies of a process that has only imported this package: the first start of a sweep
    takes seconds, the others none.
    """
    has_server = "forkserver" in multiprocessing.get_all_start_methods() and sys.platform == "linux"
    context = multiprocessing.get_context("forkserver" if has_server else "spawn")
    if has_server:
        context.set_forkserver_preload(["experiment.runs.training"])
    return context


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(processes: Sequence[BaseProcess], group: ProcessGroup, records: Connection, signals: SignalHandler) -> None:
    """Wait until all processes have ended; or one has failed, or the first has ended, and the others had some time.

    Meanwhile, log what the first one logs, and share the signals that come.
    """
    waiting: dict[Any, int | None] = {process.sentinel: rank for rank, process in enumerate(processes)}
    waiting[records] = None
    give_up = float("inf")
    while waiting and time.monotonic() < give_up:
        for ready in multiprocessing.connection.wait([*waiting], POLL):
            rank = waiting[ready]
            if rank is None:
                if not _log_record(records):
                    del waiting[ready]
                continue
            del waiting[ready]
            processes[rank].join()
            if rank == 0 or processes[rank].exitcode:
                give_up = min(give_up, time.monotonic() + GRACE)
        if signals.received and not group.signal.value:
            group.signal.value = signals.received


def _log_record(records: Connection) -> bool:
    """Handle one record of another process as if it were of this one, and return whether there may be more."""
    try:
        record = records.recv()
    except (EOFError, OSError):  # the process has ended, maybe while it was sending
        return False
    logging.getLogger(record.name).handle(record)
    return True


class _RecordSender(logging.handlers.QueueHandler):
    """Sends log records through a pipe."""

    @override
    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.send(record)  # type: ignore[attr-defined]


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
    signals = SharedSignals(group.signal, group.parent)
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
    root.handlers = [_RecordSender(group.records)]  # type: ignore[arg-type]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    if rank > 0:
        logging.disable(logging.CRITICAL)
        group.records.close()
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
