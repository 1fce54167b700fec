"""``train.py`` as far as a launcher is called: it composes, checks and lists the runs of a sweep, and starts none."""

import os
import runpy
from pathlib import Path

from experiment.sweeps.sweep import Sweep

Sweep.launch = lambda *_: os._exit(0)
runpy.run_path(str(Path(__file__).parent.parent / "train.py"), run_name="__main__")
