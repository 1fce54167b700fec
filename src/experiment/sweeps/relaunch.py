"""Jobs that are launched until each has ended, whatever of them a launcher loses with its workers meanwhile."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from tqdm import tqdm

from experiment.configuration.errors import ReportedError, format_error
from experiment.runs.directory import RunDirectory
from experiment.runs.signals import RunStopped
from experiment.sweeps.jobs import Job
from experiment.sweeps.worker import WorkerInterrupted

MAX_LOSSES = 2  # of a run while others run beside it; then it runs alone, once


@dataclass
class Snapshot:
    """When something happened in the directory of a job last, ``None`` for never.

    Attributes:
        started: the start of its run.
        ended: the end of its run.
    """

    started: int | None
    ended: int | None

    @classmethod
    def of(cls, job: Job) -> "Snapshot":
        """Look at the directory of a job."""
        return cls(_change_time(RunDirectory(job.directory).config_file), _change_time(job.directory / "metrics.json"))


class Launches:
    """Launches jobs, and again those that a launcher has lost.

    A run that ends its worker each time is among those that were lost after they had started: these run alone in the
    end, so that it takes no other with it.

    Args:
        launch: launches jobs, the second argument says whether again, and returns how each ended. An exception means
            that it has lost some: a run's own exception is in what is returned for it.
        jobs: not complete.

    Attributes:
        errors: by directory, of jobs that failed.
    """

    def __init__(self, launch: Callable[[Sequence[Job], bool], Sequence[JobReturn]], jobs: Sequence[Job]) -> None:
        self.launch, self.waiting = launch, [*jobs]
        self.errors: dict[Path, str] = {}
        self.losses: Counter[Path] = Counter()
        self.again = False

    def run(self) -> dict[Path, str]:
        """Launch until each job has ended, and return the errors.

        Raises:
            ReportedError: the launcher failed before it had started any run.
        """
        while self.waiting:
            together = [job for job in self.waiting if self.losses[job.directory] < MAX_LOSSES]
            batch = together or self.waiting[:1]
            before = {job.directory: Snapshot.of(job) for job in batch}
            returns, error = self._launch(batch)
            lost = [
                job
                for job, job_return in zip(batch, returns, strict=True)
                if not self._has_ended(job, before[job.directory], job_return)
            ]
            started = [job.directory for job in lost if Snapshot.of(job).started != before[job.directory].started]
            if not together:
                self.errors |= {job.directory: f"lost with its worker, again and again: {error}" for job in lost}
                lost = []
            elif len(lost) == len(batch) and not started:
                raise ReportedError(f"The launcher has started no run: {error}")
            self.losses.update(started)
            launched = {*batch}
            self.waiting = [*lost, *(job for job in self.waiting if job not in launched)]
            self.again = True
            if lost:
                tqdm.write(f"Runs that were lost with a worker, and are launched again: {len(lost)}", file=sys.stderr)
        return self.errors

    def _launch(self, batch: Sequence[Job]) -> tuple[Sequence[JobReturn | None], str]:
        """Return what the launcher returns, or ``None`` for each job, and the first line of its error."""
        try:
            return self.launch(batch, self.again), "a signal has ended its worker"
        except ReportedError:
            raise
        except Exception as error:  # of an engine that is not known here
            lines = str(error).splitlines() or [""]
            return [None] * len(batch), f"{type(error).__name__}: {lines[0]}"

    def _has_ended(self, job: Job, before: Snapshot, job_return: JobReturn | None) -> bool:
        """Whether the run of a job has ended, by what was returned or else by its directory; an error is kept."""
        if job_return is None:
            return Snapshot.of(job).ended not in (before.ended, None) and not _is_interrupted(job)
        value = job_return._return_value
        if job_return.status == JobStatus.FAILED and not isinstance(value, RunStopped | WorkerInterrupted):
            self.errors[job.directory] = format_error(value)
        return not isinstance(value, WorkerInterrupted)


def _is_interrupted(job: Job) -> bool:
    """Whether a run was interrupted by a signal, and not by what started it."""
    metrics = RunDirectory(job.directory).metrics
    return metrics.get("status") == "interrupted" and not metrics.get("stop_reason")


def _change_time(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
