"""One function in several processes of this machine, which train together.

The process that starts them handles the signals, and outlives them.
"""

import logging
import multiprocessing.connection
import pickle
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.spawn import start_processes

from experiment.configuration.errors import ReportedError
from experiment.configuration.own_code import code_directories
from experiment.runs.process_start import clean_context, hidden_script
from experiment.runs.rank import ProcessGroup, Report, run_rank
from experiment.runs.signals import SignalHandler

GRACE = 10.0  # seconds for the other processes to end after one has
POLL = 0.1  # seconds between two looks at the signals
UNGUARDED = 'a script whose own classes are trained starts training under if __name__ == "__main__" alone.'


def run_in_processes(
    size: int,
    function: Callable[..., None],
    arguments: tuple[Any, ...],
    metrics: dict[str, Any],
    with_script: bool = False,
) -> None:
    """Call ``function(arguments, metrics, signals)`` in several processes; ``metrics`` are those of the first.

    Args:
        size: the number of processes.
        function: of a module that each process can import.
        arguments: for all processes.
        metrics: are filled.
        with_script: whether the processes import this one's script, whose classes are used.

    Raises:
        Interrupted: a signal has ended all of them, after they have saved their state.
        ReportedError: the process that failed first raised an error, or died. The others are ended.
    """
    context = clean_context("experiment.runs.training")
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
            code=code_directories(),
        )
        method = context.get_start_method()
        with nullcontext() if with_script else hidden_script():
            started = start_processes(run_rank, (group, function, arguments), size, join=False, start_method=method)
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
    return ReportedError(f"Process {silent[0]} of {len(ends)} has not trained: {UNGUARDED}") if silent else None
