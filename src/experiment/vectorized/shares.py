"""How the runs of a sweep are divided among processes. Needs no torch, so that these can start early."""

from experiment.runs.process_start import start_early
from experiment.sweeps.worker import count_cores

WORKERS = "experiment.vectorized.preloaded"  # the module that the other processes import
SMALLEST = 256  # runs: fewer are not divided; each step costs about the same for fewer


def count_processes(processes: int | None, runs: int) -> int:
    """Return how many processes train batches of runs: a number that is given, or one a core if there are many."""
    return processes or (count_cores() if runs > SMALLEST else 1)


def share_of(runs: int, processes: int) -> int:
    """Return how many of some runs each process trains."""
    return max(SMALLEST, -(-runs // processes))


def start_processes_early(runs: int, processes: int | None) -> None:
    """Let the other processes that are going to train some of the runs import what they need meanwhile."""
    if share_of(runs, count_processes(processes, runs)) < runs:
        start_early(WORKERS)
