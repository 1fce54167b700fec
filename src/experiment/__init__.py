"""Experiments with PyTorch Lightning and Hydra: runs, sweeps, and views of backpropagation."""

import os as _os
import sys as _sys

# ``python -m experiment.draw .`` lets the current directory shadow every module; it may be a stranger's run.
# While the package of a module that is run with -m is imported, sys.argv[0] is "-m".
if _sys.argv[:1] == ["-m"] and not _sys.flags.safe_path and _sys.path[0] != _os.path.dirname(__path__[0]):
    del _sys.path[0]
