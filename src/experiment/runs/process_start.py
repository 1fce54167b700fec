"""How other processes of this machine start: without what this one has imported and computed. Needs no torch."""

import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def hidden_script() -> Iterator[None]:
    """Start processes that do not import the script of this one: it may train as soon as it is imported."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def clean_context(module: str) -> Any:
    """Return how processes start: not as copies of this one, whose pools of threads would not survive that.

    Where the system can, they are copies of a process that has only imported a module, once for a sweep.
    """
    has_server = "forkserver" in multiprocessing.get_all_start_methods() and sys.platform == "linux"
    context = multiprocessing.get_context("forkserver" if has_server else "spawn")
    if has_server:
        context.set_forkserver_preload([module])
    return context


def start_early(module: str) -> None:
    """Let the system import a module for other processes while this one does something else."""
    if clean_context(module).get_start_method() == "forkserver":
        from multiprocessing import forkserver  # here, since not all systems have it

        forkserver.ensure_running()
