"""The batches of a sweep, trained in this process and in others beside it: one for each core."""

import gc
import multiprocessing.connection
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from experiment.configuration.own_code import add_directory, code_directories
from experiment.runs.process_start import clean_context, hidden_script
from experiment.runs.signals import Interrupted, SharedSignals, SignalHandler
from experiment.vectorized.refusal import explain
from experiment.vectorized.shares import WORKERS
from experiment.vectorized.together import Batch, train_together

POLL_SECONDS = 0.1  # between two looks at whether a signal has come
SAVE_SECONDS = 30.0  # for the runs to save their state after a signal


@dataclass
class Outcome:
    """How a batch ended.

    Attributes:
        batch: its number.
        complete: the positions in it of the runs that are complete.
        failure: why the batch ended early; ``None``: it did not, and the others were dropped from it, or not locked.
    """

    batch: int
    complete: list[int]
    failure: str | None = None


@dataclass
class Shared:
    """What the processes share.

    Attributes:
        batches: of runs.
        taken: how many batches have been taken by a process, in shared memory.
        signal: the number of the signal that has come, 0 before one has, in shared memory.
        parent: the end of a pipe that is closed when the process that started the others dies.
        threads: of torch in each process.
        code: the directories of the user's own code.
    """

    batches: Sequence[Batch]
    taken: Any
    signal: Any
    parent: Connection
    threads: int
    code: list[Path]

    def train(self, signals: SignalHandler) -> Iterator[Outcome]:
        """Train batches that no process has taken, until none is left.

        Raises:
            Interrupted: by a signal; the runs have saved their state.
        """
        with _without_collector():
            while (number := self._take()) < len(self.batches):
                signals.deferred = False  # a batch that failed may have left it
                signals.check()
                yield self._train(number, signals)
                if self.taken.value < len(self.batches):  # else no batch needs the memory
                    gc.collect()

    def _train(self, number: int, signals: SignalHandler) -> Outcome:
        batch = self.batches[number]
        try:
            complete = {*train_together(batch, signals)}
        except Exception as error:  # also of somebody's module: where a run is at fault, it fails alone
            return Outcome(number, [], explain(error))
        return Outcome(number, [position for position, task in enumerate(batch.tasks) if task in complete])

    def _take(self) -> int:
        with self.taken.get_lock():
            self.taken.value += 1
            return int(self.taken.value) - 1


def train_batches(batches: Sequence[Batch], processes: int, with_script: bool) -> list[Outcome]:
    """Train batches of runs, and return how they ended; one that was lost with its process is left out.

    Args:
        batches: of runs of one structure each.
        processes: that train, this one among them.
        with_script: whether the others import this one's script, whose classes are used.

    Raises:
        Interrupted: by a signal; the runs have saved their state.
    """
    if not batches:
        return []
    processes = min(processes, len(batches))
    context = clean_context(WORKERS)
    watched, kept = context.Pipe(duplex=False)
    threads = max(1, torch.get_num_threads() // processes)
    shared = Shared(batches, context.Value("i", 0), context.Value("i", 0, lock=False), watched, threads, [])
    shared.code = code_directories()
    workers: dict[Connection, BaseProcess] = {}
    signals = SignalHandler()
    with _threads(threads), signals:
        try:
            with nullcontext() if with_script else hidden_script():
                for _ in range(processes - 1):
                    receiver, sender = context.Pipe(duplex=False)
                    workers[receiver] = context.Process(target=_work, args=(shared, sender))
                    workers[receiver].start()
                    sender.close()
            outcomes = [*shared.train(signals)]
            signals.deferred = True
            while waiting := [receiver for receiver in workers if not receiver.closed]:
                outcomes += _receive(waiting)
                signals.check()
        except Interrupted as interrupted:
            shared.signal.value = interrupted.number
            _join(workers.values())
            raise
        finally:
            for process in workers.values():
                process.kill()
                process.join()
            kept.close()
    return outcomes


@contextmanager
def _without_collector() -> Iterator[None]:
    """Collect no garbage: looking through the objects of a thousand runs again and again takes a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Let torch compute with a number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _receive(receivers: Sequence[Connection]) -> Iterator[Outcome]:
    """Yield what other processes report; close the pipe of one that has ended."""
    for receiver in multiprocessing.connection.wait(receivers, POLL_SECONDS):
        assert isinstance(receiver, Connection)
        try:
            yield receiver.recv()
        except (EOFError, OSError):
            receiver.close()


def _join(processes: Iterable[BaseProcess]) -> None:
    """Wait until processes have ended, but not for ever."""
    deadline = time.monotonic() + SAVE_SECONDS
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))


def _work(shared: Shared, sender: Connection) -> None:
    """Train in another process."""
    torch.set_num_threads(shared.threads)
    for directory in shared.code:
        add_directory(directory)
    signals = SharedSignals(shared.signal, shared.parent)
    signals.install()
    try:
        for outcome in shared.train(signals):
            sender.send(outcome)
    except Interrupted:
        pass
