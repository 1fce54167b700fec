"""Train, validate and test one experiment, or sweep over many: ``python train.py --help``."""

from typing import Any

import hydra
from omegaconf import DictConfig

from experiment import run
from experiment.command import command


@command
@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> dict[str, Any]:
    """Run the composed configuration in the directory that Hydra gave it."""
    return run(config)


if __name__ == "__main__":
    main()
