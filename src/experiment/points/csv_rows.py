"""Reading CSV: rows as they arrive, each error with its line and its column."""

import codecs
import csv
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.numbers import FLOAT32

BLOCK = 2**16  # bytes that are read at once
MAX_LINE = 2**22  # bytes


class Stream(Protocol):
    """A buffered binary file."""

    def read1(self, size: int, /) -> bytes:
        """Return what is there, at least a byte unless the file has ended."""


class Lines:
    """The lines of a file as text, each as soon as it is there.

    Attributes:
        number: of the newest line, from 1.
        waiting: lines that were read already.
    """

    def __init__(self, stream: Stream, name: str) -> None:
        self.stream, self.name = stream, name
        self.number = 0
        self.waiting: deque[bytes] = deque()
        self.rest = b""  # of a line whose end is not there yet

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while not self.waiting:
            self._read()
        self.number += 1
        line = self.waiting.popleft()
        try:
            return (line.removeprefix(codecs.BOM_UTF8) if self.number == 1 else line).decode()
        except UnicodeDecodeError:
            raise self.error("is not text in UTF-8; save the file in that encoding") from None

    def _read(self) -> None:
        block = self.stream.read1(BLOCK)
        *whole, self.rest = (self.rest + block).split(b"\n")
        self.waiting.extend(line + b"\n" for line in whole)
        if not block:
            if not self.rest:
                raise StopIteration
            self.waiting.append(self.rest)
            self.rest = b""
        elif len(self.rest) > MAX_LINE:
            self.number += 1
            raise self.error(f"is longer than {MAX_LINE} bytes")

    def error(self, message: str, column: str | None = None) -> ConfigurationError:
        """Return the error for the newest line."""
        place = f", column {column}" if column is not None else ""
        return ConfigurationError(f"{self.name}: line {self.number}{place}: {message}")


class CsvRows:
    """The rows of a CSV, whose first line names the columns; blank lines are left out.

    Args:
        stream: the file.
        name: of the file, for errors.
        columns: that are wanted.

    Raises:
        ConfigurationError: here and when it is iterated: the file is empty, has no such column or two of them; it is
            no CSV in UTF-8; a row is too short or too long.
    """

    def __init__(self, stream: Stream, name: str, columns: Sequence[str]) -> None:
        self.lines = Lines(stream, name)
        self.rows = self._read_rows()
        self.columns = columns
        header = [cell.strip() for cell in next(self.rows, [])]
        if not header:
            raise ConfigurationError(f"{name}: the file is empty; its first line must name the columns")
        self.width = len(header)
        for column in columns:
            if header.count(column) != 1:
                how_many = "several columns" if column in header else "no column"
                named = ", ".join(map(repr, header[:20]))
                raise self.lines.error(f"{how_many} {column!r}; the first line names the columns, here {named}")
        self.indices = [header.index(column) for column in columns]

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the cells of each row in the wanted columns."""
        for row in self.rows:
            if len(row) != self.width:
                raise self.lines.error(f"{len(row)} cells, where the first line names {self.width} columns")
            yield [row[index] for index in self.indices]

    def _read_rows(self) -> Iterator[list[str]]:
        reader = csv.reader(self.lines, strict=True, skipinitialspace=True)
        try:
            for row in reader:
                if len(row) > 1 or (row and row[0].strip()):
                    yield row
        except csv.Error as error:
            raise self.lines.error(f"is no CSV: {error}") from error

    @property
    def has_more(self) -> bool:
        """Whether the next row is there already, at least in part."""
        return bool(self.lines.waiting)

    def parse_number(self, text: str, column: int) -> float:
        """Return the number in a cell of the newest row.

        Args:
            text: of the cell.
            column: its index among the wanted columns.

        Raises:
            ConfigurationError: it is no number, or not finite in float32.
        """
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not -FLOAT32 <= number <= FLOAT32 or "_" in text:
            reason = f"{_shorten(text)} is no finite number" if text.strip() else "no number, but an empty cell"
            raise self.lines.error(reason, self.columns[column])
        return number


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
