"""``python -m experiment.explain [RUN_DIR] [key=value …]``: prints one training step in numbers."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from experiment.command import errors_reported, parse_arguments, run_directory_parser
from experiment.configuration.compose import compose_configuration
from experiment.configuration.errors import ConfigurationError
from experiment.configuration.identity import FROM_RUN
from experiment.points.explanation import explain_step
from experiment.points.replay import replay_step
from experiment.runs.directory import RunDirectory
from experiment.runs.inputs import find_again
from experiment.runs.instantiable import check_instantiable
from experiment.runs.objects import load_recorded


def main() -> None:
    """Run the command."""
    parser = run_directory_parser(
        "explain", "Print one training step in numbers: of a run's directory, or of what the overrides compose."
    )
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="RUN_DIR | key=value",
        help="step=N, point=N (0 by default) and neuron=N (counted from 1) choose what is shown; "
        "other keys are those of train.py",
    )
    options = parse_arguments(parser)
    arguments = options.arguments
    directory = Path(arguments.pop(0)) if arguments and _is_run_dir(arguments[0]) else None
    with errors_reported():
        choices, overrides = _split(arguments)
        config = _load_configuration(directory, overrides, options.trust)
        step = replay_step(config, choices["step"])
        columns = config.data.get("columns") or ("x", "y")
        lines = explain_step(step, config.model.activation, columns, choices["point"], choices["neuron"])
        print("\n".join(lines))


def _is_run_dir(argument: str) -> bool:
    return Path(argument).is_dir() or not ("=" in argument or argument.startswith("~"))


def _split(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Separate step, point and neuron from the overrides of the configuration.

    Raises:
        ConfigurationError: one of the three is not a whole number.
    """
    choices: dict[str, Any] = {"step": 0, "point": 0, "neuron": None}
    overrides = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in choices:
            overrides.append(argument)
        elif value.isdecimal():
            choices[key] = int(value)
        else:
            raise ConfigurationError(f"{argument}: a whole number ≥ 0")
    return choices, overrides


def _load_configuration(directory: Path | None, overrides: list[str], trusted: bool) -> DictConfig:
    if directory:
        run = RunDirectory(directory)
        config = load_recorded(run, trusted, overrides)
        find_again(run, config, [FROM_RUN])
        return config
    config = compose_configuration(overrides)
    check_instantiable(config)
    return config


if __name__ == "__main__":
    main()
