"""Where Hydra looks for plugins."""

from hydra.core.config_store import ConfigStore

from experiment.sweeps.sweep import Sweep


class ExperimentSweeper(Sweep):
    """The sweeper of ``experiment``."""


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="experiment",
    node={"_target_": f"{__name__}.ExperimentSweeper", "params": None, "callbacks": None},
)
