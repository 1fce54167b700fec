"""Experiments with PyTorch Lightning and Hydra: runs, sweeps, and views of backpropagation."""

import os as _os
import sys as _sys
from typing import TYPE_CHECKING
from typing import Any as _Any

if TYPE_CHECKING:
    from experiment.api import compose, load, run, sweep

__all__ = ["compose", "load", "run", "sweep"]

# ``pkg://experiment.conf`` names the YAML files. In a wheel they lie within the package, in a clone at its top level.
_package = _os.path.dirname(_os.path.abspath(__file__))
if not _os.path.isdir(_os.path.join(_package, "conf")):
    __path__.append(_os.path.dirname(_os.path.dirname(_package)))

# ``python -m experiment.draw .`` lets the current directory shadow every module; it may be a stranger's run.
# While the package of a module that is run with -m is imported, sys.argv[0] is "-m".
if _sys.argv[:1] == ["-m"] and not _sys.flags.safe_path and _sys.path[0] != _os.path.dirname(__path__[0]):
    del _sys.path[0]


def __getattr__(name: str) -> _Any:
    """Import the functions when they are asked for: to import the package takes no time."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from experiment import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
