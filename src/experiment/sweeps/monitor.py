"""A sweep while it runs, wherever its runs are: a line for each that ends, one progress bar, and ``sweep.csv``."""

import os
import sys
import threading
import time
from collections.abc import MutableSequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from experiment.configuration.errors import ReportedError
from experiment.runs.directory import write_atomically
from experiment.sweeps import results
from experiment.sweeps.results import Row

POLL = 0.5  # seconds between two looks at what has ended
WRITE = 1.0  # seconds between two writings of the file


class SweepMonitor:
    """A context in which the rows of a sweep are kept up to date, on the terminal and in ``sweep.csv``; then, drawn.

    What a run's directory holds is all that is looked at: a run can be in this process, another one, or elsewhere.

    Args:
        directory: of the sweep.
        rows: of all its runs.
        coming: how many of them are to run.

    Attributes:
        errors: by directory, of runs that could not say themselves how they failed.
    """

    def __init__(self, directory: Path, rows: MutableSequence[Row], coming: int) -> None:
        self.directory, self.rows = directory, rows
        self.drawn = directory / "sweep.png"
        self.errors: dict[Path, str] = {}
        self.running = {index: _written(row.directory) for index, row in enumerate(rows)}
        self.bar = tqdm(total=coming, unit="run", disable=not sys.stderr.isatty())
        self.leaving = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._write()
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.leaving.set()
        self.thread.join()
        self._look()
        self.bar.close()
        for index, row in enumerate(self.rows):
            self.rows[index] = results.read_row(row.overrides, row.directory, self.errors.get(row.directory))
        self._write()
        self._draw()

    def add(self, overrides: dict[str, str], directory: Path) -> None:
        """Watch one more run, or one of them once more."""
        known = [index for index, row in enumerate(self.rows) if row.directory == directory]
        if not known:
            self.rows.append(results.read_row(overrides, directory))
        self.running[known[0] if known else len(self.rows) - 1] = _written(directory)

    def _watch(self) -> None:
        due, changed = time.monotonic() + WRITE, False
        while not self.leaving.wait(POLL):
            changed |= self._look()
            if changed and time.monotonic() > due:
                with suppress(ReportedError):  # a full disk is told when all have ended
                    self._write()
                due, changed = time.monotonic() + WRITE, False

    def _look(self) -> bool:
        """See which runs have ended since the last look, and say so."""
        ended = [
            index
            for index, before in list(self.running.items())
            if _written(self.rows[index].directory) not in (before, None)
        ]
        for index in ended:
            del self.running[index]
            self.rows[index] = results.read_row(self.rows[index].overrides, self.rows[index].directory)
            self.bar.update()
            tqdm.write(str(self.rows[index]))
        return bool(ended)

    def _write(self) -> None:
        path, text = self.directory / "sweep.csv", results.format_csv(self.rows)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return
        self.drawn.unlink(missing_ok=True)  # it is no longer the picture of it
        write_atomically(path, text)

    def _draw(self) -> None:
        if not self.drawn.exists():
            from experiment.runs.pictures import render
            from experiment.sweeps.pictures import draw_sweep  # here, since it takes its time

            render(draw_sweep(results.group_by_seed(self.rows)), self.drawn)


def _written(directory: Path) -> int | None:
    """Return when a run last wrote its result, ``None`` if it has none."""
    try:
        return os.stat(f"{directory}/metrics.json").st_mtime_ns  # a Path would take most of the time
    except OSError:
        return None
