"""The places of a run's checkpoint files, and the moves between them."""

from collections.abc import Sequence
from pathlib import Path

from experiment.runs.files import link, replace, sync_files
from experiment.runs.marked_log import MarkedLog


class CheckpointPlaces:
    """Moves checkpoint files into their places: what is in its place is whole, and on the disk.

    Args:
        directory: of the files.
        logs: are marked and on the disk before a state moves into its place.
        is_writer: whether this process moves files; of several that train a run, one does.

    Attributes:
        next, next_best: where the newest state, and the best one, are written.
    """

    def __init__(self, directory: Path, logs: Sequence[MarkedLog], is_writer: bool = True) -> None:
        self.directory = directory
        self.last, self.previous, self.best = (directory / f"{name}.ckpt" for name in ("last", "previous", "best"))
        self.next, self.next_best = directory / "next.ckpt", directory / "next_best.ckpt"
        self.runner_up = directory / "runner_up.ckpt"  # the best without an unscheduled validation, for a longer run
        self.logs, self.is_writer = logs, is_writer

    def begin(self) -> None:
        """Remove what a start that was killed left, and take back a best state that a longer run does not have."""
        if self.is_writer:
            self.next_best.unlink(missing_ok=True)
            if self.runner_up.exists():
                replace(self.runner_up, self.best)

    def mark(self, name: str) -> None:
        """Mark in the logs that a state of that name is saved."""
        for log in self.logs:
            log.mark(name)

    def place(self, name: str) -> None:
        """Move ``next`` into its place, after what was logged up to its state, ``name``, has reached the disk."""
        place_together([self], name)

    def prepare(self, name: str) -> list[Path]:
        """Mark the state in the logs, and return the files that must be on the disk before ``move``."""
        self.mark(name)
        written = [path for log in self.logs for path in log.flush()]
        return [*written, *(path for path in (self.next, self.next_best) if self.is_writer and path.exists())]

    def move(self) -> None:
        """Move what was saved into its place."""
        if not self.is_writer:
            return
        if self.next_best.exists():  # first: a best state that last.ckpt knows of must be there
            replace(self.next_best, self.best)
        if self.last.exists():
            link(self.last, self.previous)
        replace(self.next, self.last)

    def use_last_as_best(self, is_best: bool, is_scheduled: bool) -> None:
        """Keep the last state as the best one, if it is, or if there is none; the directory must be synced then.

        Args:
            is_best: whether it is.
            is_scheduled: a longer run has that validation too.
        """
        if not self.is_writer or not self.last.exists() or not (is_best or not self.best.exists()):
            return
        if self.best.exists() and not is_scheduled:
            link(self.best, self.runner_up)
        link(self.last, self.best)


def place_together(runs: Sequence[CheckpointPlaces], name: str) -> None:
    """Do what ``CheckpointPlaces.place`` does for several runs, whose files the disk takes together."""
    sync_files([path for places in runs for path in places.prepare(name)])
    for places in runs:
        places.move()
    sync_files([places.directory for places in runs if places.is_writer])
