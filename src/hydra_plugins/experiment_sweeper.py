"""The sweeper of ``experiment``. Hydra accepts plugins from the package ``hydra_plugins`` only."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from typing_extensions import override

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.identity import is_search
from experiment.configuration.loading import SEARCH_KEY, without_search
from experiment.configuration.validation import validate
from experiment.sweeps.grid import expand, run_grid
from experiment.sweeps.sweep import Sweep
from experiment.sweeps.worker import WorkerTask, count_workers


class ExperimentSweeper(Sweeper):
    """Runs a grid, or a search if the configuration has ``search``.

    Args:
        params: sweep overrides by key, for configuration files; the command line overrides them.
        callbacks: that a sweep adds to its runs. They are read from the run's configuration, not from here.
        workers: how many trials of a search run at once, ``None`` for as many as the launcher says.
        max_batch_size: how many runs the launcher is given at once, ``None`` for all.
    """

    def __init__(
        self,
        params: dict[str, str] | None = None,
        callbacks: dict[str, Any] | None = None,
        workers: int | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        self.params, self.workers, self.max_batch_size = params or {}, workers, max_batch_size

    @override
    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        for key in ("workers", "max_batch_size"):
            number = getattr(self, key)
            if number is not None and not (isinstance(number, int) and number > 0):
                raise ConfigurationError.from_lines([f"hydra.sweeper.{key}={number}: a whole number ≥ 1"])
        task = WorkerTask(task_function)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task, config=config
        )
        workers = self.workers or count_workers(config.hydra.launcher.get("n_jobs"))
        self.loader = hydra_context.config_loader
        self.runs = Sweep(self.loader, config, launcher, task, workers, self.max_batch_size)

    @override
    def sweep(self, arguments: list[str]) -> Path:
        """Run the sweep, and return its directory."""
        typed = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        parsed = OverridesParser.create(self.loader).parse_overrides(typed)
        overrides = {each.get_key_element(): each for each in parsed}
        swept = {key: each for key, each in overrides.items() if each.is_sweep_override()}
        if searched := [each.input_line for key, each in swept.items() if SEARCH_KEY.match(key)]:
            raise ConfigurationError.from_lines([f"{text}: a sweep is one search" for text in searched])
        fixed = [text for key, each in overrides.items() if key not in swept for text in expand(each)]
        config = self.runs.composer.compose(fixed)
        if not is_search(config):
            run_grid(self.runs, [*overrides.values()])
            return self.runs.directory
        validate(config)
        if find_spec("optuna") is None:
            raise ConfigurationError("search=optuna needs Optuna: pip install -c constraints.txt -e '.[optuna]'")
        from experiment.sweeps.search import run_search  # here, since Optuna is optional

        run_search(self.runs, config.search, without_search(fixed), swept)
        return self.runs.directory


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="experiment",
    node={
        "_target_": f"{__name__}.ExperimentSweeper",
        "params": None,
        "callbacks": None,
        "workers": None,
        "max_batch_size": None,
    },
)
