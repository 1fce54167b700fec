"""The file of a ``CSVLogger``, which a resumed start continues where a checkpoint was saved."""

import csv
import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from typing_extensions import override

from experiment.runs.files import write_atomically
from experiment.runs.recorded import is_plain_file

log = logging.getLogger(__name__)

MARK = re.compile(r"(\d+) (.+)\n")  # a number of rows, and the name of the checkpoint that was saved after them


class CsvFile(ExperimentWriter):
    """Lightning's writer of ``metrics.csv``, which deletes no rows of earlier starts but those after a checkpoint.

    ``metrics.marks``, beside it, holds how many rows there were at each checkpoint.

    Args:
        log_dir: of the logger, on this machine.
        mark: the name of the checkpoint to resume from, ``None`` to start an empty file.
    """

    def __init__(self, log_dir: str, mark: str | None) -> None:
        super().__init__(log_dir)
        self.path, self.marks = Path(self.metrics_file_path), Path(log_dir, "metrics.marks")
        marks = [*_read_marks(self.marks, mark)]
        self.num_rows = marks[-1][0] if marks else 0
        write_atomically(self.marks, "".join(f"{count} {name}\n" for count, name in marks))
        self._cut()

    def _cut(self) -> None:
        """Drop the rows that were written after the checkpoint."""
        self.metrics_keys, rows = _read_rows(self.path)
        if len(rows) < self.num_rows:
            log.warning(f"{self.path} has {len(rows)} of the {self.num_rows} rows up to the checkpoint.")
        del rows[self.num_rows :]
        self.num_rows = len(rows)
        if rows:
            self._write(rows)
        else:
            self.path.unlink(missing_ok=True)
            self.metrics_keys = []

    def _write(self, rows: list[dict[str, Any]]) -> None:
        content = io.StringIO(newline="")
        writer = csv.DictWriter(content, self.metrics_keys)
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.path, content.getvalue())

    @override
    def _check_log_dir_exists(self) -> None:
        """Keep the file, which Lightning would delete here."""

    @override
    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        _, rows = _read_rows(self.path)
        self._write(rows)  # whole or not at all: Lightning's own rewriting loses rows when it is killed

    @override
    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        super().log_metrics(metrics_dict, step)
        self.num_rows += 1

    def mark(self, name: str) -> None:
        """Mark how many rows there are at a checkpoint of that name; they must be saved."""
        with self.marks.open("a", encoding="utf-8") as file:
            file.write(f"{self.num_rows} {name}\n")


def _read_marks(path: Path, name: str | None) -> Iterator[tuple[int, str]]:
    """Yield the marks up to that of a checkpoint, none if it has no mark; a kill may have cut the last one short."""
    text = path.read_text(encoding="utf-8", errors="replace") if name is not None and is_plain_file(path) else ""
    marks = [(int(count), each) for count, each in MARK.findall(text)]
    names = [each for _, each in marks]
    yield from marks[: names.index(name) + 1] if name in names else ()


def _read_rows(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the columns and the rows of a file, none if there is no such file."""
    if not is_plain_file(path):
        return [], []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        rows = [{key: row[key] or "" for key in reader.fieldnames or ()} for row in reader]
        return [*(reader.fieldnames or ())], rows
