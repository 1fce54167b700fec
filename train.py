"""Train, validate and test one experiment, or sweep over many: ``python train.py --help``."""

from typing import Any

import hydra
from omegaconf import DictConfig

from experiment.command import command


@command
@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> dict[str, Any]:
    """Run the composed configuration in the directory that Hydra gave it."""
    from experiment.runs.run import run  # here, so that help and errors need not wait for torch

    return run(config)


if __name__ == "__main__":
    main()
