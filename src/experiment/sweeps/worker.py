"""The processes that a launcher runs the jobs of a sweep in: each is made like the sweep's own, and ends with it."""

import os
import platform
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.types import TaskFunction
from omegaconf import DictConfig

from experiment.configuration.own_code import add_directory, code_directories
from experiment.runs.directory import DirectoryLocked
from experiment.runs.signals import Interrupted, leave_handled_signals

POLL_SECONDS = 1.0
MARK = "EXPERIMENT_SWEEP"  # the environment variable that the processes of a sweep's launcher inherit
WAIT_POLICY = "OMP_WAIT_POLICY"
_prepared: set[str] = set()  # the marks of the sweeps that this process has been prepared for


class WorkerInterrupted(Exception):
    """A signal has ended a run in a worker: it is not complete."""


class WorkerTask:
    """A task function that can be called in any process, with the result that it has in the sweep's own.

    Args:
        function: Hydra's task function.

    Attributes:
        waits: whether a worker waits for a directory that another one is training in, instead of failing.
    """

    def __init__(self, function: TaskFunction) -> None:
        self.function, self.waits = function, False
        self.machine, self.process = _machine(), os.getpid()
        os.environ[MARK] = self.mark = f"{self.process}.{time.time_ns()}"

    def before_launch(self, waits: bool) -> None:
        """Record what workers take over from this process.

        Launchers may pickle this object in another thread, which may have another number of threads in torch.
        """
        import torch  # here, since a complete sweep need not wait for it

        # OpenMP's idle threads would wait actively, on cores that other workers need: measured on two cores, 32 runs
        # of 100 epochs took 28 s so, and 18 s with this. This process's own OpenMP has read the variable by now.
        os.environ.setdefault(WAIT_POLICY, "PASSIVE")
        self.waits, self.threads = waits, torch.get_num_threads()
        self.arguments, self.path, self.directory, self.code = sys.argv, [*sys.path], os.getcwd(), code_directories()

    def __call__(self, config: DictConfig) -> Any:
        """Run a job.

        Raises:
            WorkerInterrupted: in a worker, where ``Interrupted`` would end it; other errors are made portable there.
        """
        if (self.machine, self.process) == (_machine(), os.getpid()):
            return self.function(config)
        if self.mark not in _prepared:
            _prepared.add(self.mark)
            self._prepare()
        from experiment.runs.rank import portable  # here, since it imports torch

        try:
            return self._run(config)
        except Interrupted as interrupted:
            raise WorkerInterrupted(str(interrupted)) from None
        except Exception as error:
            raise portable(error) from None

    def _run(self, config: DictConfig) -> Any:
        while True:
            try:
                return self.function(config)
            except DirectoryLocked:
                if not self.waits:
                    raise
            time.sleep(POLL_SECONDS)

    def _prepare(self) -> None:
        if self.machine == _machine():
            threading.Thread(target=_end_after, args=(self.process, self.mark), daemon=True).start()
        leave_handled_signals()
        os.chdir(self.directory)
        sys.argv = self.arguments
        sys.path += [path for path in self.path if path not in sys.path]
        for directory in self.code:
            add_directory(directory)
        import torch

        # The same number makes the same sums; on a machine with fewer cores it would only slow the run down.
        torch.set_num_threads(min(self.threads, count_cores()))


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_workers(n_jobs: int | None) -> int:
    """Return how many jobs run at once: ``n_jobs``, counted as joblib does (-1: all cores, -2: all but one), or 1."""
    number = n_jobs or 1
    return number if number > 0 else max(1, count_cores() + 1 + number)


def worker_environment() -> dict[str, str]:
    """Return the environment variables of a worker, for a launcher whose workers do not inherit this process's."""
    return {name: os.environ[name] for name in (MARK, WAIT_POLICY)}


def _machine() -> tuple[str, str]:
    """Return where a process number means the same process: the machine, and the container on it."""
    space = Path("/proc/self/ns/pid")
    return platform.node(), os.readlink(space) if space.is_symlink() else ""


def _end_after(process: int, mark: str) -> None:
    """End this process as soon as a sweep's has ended, however it did."""
    _wait_for(process)
    _kill_marked(mark)
    os._exit(1)


def _kill_marked(mark: str) -> None:
    """End what a sweep's launcher has started beside its workers, and idle workers: they do not notice its end."""
    if sys.platform != "linux":
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX) as only_one:  # for workers would end each other too early
        only_one.bind(f"\0{MARK}.{mark}")
        for other in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # of another user's process, or of one that has ended
                variables = (other / "environ").read_bytes().split(b"\0")
                if f"{MARK}={mark}".encode() in variables and int(other.name) != os.getpid():
                    os.kill(int(other.name), signal.SIGKILL)


def _wait_for(process: int) -> None:
    """Return when a process has ended, even if its parent has not noticed yet."""
    if sys.platform == "linux":
        with suppress(OSError):  # of an old kernel, or a process that is gone
            poll = select.poll()
            poll.register(os.pidfd_open(process), select.POLLIN)
            poll.poll()
            return
    while _is_running(process):
        time.sleep(POLL_SECONDS)


def _is_running(process: int) -> bool:
    if sys.platform == "win32":  # where the signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True
