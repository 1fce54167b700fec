"""``python -m experiment.draw RUN_DIR…``: redraws the pictures of runs from what their directories hold."""

import sys
from pathlib import Path

from experiment.command import errors_reported, parse_arguments, run_directory_parser
from experiment.configuration.errors import ConfigurationError, ReportedError
from experiment.runs.directory import RunDirectory
from experiment.runs.objects import load_recorded, make_callbacks, make_model_and_data
from experiment.runs.pictures import FinishedRun, draw_pictures
from experiment.runs.weights import find_weights, load_weights, restore_data
from experiment.terminal import printable


def redraw(directory: RunDirectory, trusted: bool = False) -> None:
    """Draw the pictures of a run as of its last checkpoint; ``trusted`` as for ``load_recorded``.

    Raises:
        ConfigurationError: the directory holds no run, no checkpoint, or a run that cannot be loaded on this machine.
    """
    config = load_recorded(directory, trusted)
    path, checkpoint = find_weights(directory)
    model, data = make_model_and_data(config)
    callbacks = make_callbacks(config)
    load_weights(model, checkpoint, path)
    try:
        restore_data(data, checkpoint)
        for callback in callbacks:
            if state := checkpoint["callbacks"].get(callback.state_key):
                callback.load_state_dict(state)
    except Exception as error:  # whatever a state that is not theirs makes them raise
        raise ConfigurationError(f"The checkpoint {path} does not fit the configuration: {error}") from error
    draw_pictures(FinishedRun.read(directory.path, model.eval(), data, checkpoint["global_step"]), callbacks)


def main() -> None:
    """Run the command: all runs are drawn that can be, then the errors of the others are reported."""
    parser = run_directory_parser("draw", "Redraw the pictures of runs.")
    parser.add_argument("run_dir", type=Path, nargs="+", help="the directory of a run")
    arguments = parse_arguments(parser)
    errors = []
    with errors_reported():
        for path in arguments.run_dir:
            try:
                redraw(RunDirectory(path), arguments.trust)
            except ReportedError as error:
                errors.append(str(error))
    if errors:
        sys.exit(printable("\n".join(errors)))


if __name__ == "__main__":
    main()
