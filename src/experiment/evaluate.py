"""``python -m experiment.evaluate RUN_DIR [key=value …]``: scores a run's weights, on its own test data or on other."""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig

from experiment.command import errors_reported, parse_arguments, run_directory_parser
from experiment.configuration.errors import ConfigurationError
from experiment.runs.directory import RunDirectory
from experiment.runs.horizon_trainer import HorizonTrainer
from experiment.runs.objects import load_recorded, make_model_and_data, trainer_arguments
from experiment.runs.report import format_scores
from experiment.runs.weights import find_weights

CHANGEABLE = ("data", "trainer", "seed")  # the rest defines the model


def evaluate(
    directory: RunDirectory, overrides: Sequence[str] = (), checkpoint: str = "last", trusted: bool = False
) -> dict[str, float]:
    """Return the scores of a run's weights on its test data; where it has none, on its validation data.

    Nothing is written.

    Args:
        directory: of the run.
        overrides: of its configuration, such as other data.
        checkpoint: ``last`` or ``best``.
        trusted: as for ``load_recorded``.

    Raises:
        ConfigurationError: the directory holds no run or no such checkpoint, or an override is wrong.
    """
    _check_overrides(overrides)
    config = load_recorded(directory, trusted, overrides)
    path, _ = find_weights(directory, checkpoint)
    with tempfile.TemporaryDirectory() as temporary:
        return _score(config, path, temporary)


def _check_overrides(overrides: Sequence[str]) -> None:
    problems = [
        f"{override}: can be changed are data.<key>, trainer.<key> and seed"
        for override in overrides
        if override.partition("=")[0].partition(".")[0] not in CHANGEABLE
    ]
    if problems:
        raise ConfigurationError.from_lines(problems)


def _score(config: DictConfig, path: Path, root: str) -> dict[str, float]:
    arguments = trainer_arguments(config) | {
        **{"logger": False, "enable_checkpointing": False, "default_root_dir": root},
        **{"strategy": "auto", "devices": 1},
    }
    trainer = HorizonTrainer(**arguments)
    model, data = make_model_and_data(config)
    # Before the weights are loaded, as in training: Lightning converts the module afterwards, which would round them.
    model = cast(LightningModule, trainer.precision_plugin.convert_module(model))
    for stage, step, score in (("test", "test_step", trainer.test), ("val", "validation_step", trainer.validate)):
        has_data = any(is_overridden(f"{stage}_dataloader", source) for source in (model, data))
        if has_data and is_overridden(step, model):
            with warnings.catch_warnings():  # the checkpoint's callbacks are of training
                warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`, callbacks")
                score(model, datamodule=data, ckpt_path=path, verbose=False, weights_only=True)
            return {name: float(value) for name, value in trainer.callback_metrics.items()}
    raise ConfigurationError(f"{config.model._target_} has neither test nor validation data to score.")


def main() -> None:
    """Run the command."""
    parser = run_directory_parser("evaluate", "Score a run's weights, on its own test data or on other data.")
    parser.add_argument("run_dir", type=Path, help="the directory of a run")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="other data: data.num_test=5000 seed=1")
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last", help="which weights (default: last)")
    arguments = parse_arguments(parser)
    with errors_reported():
        scores = evaluate(RunDirectory(arguments.run_dir), arguments.overrides, arguments.checkpoint, arguments.trust)
        print("   ".join(format_scores(scores)))


if __name__ == "__main__":
    main()
