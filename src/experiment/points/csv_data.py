"""The points of a CSV as a LightningDataModule: read, split and scaled."""

import functools
import logging
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from experiment.configuration.errors import ConfigurationError
from experiment.points.batches import Batches
from experiment.points.csv_rows import CsvRows
from experiment.points.datamodule import EVALUATION_BATCH, LabelledPoints
from experiment.points.encoding import Encoding, Labels, same_labels
from experiment.points.shapes import SPLIT
from experiment.runs.inputs import hash_file

log = logging.getLogger("run")  # the run's log


@dataclass(frozen=True)
class Table:
    """What a CSV holds.

    Attributes:
        columns: that hold the coordinates.
        points: ``[rows, columns]``, as they are given.
        classes: 0 or 1, ``[rows]``.
        labels: the texts of class 0 and class 1.
    """

    columns: list[str]
    points: np.ndarray
    classes: np.ndarray
    labels: list[str]


class CsvDataModule(LabelledPoints):
    """Points that a CSV holds, split at random into those to train, validate and test on, as the seed decides.

    Both classes are divided in the same proportion. Each column is scaled so that the training points fill [-1, 1].
    A checkpoint holds the scales, so that other data is scaled likewise when the weights are evaluated on it.

    Args:
        path: of the file.
        columns: that hold the coordinates.
        label: the column that holds the class: two different values. Class 1 is the larger number or, of other texts,
            the later one in the alphabet.
        num_val, num_test: rows to validate and test on; ``None``: a tenth each.
        batch_size, seed: as for ``LabelledPoints``.

    Raises:
        ConfigurationError: the file is not such a CSV, or has too few rows.
    """

    input_files = ("path",)

    def __init__(
        self,
        path: str,
        columns: list[str],
        label: str,
        num_val: int | None,
        num_test: int | None,
        batch_size: int | None,
        seed: int,
    ) -> None:
        super().__init__(batch_size, seed)
        self.path, self.inputs = path, columns
        try:
            self.sha256 = hash_file(Path(path))
            self.table = read_table(path, self.sha256, tuple(columns), label)
        except OSError as error:
            _refuse(f"data.path={path}: {error.strerror}")
        tenth = max(1, len(self.table.classes) // 10)
        self.num_val, self.num_test = num_val or tenth, num_test or tenth
        self._check_size()

    def _check_size(self) -> None:
        counts = np.bincount(self.table.classes, minlength=2)
        held_out = self.num_val + self.num_test
        if held_out >= counts.sum() or not all(np.bincount(self.table.classes[self.rows.training], minlength=2)):
            _refuse(
                f"data.path={self.path}: {counts[0]} rows of one class and {counts[1]} of the other are too few to "
                f"train on both, beside data.num_val={self.num_val} and data.num_test={self.num_test}"
            )

    @functools.cached_property
    def rows(self) -> "Split":
        """Which rows are trained, validated and tested on."""
        return split(self.table.classes, self.num_val, self.num_test, self.seed)

    @functools.cached_property
    def encoding(self) -> Encoding:
        """The scales of the columns, by the training points, and the labels of the classes."""
        return Encoding.fit(self.table.columns, self.table.points[self.rows.training], self.table.labels)

    @functools.cached_property
    def training(self) -> tuple[Tensor, Tensor]:
        """The training points and their classes."""
        return self._select(self.rows.training)

    @override
    def val_dataloader(self) -> Batches:
        return Batches(*self._select(self.rows.validation), batch_size=EVALUATION_BATCH)

    @override
    def test_dataloader(self) -> Batches:
        return Batches(*self._select(self.rows.test), batch_size=EVALUATION_BATCH)

    def _select(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        classes = torch.from_numpy(self.table.classes[rows]).float()
        return self.encoding.encode(self.table.points[rows]), classes[:, None]

    @override
    def setup(self, stage: str) -> None:
        if stage == "fit":
            zero, one = self.encoding.labels
            log.info(f"{self.path}: {len(self.table.classes):,} rows; class 0 is {zero}, class 1 is {one}.")

    @override
    def state_dict(self) -> dict[str, Any]:
        return {**self.encoding.state(), "split": self._describe_split()}

    def _describe_split(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "seed": self.seed, "num_val": self.num_val, "num_test": self.num_test}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the scales.

        Raises:
            ConfigurationError: the data does not fit those of the run; or it is the same, divided otherwise, so that
                the run was trained on rows that would be tested on.
        """
        encoding, now = Encoding.read(state_dict), self._describe_split()
        recorded = state_dict.get("split")
        before = recorded if isinstance(recorded, dict) else {}
        if len(encoding.columns) != len(self.table.columns):
            _refuse(f"data.columns={self.table.columns}: the run was trained on {encoding.columns}")
        if not same_labels(encoding.labels, self.table.labels):
            _refuse(f"data.path={self.path}: the classes are {self.table.labels}, and {encoding.labels} in the run")
        if before.get("sha256") == self.sha256 and before != now:
            _refuse(
                *(
                    f"data.{key}={now[key]}: the rows of the run would be divided otherwise: {before.get(key)} there"
                    for key in ("seed", "num_val", "num_test")
                    if before.get(key) != now[key]
                )
            )
        self.encoding = encoding
        self.__dict__.pop("training", None)  # made with other scales


def _refuse(*lines: str) -> NoReturn:
    raise ConfigurationError.from_lines(lines)


@functools.lru_cache(maxsize=2)  # the runs of a sweep read the same file
def read_table(path: str, sha256: str, columns: tuple[str, ...], label: str) -> Table:
    """Read a CSV.

    Args:
        path: of the file.
        sha256: of its content, by which it is kept.
        columns: that hold the coordinates.
        label: the column that holds the class.

    Raises:
        ConfigurationError: it is not such a CSV; the message names line and column.
        OSError: it cannot be read.
    """
    if label in columns:
        _refuse(f"data.label={label}: is one of data.columns, {list(columns)}")
    with Path(path).open("rb") as file:
        try:
            return _read_table(CsvRows(file, f"data.path={path}", [*columns, label]), columns, label)
        except ConfigurationError as error:
            _refuse(str(error))


def _read_table(rows: CsvRows, columns: Sequence[str], label: str) -> Table:
    numbers, codes, labels = array("d"), bytearray(), Labels()
    for *cells, text in rows:
        numbers.extend([rows.parse_number(cell, column) for column, cell in enumerate(cells)])
        try:
            codes.append(labels.code(text))
        except ValueError as error:
            raise rows.lines.error(str(error), label) from None
    if len(labels.texts) < 2:
        found = f"only the class {labels.texts[0]!r}" if labels.texts else "no rows"
        raise ConfigurationError(f"{rows.lines.name}: it holds {found}; two classes are needed in column {label}")
    classes = np.frombuffer(codes, dtype=np.uint8)
    texts = labels.texts
    if not labels.in_order:
        classes, texts = 1 - classes, texts[::-1]
    return Table([*columns], np.frombuffer(numbers).reshape(-1, len(columns)), classes, texts)


@dataclass(frozen=True)
class Split:
    """The indices of the rows to train, validate and test on."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split(classes: np.ndarray, num_val: int, num_test: int, seed: int) -> Split:
    """Divide rows at random, both classes in the same proportion; the training rows are in random order."""
    order = np.random.default_rng([seed, SPLIT]).permutation(len(classes))
    by_class = order[np.argsort(classes[order], kind="stable")]
    held_out = by_class[_spread(len(classes), num_val + num_test)]
    is_val = np.zeros(len(held_out), dtype=bool)
    is_val[_spread(len(held_out), num_val)] = True
    is_held_out = np.zeros(len(classes), dtype=bool)
    is_held_out[held_out] = True
    return Split(order[~is_held_out[order]], held_out[is_val], held_out[~is_val])


def _spread(count: int, number: int) -> np.ndarray:
    """Return that many of the indices below ``count``, evenly spaced."""
    return (np.arange(number) * count + count // 2) // number
