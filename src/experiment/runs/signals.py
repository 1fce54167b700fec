"""Signals that end a run: Ctrl-C, SIGTERM, and the SIGUSR1 that Slurm can send before it pre-empts."""

import signal
import threading
from types import FrameType
from typing import Any, Self

SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGUSR1") if (number := getattr(signal, name, None))]


class Interrupted(BaseException):
    """A signal interrupted a run.

    Attributes:
        status: the exit status to end with: 130 after Ctrl-C, else 143.
        hydra: Hydra's configuration of the run.
    """

    hydra: Any = None

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.status = 130 if number == signal.SIGINT else 143


class RunStopped(Exception):
    """A run was stopped by what started it, without an error: it can be resumed."""


def _may_handle() -> bool:
    """Whether this is the main thread: signals reach no other one, and only it may say what they do."""
    return threading.current_thread() is threading.main_thread()


class SignalHandler:
    """A context in which a signal raises ``Interrupted``: at once, or while ``deferred`` where ``check`` is called."""

    def __init__(self) -> None:
        self.deferred = False
        self.received: int | None = None

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
        self.received = number
        if impatient or not self.deferred:
            raise Interrupted(number)

    def check(self) -> None:
        """Raise ``Interrupted`` where a signal has come."""
        if self.received is not None:
            raise Interrupted(self.received)
