"""``python -m experiment.repeat RUN_DIR NEW_DIR``: a run again, from what its directory records, and compared."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

import torch

from experiment.command import errors_reported
from experiment.configuration.errors import ConfigurationError
from experiment.runs.checkpoint_files import load_checkpoint
from experiment.runs.directory import RunDirectory
from experiment.runs.logger import read_scalars
from experiment.runs.objects import load_recorded
from experiment.runs.run import run_in

COMPARED_PROVENANCE = ("python", "packages", "platform", "device", "devices", "strategy", "threads")


def repeat(old: RunDirectory, new: RunDirectory) -> list[str]:
    """Run again what ``old`` records, in ``new``, and return in what the two differ.

    Raises:
        ConfigurationError: ``old`` holds no complete run, or one that cannot be run here.
    """
    config, hydra = load_recorded(old)
    if "status" not in old.metrics:
        raise ConfigurationError(f"{old.path} holds no complete run.")
    hydra.sweeper.callbacks = None  # of a search, to which this repetition does not report
    new.path.mkdir(parents=True, exist_ok=True)
    run_in(new, config, hydra)
    theirs, ours = _result(old), _result(new)
    return [f"{key}: {theirs.get(key)} there, {ours.get(key)} here" for key in ours if ours[key] != theirs.get(key)]


def provenance_differences(old: RunDirectory, new: RunDirectory) -> list[str]:
    """Return in what two runs were made differently."""
    then, now = ({key: _flat(run.provenance.get(key)) for key in COMPARED_PROVENANCE} for run in (old, new))
    return [f"{key}: {then[key]} there, {now[key]} here" for key in COMPARED_PROVENANCE if then[key] != now[key]]


def _flat(value: Any) -> Any:
    return ", ".join(f"{name} {each}" for name, each in value.items()) if isinstance(value, dict) else value


def _result(run: RunDirectory) -> dict[str, Any]:
    """Return all that must be the same; what is long as a short text that differs where it does."""
    result: dict[str, Any] = {key: value for key, value in run.metrics.items() if key != "seconds"}
    for tag, curve in read_scalars(run.path).items():
        result[f"curve of {tag}"] = f"{len(curve)} values, {hash(repr(curve)):x}"
    for name in ("last", "best"):
        weights = (load_checkpoint(run.checkpoints / f"{name}.ckpt") or {}).get("state_dict", {})
        for key, tensor in weights.items():
            whole = torch.as_tensor(tensor)
            result[f"{key} of {name}.ckpt"] = f"{tuple(whole.shape)}, {hash(whole.numpy().tobytes()):x}"
    return result


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m experiment.repeat", description="Run a run again, and compare.")
    parser.add_argument("run_dir", type=Path, help="the directory of a run that came to its end")
    parser.add_argument("new_dir", type=Path, help="where it runs again")
    arguments = parser.parse_args()
    said = logging.StreamHandler(sys.stdout)
    said.addFilter(logging.Filter("experiment"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[said])
    old, new = RunDirectory(arguments.run_dir), RunDirectory(arguments.new_dir)
    with errors_reported():
        found = repeat(old, new)
    if made := provenance_differences(old, new):
        print("\n  ".join(["The two were made with something else:", *made]))
    if found:
        sys.exit("\n  ".join(["The two runs differ:", *found]))
    print("The two runs are bit-identical: every curve, every weight, every score.")


if __name__ == "__main__":
    main()
