"""``hydra/launcher=ray``: runs the jobs of a sweep by Ray. Hydra accepts plugins from ``hydra_plugins`` only."""

import logging
import os
import socket
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from typing_extensions import override

from experiment.configuration.errors import ConfigurationError
from experiment.runs.signals import Interrupted, SignalHandler
from experiment.sweeps.worker import count_workers, worker_environment

CONNECT_SECONDS = 10.0
POLL_SECONDS = 0.1  # between two looks at whether a signal has come
SAVE_SECONDS = 10.0  # for the runs to save their state after a signal


class RayLauncher(BasicLauncher):
    """Runs each job in a task of Ray, in a worker that does what the basic launcher does.

    Args:
        address: of a cluster to connect to: ``host:port``, or ``auto`` for the one that this machine is a node of.
            ``None`` starts Ray on this machine, for as long as this launcher exists.
        n_jobs: how many jobs run at once on this machine, counted as joblib does. On a cluster, its nodes limit them.
        num_cpus: of a node of a cluster, for each job.
        num_gpus: of a node, for each job.
    """

    def __init__(self, address: str | None, n_jobs: int, num_cpus: float, num_gpus: float) -> None:
        super().__init__()
        self.address, self.n_jobs, self.num_cpus, self.num_gpus = address, n_jobs, num_cpus, num_gpus

    @override
    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs, and return how each ended.

        Raises:
            RayError: some were lost with their worker; all others have ended.
            Interrupted: by a signal, after the jobs have saved their state.
        """
        import ray  # here, since Ray is optional and Hydra imports all plugins

        if not ray.is_initialized():
            self._connect()
        launcher = ray.put((self, Singleton.get_state(), os.getcwd()))
        # Without GPUs of its own, a job may use all of its node, as by the other launchers.
        environment = {**worker_environment(), "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
        run = ray.remote(
            num_cpus=self.num_cpus,
            num_gpus=self.num_gpus,
            max_retries=0,  # the sweep launches lost jobs again
            runtime_env={"env_vars": environment},
        )(_run)
        jobs = enumerate(job_overrides, initial_job_idx)
        tasks = [run.remote(launcher, overrides, index) for index, overrides in jobs]
        _wait_for(tasks)
        returns: Sequence[JobReturn] = ray.get(tasks)
        return returns

    def _connect(self) -> None:
        """Connect to the cluster, or start Ray.

        Raises:
            ConfigurationError: no cluster is there, or this machine has too few GPUs.
        """
        import ray

        options: dict[str, Any] = {}
        if self.address is None:
            options["num_cpus"] = count_workers(self.n_jobs) * self.num_cpus
        elif self.address != "auto":
            _check_answers(self.address)
        ray.init(self.address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
        weakref.finalize(self, ray.shutdown)
        ray._private.worker._worker_logs_enabled = False  # it prints a page when a node dies, whatever log_to_driver is
        gpus = ray.cluster_resources().get("GPU", 0)
        if self.address is None and self.num_gpus > gpus:  # a job would wait for ever
            ray.shutdown()
            raise ConfigurationError.from_lines([f"hydra.launcher.num_gpus={self.num_gpus}: this machine has {gpus:g}"])


def _check_answers(address: str) -> None:
    """Check that something listens at an address: Ray itself would try for minutes.

    Raises:
        ConfigurationError: nothing does.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError):
        allowed = "auto, or host:port of the head node of a Ray cluster"
        raise ConfigurationError.from_lines([f"hydra.launcher.address={address}: no answer; {allowed}"]) from None


def _wait_for(tasks: Sequence[Any]) -> None:
    """Return when all tasks have ended; a signal cancels them, and disconnects from Ray.

    Raises:
        Interrupted: by the signal.
    """
    import ray

    with SignalHandler() as signals:  # once more, since Ray has installed its own handler
        signals.deferred = True  # Ray would make another exception of one that is raised while it waits
        try:
            for task in tasks:
                while not ray.wait([task], timeout=POLL_SECONDS)[0]:
                    signals.check()
        except Interrupted:
            for task in tasks:
                ray.cancel(task)
            ray.wait(tasks, num_returns=len(tasks), timeout=SAVE_SECONDS)
            ray.shutdown()
            raise


def _run(shared: tuple[RayLauncher, dict[type, Any], str], overrides: Sequence[str], index: int) -> JobReturn:
    """Run a job in a worker of Ray."""
    launcher, singletons, directory = shared
    os.chdir(directory)
    Singleton.set_state(singletons)
    return BasicLauncher.launch(launcher, [overrides], index)[0]


@dataclass
class RayLauncherConfig:
    """What ``hydra.launcher`` may hold, and of which types."""

    _target_: str = f"{__name__}.RayLauncher"
    address: str | None = None
    n_jobs: int = -1
    num_cpus: float = 1
    num_gpus: float = 0


if find_spec("ray"):
    ConfigStore.instance().store(group="hydra/launcher", name="ray", node=RayLauncherConfig)
