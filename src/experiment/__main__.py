"""``python -m experiment [key=value …]``: what ``train.py`` does, with the configuration that the package brings."""

from typing import Any

import hydra
from omegaconf import DictConfig

from experiment import run
from experiment.command import command
from experiment.configuration import CONF


@command
@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def main(config: DictConfig) -> dict[str, Any]:
    """Run the composed configuration in the directory that Hydra gave it."""
    return run(config)


if __name__ == "__main__":
    main()
