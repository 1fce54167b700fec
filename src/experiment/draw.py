"""``python -m experiment.draw RUN_DIR…``: redraws the pictures of runs from what their directories hold.

With ``--together``, it draws them side by side in one picture instead, and leaves their directories as they are.
"""

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from experiment.command import errors_reported, parse_arguments, run_directory_parser
from experiment.comparison import MAX_RUNS, ComparedRun, draw_comparison
from experiment.configuration.errors import ConfigurationError, ReportedError
from experiment.runs.directory import RunDirectory
from experiment.runs.objects import load_recorded, make_callbacks, make_model_and_data
from experiment.runs.pictures import FinishedRun, draw_pictures, render
from experiment.runs.weights import find_weights, load_weights, restore_data
from experiment.terminal import printable

OUTPUT = Path("comparison.png")  # of --together, in the working directory


def redraw(directory: RunDirectory, trusted: bool = False) -> None:
    """Draw the pictures of a run, which is read as ``read_run`` does."""
    run = read_run(directory, trusted)
    draw_pictures(run.finished, run.callbacks)


def read_run(directory: RunDirectory, trusted: bool = False) -> ComparedRun:
    """Return a run as of its last checkpoint; ``trusted`` as for ``load_recorded``.

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
    finished = FinishedRun.read(directory.path, model.eval(), data, checkpoint["global_step"])
    status = directory.metrics.get("status", "not finished")
    return ComparedRun(directory.path.absolute().name, config, status, finished, callbacks)


def draw_together(paths: Sequence[Path], output: Path, trusted: bool = False) -> None:
    """Draw one picture of several runs, each read as ``read_run`` does.

    Raises:
        ConfigurationError: some cannot be read, with the error of each; or the picture cannot be written.
    """
    runs, errors = [], []
    for path, name in zip(paths, _short_names(paths), strict=True):
        try:
            runs.append(dataclasses.replace(read_run(RunDirectory(path), trusted), name=name))
        except ReportedError as error:
            errors.append(str(error))
    if errors:
        raise ConfigurationError("\n".join(errors))
    figure = draw_comparison(runs)
    try:
        render(figure, output)
    except OSError as error:
        raise ConfigurationError(f"--output {output}: {error.strerror}") from error
    print(output)


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Return the paths without the directories that all of them lie in."""
    parts = [path.resolve().parts for path in paths]
    parents = zip(*(each[:-1] for each in parts), strict=False)
    shared = sum(1 for _ in itertools.takewhile(lambda each: len(set(each)) == 1, parents))
    return ["/".join(each[shared:]) for each in parts]


def main() -> None:
    """Run the command: all runs are drawn that can be, then the errors of the others are reported."""
    parser = run_directory_parser("draw", "Redraw the pictures of runs, or draw runs side by side in one picture.")
    parser.add_argument("run_dir", type=Path, nargs="+", help="the directory of a run")
    parser.add_argument("--together", action="store_true", help="draw one picture of several runs, side by side")
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"of --together; by default {OUTPUT}")
    arguments = parse_arguments(parser)
    _check_arguments(parser, arguments)
    errors = []
    with errors_reported():
        if arguments.together:
            draw_together(arguments.run_dir, arguments.output or OUTPUT, arguments.trust)
            return
        for path in arguments.run_dir:
            try:
                redraw(RunDirectory(path), arguments.trust)
            except ReportedError as error:
                errors.append(str(error))
    if errors:
        sys.exit(printable("\n".join(errors)))


def _check_arguments(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    paths, output = arguments.run_dir, arguments.output
    if output and not arguments.together:
        parser.error("--output is the picture of --together")
    if output and output.suffix.lower() != ".png":
        parser.error(f"--output {output}: the name of a picture ends in .png")
    if output and not output.parent.is_dir():
        parser.error(f"--output {output}: there is no directory {output.parent}")
    if arguments.together and len(paths) not in range(2, MAX_RUNS + 1):
        parser.error(f"--together draws 2 to {MAX_RUNS} runs side by side, not {len(paths)}")
    resolved = [path.resolve() for path in paths]
    if arguments.together and len(set(resolved)) < len(resolved):
        twice = next(path for path, each in zip(paths, resolved, strict=True) if resolved.count(each) > 1)
        parser.error(f"--together: {twice} is named more than once")


if __name__ == "__main__":
    main()
