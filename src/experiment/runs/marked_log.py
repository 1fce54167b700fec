"""What checkpoints need of a log, whatever it writes to."""

from pathlib import Path
from typing import Protocol


class MarkedLog(Protocol):
    """A log that a resumed start continues where a checkpoint was saved."""

    def unmute(self) -> None:
        """Log from here on: what a resumed start logs before its first step, the first start has logged."""

    def mark(self, name: str) -> None:
        """Mark that a checkpoint of that name was saved."""

    def flush(self) -> list[Path]:
        """Write what was logged, and return the files that hold it."""
