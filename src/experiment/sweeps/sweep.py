"""What a grid and a search share: one directory, and jobs that are composed, checked and launched."""

from collections.abc import Collection, Sequence
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from experiment.configuration.errors import format_error
from experiment.runs.checks import check_jobs
from experiment.runs.directory import make_directory
from experiment.runs.files import write_atomically
from experiment.runs.signals import RunStopped
from experiment.sweeps.jobs import Job, JobComposer


class Sweep:
    """A directory of runs, the composer of its jobs, and the launcher that runs them.

    Args:
        loader: Hydra's configuration loader.
        config: of the sweep, with Hydra's own part.
        launcher: one of Hydra's.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig, launcher: Launcher) -> None:
        self.config, self.launcher = config, launcher
        self.directory = Path(config.hydra.sweep.dir)
        self.composer = JobComposer(loader, config)

    def job(self, overrides: list[str], varied: Collection[str]) -> Job:
        """Return the job with these overrides; ``varied`` are the keys that the sweep varies."""
        return self.composer.job(overrides, varied)

    def prepare(self, jobs: Sequence[Job]) -> list[Job]:
        """Make the sweep's directory if all jobs can run, and return those that are not complete.

        Raises:
            ConfigurationError: some cannot run; nothing is written then.
        """
        incomplete = self.check(jobs)
        make_directory(self.directory, "hydra.sweep.dir")
        write_atomically(self.directory / "multirun.yaml", OmegaConf.to_yaml(self.config))
        return incomplete

    def check(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs that are not complete.

        Raises:
            ConfigurationError: some cannot run.
        """
        complete = check_jobs([(job.config, job.directory) for job in jobs], self.config.hydra)
        return [job for job, is_complete in zip(jobs, complete, strict=True) if not is_complete]

    def launch(self, jobs: Sequence[Job]) -> dict[Path, str]:
        """Run jobs, and return the error of each that failed by its directory."""
        if not jobs:
            return {}
        returns = self.launcher.launch([job.arguments for job in jobs], initial_job_idx=0)
        return {
            job.directory: format_error(job_return._return_value)
            for job, job_return in zip(jobs, returns, strict=True)
            if job_return.status == JobStatus.FAILED and not isinstance(job_return._return_value, RunStopped)
        }
