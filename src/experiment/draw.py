"""``python -m experiment.draw RUN_DIR…``: redraws the pictures of runs from what their directories hold."""

import argparse
import sys
from pathlib import Path

from experiment.command import errors_reported
from experiment.configuration.errors import ConfigurationError, ReportedError
from experiment.runs.checkpoint_files import load_newest
from experiment.runs.directory import RunDirectory
from experiment.runs.objects import load_recorded, make_callbacks, make_model_and_data
from experiment.runs.pictures import FinishedRun, draw_pictures


def redraw(directory: RunDirectory) -> None:
    """Draw the pictures of a run as of its last checkpoint.

    Raises:
        ConfigurationError: the directory holds no run, no checkpoint, or a run that cannot be loaded on this machine.
    """
    config, _ = load_recorded(directory)
    path, checkpoint = load_newest(directory.checkpoints)
    if path is None:
        raise ConfigurationError(f"{directory.path} holds no checkpoint to draw.")
    model, data = make_model_and_data(config)
    model.load_state_dict(checkpoint["state_dict"])
    callbacks = make_callbacks(config)
    for callback in callbacks:
        if state := checkpoint["callbacks"].get(callback.state_key):
            callback.load_state_dict(state)
    draw_pictures(FinishedRun.read(directory.path, model.eval(), data, checkpoint["global_step"]), callbacks)


def main() -> None:
    """Run the command: all runs are drawn that can be, then the errors of the others are reported."""
    parser = argparse.ArgumentParser(prog="python -m experiment.draw", description="Redraw the pictures of runs.")
    parser.add_argument("run_dir", type=Path, nargs="+", help="the directory of a run")
    errors = []
    with errors_reported():
        for path in parser.parse_args().run_dir:
            try:
                redraw(RunDirectory(path))
            except ReportedError as error:
                errors.append(str(error))
    if errors:
        sys.exit("\n".join(errors))


if __name__ == "__main__":
    main()
