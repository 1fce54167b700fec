"""What a sweep of the reference costs, measured in a process of its own."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import speed

HERE = Path(__file__).parent
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1)
NO_VIEWS = [f"callbacks.{name}=null" for name in ("backprop", "graph", "play", "decision_boundary")]
SHORT = 2  # epochs, and steps, of a run that is nearly nothing but overhead
CHECKS = "checks"  # in the place of a launcher: the sweep ends where it would start the runs


@dataclass(frozen=True)
class Sweep:
    """A sweep of the reference over rates and seeds, with its points and its hidden layer of a given size."""

    launcher: str
    runs: int
    epochs: int
    views: bool = False
    points: int = 100
    width: int = 4
    cores: int = CORES
    compile: bool | None = None

    def words(self) -> list[str]:
        """Return the command that runs it, in the directory ``sweep``."""
        rates = RATES if self.runs % len(RATES) == 0 else RATES[-1:]
        return [
            str(HERE / "pending.py" if self.launcher == CHECKS else HERE.parent / "train.py"),
            "-m",
            f"hydra/launcher={'basic' if self.launcher == CHECKS else self.launcher}",
            "hydra.sweep.dir=sweep",
            f"optimizer.lr={','.join(map(str, rates))}",
            f"seed=range({self.runs // len(rates)})",
            f"trainer.max_epochs={self.epochs}",
            "trainer.log_every_n_steps=10",
            f"data.num_points={self.points}",
            f"model.hidden=[{self.width}]",
            *([] if self.compile is None else [f"hydra.launcher.compile={self.compile}"]),
            *([] if self.views else NO_VIEWS),
        ]


@dataclass
class Cost:
    """Seconds and peak bytes of the command; of each run its bytes, the bytes of its blocks on disk, and its files."""

    seconds: float
    memory: float
    size: float
    blocks: float
    files: float


def measure(sweep: Sweep) -> Cost:
    """Run a sweep, and delete it."""
    threads = sweep.cores if sweep.launcher in ("basic", "vectorized", CHECKS) else 1  # of each worker
    with tempfile.TemporaryDirectory() as directory, _only_cores(sweep.cores):
        seconds, memory, _ = speed.run_process(sweep.words(), directory, {"OMP_NUM_THREADS": str(threads)})
        runs = [path for path in Path(directory, "sweep").glob("*") if path.is_dir()]
        paths = [path for run in runs for path in (run, *run.rglob("*"))]
        blocks = sum(path.stat().st_blocks * 512 for path in paths)
        sizes = [path.stat().st_size for path in paths if path.is_file()]
    return Cost(seconds, memory, sum(sizes) / sweep.runs, blocks / sweep.runs, len(sizes) / sweep.runs)


@contextmanager
def _only_cores(count: int) -> Iterator[None]:
    """Leave this process, and those that it starts meanwhile, only some of its cores."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
