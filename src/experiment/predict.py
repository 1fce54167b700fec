"""``python -m experiment.predict RUN_DIR POINTS.csv``: writes what a run's network says of points, as CSV."""

import csv
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from io import BufferedReader
from pathlib import Path
from typing import TextIO, cast

import numpy as np
import torch

from experiment.command import errors_reported, parse_arguments, run_directory_parser
from experiment.configuration import targets
from experiment.configuration.errors import ConfigurationError
from experiment.points.classifier import PointsClassifier
from experiment.points.csv_data import CsvDataModule
from experiment.points.csv_rows import CsvRows, Stream
from experiment.points.encoding import PLANE, Encoding
from experiment.runs.directory import RunDirectory
from experiment.runs.objects import load_recorded
from experiment.runs.weights import find_weights, load_weights

BATCH = 4096  # rows at most; fewer where no more are there yet
Cells = Sequence[str]


def predict(directory: RunDirectory, stream: Stream, name: str, output: TextIO, trusted: bool = False) -> None:
    """Write, for each row of a CSV, its coordinates as they are given, the probability of class 1, and the class.

    A row is written as soon as it and those that came with it are read. Other columns are left out.

    Args:
        directory: of the run, whose last weights are used.
        stream: the CSV.
        name: of the CSV, for errors.
        output: where it is written.
        trusted: as for ``load_recorded``.

    Raises:
        ConfigurationError: the run does not classify points, or a row is wrong; those before it are written.
    """
    model, encoding = _load(directory, trusted)
    rows = CsvRows(stream, name, encoding.columns)
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow([*encoding.columns, "probability", "class"])
    for cells, numbers in _batches(rows):
        probabilities, classes = _classify(model, encoding, numbers)
        writer.writerows(
            [*texts, probability, encoding.labels[number]]
            for texts, probability, number in zip(cells, probabilities, classes, strict=True)
        )
        output.flush()


def _load(directory: RunDirectory, trusted: bool) -> tuple[PointsClassifier, Encoding]:
    """Return the network of a run, and what its numbers stand for; the run's data is not read."""
    config = load_recorded(directory, trusted, uses_data=False)
    path, checkpoint = find_weights(directory)
    model = targets.instantiate(config, "model")
    if not isinstance(model, PointsClassifier):
        raise ConfigurationError(f"model._target_={config.model._target_}: only a PointsClassifier can predict points.")
    load_weights(model, checkpoint, path)
    state = checkpoint.get(CsvDataModule.__qualname__)
    encoding = PLANE if state is None else Encoding.read(state)
    if len(encoding.columns) != model.net.inputs:
        raise ConfigurationError(
            f"{directory.path} holds a network of {model.net.inputs} inputs, for the columns {encoding.columns}."
        )
    return model.eval(), encoding


def _batches(rows: CsvRows) -> Iterator[tuple[list[Cells], np.ndarray]]:
    """Yield the cells of rows that are there together, and their numbers; of rows before a wrong one too."""
    cells: list[Cells] = []
    numbers: list[list[float]] = []
    try:
        for row in rows:
            numbers.append([rows.parse_number(text, column) for column, text in enumerate(row)])
            cells.append(row)
            if len(cells) == BATCH or not rows.has_more:
                yield cells, np.array(numbers)
                cells, numbers = [], []
    except ConfigurationError:
        if cells:
            yield cells, np.array(numbers)
        raise


@torch.no_grad()
def _classify(model: PointsClassifier, encoding: Encoding, numbers: np.ndarray) -> tuple[list[str], list[int]]:
    """Return the probability of class 1 of points, ``[n, columns]``, in full precision, and their classes."""
    points = encoding.encode(numbers).to(next(model.parameters()))
    logits = model.net(points)[:, 0]
    probabilities = torch.sigmoid(logits)
    if probabilities.dtype == torch.bfloat16:  # NumPy has none
        probabilities = probabilities.float()
    return [str(each) for each in probabilities.numpy()], (logits > 0).int().tolist()


def main() -> None:
    """Run the command."""
    parser = run_directory_parser(
        "predict", "Write CSV: the coordinates of points, the probability of class 1, and the class."
    )
    parser.add_argument("run_dir", type=Path, help="the directory of a run")
    parser.add_argument("points", metavar="POINTS.csv", help="a CSV with the run's columns, by default x,y; -: stdin")
    arguments = parse_arguments(parser)
    directory = RunDirectory(arguments.run_dir)
    with errors_reported():
        try:
            with _open(arguments.points) as stream:
                name = "standard input" if arguments.points == "-" else arguments.points
                predict(directory, stream, name, sys.stdout, arguments.trust)
        except BrokenPipeError:  # as of ``| head``: nobody reads on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python can flush at its end


def _open(path: str) -> AbstractContextManager[Stream]:
    if path == "-":
        return nullcontext(cast(BufferedReader, sys.stdin.buffer))
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


if __name__ == "__main__":
    main()
