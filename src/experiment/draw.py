"""``python -m experiment.draw RUN_DIR…``: the pictures of runs, drawn again from what their directories hold."""

import argparse
import sys
from pathlib import Path

from experiment import pictures
from experiment.checkpoints import newest
from experiment.directory import RunDirectory
from experiment.run import callbacks_of, model_and_data, recorded
from experiment.schema import ConfigurationError, ReportedError


def draw(directory: RunDirectory) -> None:
    """Draw what the run has come to: after its last checkpoint.

    Raises:
        ConfigurationError: the directory holds no run, or one that cannot be made here.
    """
    config, _ = recorded(directory)
    path, checkpoint = newest(directory.checkpoints)
    if path is None:
        raise ConfigurationError(f"{directory.path} holds no checkpoint to draw.")
    model, data = model_and_data(config)
    model.load_state_dict(checkpoint["state_dict"])
    callbacks = callbacks_of(config)
    for callback in callbacks:
        if state := checkpoint["callbacks"].get(callback.state_key):
            callback.load_state_dict(state)
    pictures.draw(directory.path, callbacks, model.eval(), data, checkpoint["global_step"])


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m experiment.draw", description="Draw the pictures of runs again.")
    parser.add_argument("run_dir", type=Path, nargs="+", help="the directory of a run")
    failed = []
    for path in parser.parse_args().run_dir:
        try:
            draw(RunDirectory(path))
        except ReportedError as error:
            failed.append(str(error))
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
