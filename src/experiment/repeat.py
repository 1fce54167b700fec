"""``python -m experiment.repeat RUN_DIR NEW_DIR``: repeats a run as its directory records it, and compares the two."""

import logging
import sys
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from experiment.command import errors_reported, parse_arguments, run_directory_parser
from experiment.configuration.errors import ConfigurationError
from experiment.configuration.identity import FROM_RUN
from experiment.runs.checkpoint_files import load_checkpoint
from experiment.runs.directory import RunDirectory
from experiment.runs.inputs import check_inputs, file_keys, find_again
from experiment.runs.logger import read_scalars
from experiment.runs.objects import load_recorded
from experiment.runs.recorded import is_plain_file
from experiment.runs.run import run_in
from experiment.terminal import printable

ENVIRONMENT = ("python", "packages", "platform", "device", "devices", "strategy", "threads")  # keys of provenance.json


def repeat(recorded: RunDirectory, repeated: RunDirectory, trusted: bool = False) -> list[str]:
    """Run what ``recorded`` holds again, in ``repeated``, and return how the results differ, a line each.

    ``trusted`` is as for ``load_recorded``.

    Raises:
        ConfigurationError: ``recorded`` holds no complete run, or one that cannot be run on this machine.
    """
    config, hydra = load_recorded(recorded, trusted), _make_hydra(recorded)
    if "status" not in recorded.metrics:
        raise ConfigurationError(f"{recorded.path} holds no complete run.")
    find_again(recorded, config, [FROM_RUN])
    check_inputs(config, file_keys(config))
    repeated.path.mkdir(parents=True, exist_ok=True)
    run_in(repeated, config, hydra)
    return _format_differences(_summarize_results(recorded), _summarize_results(repeated))


def _make_hydra(recorded: RunDirectory) -> DictConfig:
    """Return Hydra's configuration of the repetition: the recorded overrides, as plain text, and nothing else.

    A search's callbacks are left out: the repetition does not report to the search.
    """
    overrides: Any = OmegaConf.to_container(recorded.hydra.get("overrides") or OmegaConf.create())
    task = overrides.get("task", []) if isinstance(overrides, dict) else []
    texts = [str(each).replace("${", r"\${") for each in task]
    return OmegaConf.create({"overrides": {"task": texts}, "sweeper": {"callbacks": None}})


def environment_differences(recorded: RunDirectory, repeated: RunDirectory) -> list[str]:
    """Return how the software and hardware of two runs differ, a line each."""
    return _format_differences(_environment(recorded), _environment(repeated))


def _format_differences(recorded: dict[str, Any], repeated: dict[str, Any]) -> list[str]:
    return [
        f"{key}: recorded {recorded.get(key)}, repeated {value}"
        for key, value in repeated.items()
        if value != recorded.get(key)
    ]


def _environment(run: RunDirectory) -> dict[str, Any]:
    values = {key: run.provenance.get(key) for key in ENVIRONMENT}
    return {key: _join(value) if isinstance(value, dict) else value for key, value in values.items()}


def _join(versions: dict[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in versions.items())


def _summarize_results(run: RunDirectory) -> dict[str, Any]:
    """Return everything that must be identical: metrics, and the length or shape and the hash of curves and weights."""
    summary: dict[str, Any] = {key: value for key, value in run.metrics.items() if key != "seconds"}
    for tag, curve in read_scalars(run.path).items():
        summary[f"curve of {tag}"] = f"{len(curve)} values, {hash(repr(curve)):x}"
    for name in ("last", "best"):
        path = run.checkpoints / f"{name}.ckpt"
        weights = ((load_checkpoint(path) if is_plain_file(path) else None) or {}).get("state_dict", {})
        for key, value in weights.items():
            tensor = torch.as_tensor(value)
            content = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()  # NumPy has no bfloat16
            summary[f"{key} of {name}.ckpt"] = f"{tuple(tensor.shape)}, {hash(content):x}"
    return summary


def main() -> None:
    """Run the command."""
    parser = run_directory_parser("repeat", "Repeat a run, and compare.")
    parser.add_argument("run_dir", type=Path, help="the directory of a complete run")
    parser.add_argument("new_dir", type=Path, help="the directory in which to repeat it")
    arguments = parse_arguments(parser)
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(logging.Filter("experiment"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
    recorded, repeated = RunDirectory(arguments.run_dir), RunDirectory(arguments.new_dir)
    with errors_reported():
        differences = repeat(recorded, repeated, arguments.trust)
        environment = environment_differences(recorded, repeated)
    if environment:
        print(printable("\n  ".join(["The two runs were made in different environments:", *environment])))
    engines = [run.metrics.get("engine") for run in (recorded, repeated)]
    if engines[0] != engines[1]:
        print(f"The engines differ, {engines[0]} and {engines[1]}: the two runs agree but for rounding, and for views.")
    if differences:
        sys.exit(printable("\n  ".join(["The two runs differ:", *differences])))
    print("The two runs are bit-identical: every curve, every weight, every score.")


if __name__ == "__main__":
    main()
