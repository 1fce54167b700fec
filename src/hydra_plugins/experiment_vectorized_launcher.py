"""Trains the runs of a sweep together. Hydra accepts plugins from the package ``hydra_plugins`` only."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, configure_log
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from typing_extensions import override

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.references import ResolvedConfig


class VectorizedLauncher(Launcher):
    """Trains runs of one structure together, and all others one by one, as the basic launcher does.

    Args:
        batch_size: how many runs are trained together at most, ``None`` for as many as the cache or the device holds.
        n_jobs: how many trials of a search are trained together.
        processes: how many train batches at once, ``None`` for one a core where there are many runs.
        compile: whether a training step is compiled, ``None`` for where that pays.
    """

    def __init__(self, batch_size: int | None, n_jobs: int, processes: int | None, compile: bool | None) -> None:
        self.batch_size, self.n_jobs, self.processes, self.compile = batch_size, n_jobs, processes, compile
        self.basic = BasicLauncher()
        self.structures: dict[str, str] = {}  # by the names of the runs' directories

    @override
    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Get ready.

        Raises:
            ConfigurationError: a number is not positive.
        """
        numbers = {"batch_size": self.batch_size, "n_jobs": self.n_jobs, "processes": self.processes}
        wrong = [f"hydra.launcher.{key}={value}" for key, value in numbers.items() if value is not None and value < 1]
        if wrong:
            raise ConfigurationError.from_lines([f"{text}: a positive number" for text in wrong])
        self.basic.setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.loader, self.config = hydra_context.config_loader, config

    def prepare(self, runs: int) -> None:
        """Start what a number of runs needs while they are checked."""
        from experiment.vectorized.shares import start_processes_early

        start_processes_early(runs, self.processes)

    def on_checked(self, run: ResolvedConfig, directory: Path) -> None:
        """Note the structure of a run, which is then not composed once more to be grouped."""
        from experiment.vectorized.grouping import structure  # here, since these import torch
        from experiment.vectorized.refusal import NotVectorizable

        with suppress(NotVectorizable):  # the reason is reported when the run is launched
            self.structures[directory.name] = sys.intern(structure(run))

    @override
    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from experiment.vectorized.sweep import JobTrainer  # here, since it imports torch, and Hydra all plugins

        configure_log(self.config.hydra.job_logging, self.config.hydra.verbose)
        trainer = JobTrainer(self.loader, self.config, self.batch_size, self.processes, self.compile, self.structures)
        jobs = [list(overrides) for overrides in job_overrides]
        trainer.train(jobs, initial_job_idx)
        returns = []
        for index, overrides in enumerate(jobs):
            if (metrics := trainer.done.get(index)) is not None:
                returns.append(JobReturn(overrides=overrides, status=JobStatus.COMPLETED, _return_value=metrics))
            else:
                returns += self.basic.launch([overrides], initial_job_idx + index)
        return returns


@dataclass
class VectorizedLauncherConfig:
    """What ``hydra.launcher`` may hold, and of which types."""

    _target_: str = f"{__name__}.VectorizedLauncher"
    batch_size: int | None = None
    n_jobs: int = 16
    processes: int | None = None
    compile: bool | None = None


ConfigStore.instance().store(group="hydra/launcher", name="vectorized", node=VectorizedLauncherConfig)
