"""Signals that end a run: Ctrl-C, SIGTERM, and the SIGUSR1 that Slurm can send before it pre-empts."""

import os
import signal
import threading
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, Self

from typing_extensions import override

SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGUSR1") if (number := getattr(signal, name, None))]
DEFAULT_HANDLERS = (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)


class Interrupted(BaseException):
    """A signal interrupted a run.

    Attributes:
        status: the exit status to end with: 130 after Ctrl-C, else 143.
        hydra: Hydra's configuration of the run.
    """

    hydra: Any = None

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.status = 130 if number == signal.SIGINT else 143

    def __str__(self) -> str:
        return f"interrupted by {signal.Signals(self.number).name}"


def leave_handled_signals() -> None:
    """Leave the signals that have a handler now to it: in a worker, its launcher saves and submits the run again."""
    SIGNALS[:] = [number for number in SIGNALS if signal.getsignal(number) in DEFAULT_HANDLERS]


class RunStopped(Exception):
    """A run was stopped by what started it, without an error: it can be resumed."""


def _may_handle() -> bool:
    """Whether this is the main thread: signals reach no other one, and only it may say what they do."""
    return threading.current_thread() is threading.main_thread()


class SignalHandler:
    """A context in which a signal raises ``Interrupted``: at once, or while ``deferred`` where ``check`` is called."""

    def __init__(self) -> None:
        self.deferred = False
        self._received: int | None = None

    @property
    def received(self) -> int | None:
        """The number of the newest signal, ``None`` if none has come."""
        return self._received

    def __enter__(self) -> Self:
        # A handler that C code has installed is None, and cannot be put back.
        self.before = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) is not None}
        self.install()
        return self

    def __exit__(self, *_: Any) -> None:
        if _may_handle():
            for number, handler in self.before.items():
                signal.signal(number, handler)

    def install(self) -> None:
        """Handle the signals; once more after somebody else, Lightning for one, has done so."""
        if _may_handle():
            for number in SIGNALS:
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        impatient = self.received is not None
        self._received = number
        if impatient or not self.deferred:
            raise Interrupted(number)

    def check(self) -> None:
        """Raise ``Interrupted`` where a signal has come."""
        if self.received is not None:
            raise Interrupted(self.received)


class SharedSignals(SignalHandler):
    """The signals that the parent of several training processes has received, in one of these.

    Args:
        number: of the signal, 0 before one has come: shared memory.
        parent: the end of a pipe that is closed when the parent dies.
    """

    def __init__(self, number: Any, parent: Connection) -> None:
        super().__init__()
        self.number, self.parent = number, parent

    @property
    @override
    def received(self) -> int | None:
        if self.parent.poll():
            os._exit(1)
        return self.number.value or None

    @override
    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Leave a signal to the parent, which receives it too."""
