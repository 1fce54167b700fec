"""What a grid and a search share: one directory, and jobs that are composed, checked and launched."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.references import ResolvedConfig
from experiment.runs.checks import Check, Kind, check_jobs
from experiment.runs.directory import make_directory, remove_if_empty
from experiment.runs.files import write_atomically
from experiment.runs.signals import Interrupted, SignalHandler
from experiment.sweeps.jobs import Job, JobComposer
from experiment.sweeps.relaunch import Launches
from experiment.sweeps.results import Row
from experiment.sweeps.summary import raise_if_failed
from experiment.sweeps.worker import WorkerTask


@runtime_checkable
class PreparingLauncher(Protocol):
    """A launcher that gets ready for runs while they are checked."""

    def prepare(self, runs: int) -> None:
        """Get ready for a number of runs, without waiting for it."""

    def on_checked(self, run: ResolvedConfig, directory: Path) -> None:
        """Get ready for a run that nothing is wrong with."""


class Sweep:
    """A directory of runs, the composer of its jobs, and the launcher that runs them.

    Args:
        loader: Hydra's configuration loader.
        config: of the sweep, with Hydra's own part.
        launcher: one of Hydra's.
        task: that the launcher calls for each job.
        workers: how many trials of a search run at once.
        max_batch_size: how many jobs the launcher is given at once, ``None`` for all.
    """

    def __init__(
        self,
        loader: ConfigLoader,
        config: DictConfig,
        launcher: Launcher,
        task: WorkerTask,
        workers: int = 1,
        max_batch_size: int | None = None,
    ) -> None:
        self.config, self.launcher, self.task = config, launcher, task
        self.workers, self.max_batch_size = workers, max_batch_size
        self.directory = Path(config.hydra.sweep.dir)
        self.composer = JobComposer(loader, config)

    def job(self, overrides: list[str], varied: Collection[str]) -> Job:
        """Return the job with these overrides; ``varied`` are the keys that the sweep varies."""
        return self.composer.job(overrides, varied)

    def prepare(self) -> None:
        """Make the sweep's directory, and record the configuration of the sweep in it.

        Raises:
            ConfigurationError: the directory cannot be made.
        """
        make_directory(self.directory, "hydra.sweep.dir")
        write_atomically(self.directory / "multirun.yaml", OmegaConf.to_yaml(self.config))

    def check(self, jobs: Sequence[Job]) -> tuple[list[Job], bool]:
        """Return the jobs that are not complete, and whether they are dry runs.

        Meanwhile, a launcher that can gets ready for them.

        Raises:
            ConfigurationError: some cannot run, or only some are dry runs.
        """
        last_checks: list[Check] = []
        if isinstance(self.launcher, PreparingLauncher):
            self.launcher.prepare(len(jobs))
            last_checks.append(self.launcher.on_checked)
        kinds = check_jobs(jobs, self.config.hydra, last_checks)
        if Kind.DRY_RUN in kinds and {*kinds} != {Kind.DRY_RUN}:
            raise ConfigurationError("trainer.fast_dev_run: all runs of a sweep are dry runs, or none is.")
        return [job for job, kind in zip(jobs, kinds, strict=True) if kind != Kind.NOTHING], Kind.DRY_RUN in kinds

    def dry_run(self, jobs: Sequence[Job]) -> None:
        """Run checked jobs that are dry runs.

        Raises:
            ReportedError: some failed, after all others have ended.
        """
        directories = [*(job.directory for job in jobs), self.directory, *self.directory.parents]
        made = [path for path in directories if not path.exists()]
        try:
            errors = self.launch(jobs)
        finally:
            for path in made:
                remove_if_empty(path)
        rows = [Row(job.values, job.directory, {"status": "pending"}) for job in jobs]  # whatever was run there before
        raise_if_failed(rows, errors, self.config.hydra)

    def launch(self, jobs: Sequence[Job]) -> dict[Path, str]:
        """Run jobs, and return the error of each that failed by its directory.

        Raises:
            Interrupted: by a signal; the runs can be resumed.
        """
        try:
            with SignalHandler():
                return Launches(self._launch, jobs).run()
        except Interrupted as interrupted:
            interrupted.hydra = self.config.hydra
            raise

    def _launch(self, jobs: Sequence[Job], again: bool) -> list[JobReturn]:
        self.task.before_launch(waits=again)  # for a run that another worker has not lost yet
        size = self.max_batch_size or len(jobs)
        returns: list[JobReturn] = []
        for start in range(0, len(jobs), size):
            batch = [job.arguments for job in jobs[start : start + size]]
            returns += self.launcher.launch(batch, initial_job_idx=start)
        return returns
