"""The progress of a sweep: a line for each run that ends, a progress bar, and ``sweep.csv`` kept up to date."""

import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from experiment.configuration.errors import ReportedError
from experiment.configuration.objective import DEFAULT, Objective
from experiment.runs.files import write_atomically
from experiment.sweeps.jobs import Job
from experiment.sweeps.results import Row, format_csv, group_by_seed, read_row

POLL_SECONDS = 0.5  # between two looks for runs that have ended
WRITE_SECONDS = 1.0  # between two writings of the table
SHARE = 0.05  # of the time, that looking and writing may take: both take longer, the more runs there are


class SweepMonitor:
    """A context that keeps the rows of a sweep up to date, and at its end draws ``sweep.png``.

    It watches nothing but the runs' directories: a run can be in this process, in another one, or on another machine.

    Args:
        directory: of the sweep.
        rows: of its runs.
        num_launched: how many runs are launched meanwhile.
        objective: by which the runs are compared.

    Attributes:
        errors: by directory, of runs that failed before they could write their own ``metrics.json``.
    """

    def __init__(self, directory: Path, rows: list[Row], num_launched: int, objective: Objective = DEFAULT) -> None:
        self.rows, self.objective = rows, objective
        self.directories = {row.directory for row in rows}
        self.table, self.picture = directory / "sweep.csv", directory / "sweep.png"
        self.errors: dict[Path, str] = {}
        self.changed = [_change_time(row.directory) for row in rows]  # when the result in each row was written
        self.bar = tqdm(total=num_launched, unit="run", disable=not sys.stderr.isatty())
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._write_table()
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stopping.set()
        self.thread.join()
        self._update()
        self.bar.close()
        for index, row in enumerate(self.rows):
            if _change_time(row.directory) is None:
                self.rows[index] = read_row(row.overrides, row.directory, self.errors.get(row.directory))
        self._write_table()
        if not self.picture.exists():
            self._draw()

    def add(self, job: Job) -> None:
        """Add a row for a job, unless there is one."""
        if job.directory not in self.directories:
            self.directories.add(job.directory)
            self.changed.append(_change_time(job.directory))
            self.rows.append(read_row(job.values, job.directory))

    def _watch(self) -> None:
        pause, due, changed = POLL_SECONDS, time.monotonic() + WRITE_SECONDS, False
        while not self.stopping.wait(pause):
            start = time.monotonic()
            changed |= self._update()
            if changed and start > due:
                with suppress(ReportedError):  # a full disk is reported when the sweep ends
                    self._write_table()
                due, changed = time.monotonic() + WRITE_SECONDS, False
            pause = max(POLL_SECONDS, (time.monotonic() - start) / SHARE)

    def _update(self) -> bool:
        """Read and report the runs that have ended since the last call; return whether there are any."""
        ended = False
        for index, row in enumerate(self.rows):
            changed = _change_time(row.directory)
            if changed not in (self.changed[index], None):
                self.changed[index] = changed
                self.rows[index] = read_row(row.overrides, row.directory)
                self.bar.update()
                tqdm.write(str(self.rows[index]))
                ended = True
        return ended

    def _write_table(self) -> None:
        text = format_csv(self.rows)
        if self.table.exists() and self.table.read_text(encoding="utf-8") == text:
            return
        self.picture.unlink(missing_ok=True)  # it shows the table of before
        write_atomically(self.table, text)

    def _draw(self) -> None:
        from experiment.runs.pictures import render  # here, since it imports torch and Matplotlib
        from experiment.sweeps.pictures import draw_sweep

        render(draw_sweep(group_by_seed(self.rows, self.objective), self.objective), self.picture)


def _change_time(directory: Path) -> int | None:
    """Return when the result of a run was written, ``None`` if there is none."""
    try:
        return os.stat(f"{directory}/metrics.json").st_mtime_ns  # a Path would take most of the time
    except OSError:
        return None
