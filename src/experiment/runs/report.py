"""What a run reports on the terminal when it has ended."""

import os
import shlex
from pathlib import Path
from typing import Any

SCORES = ("train/loss", "val/loss", "val/accuracy", "test/loss", "test/accuracy")


def format_scores(metrics: dict[str, Any]) -> list[str]:
    """Return ``name value`` for each score that a run has."""
    return [f"{name} {metrics[name]:.5g}" for name in SCORES if metrics.get(name) is not None]


def format_report(metrics: dict[str, Any], directory: Path) -> str:
    """Return the lines that end a run: its status and scores, its directory, the command that shows it."""
    path, here = Path(os.path.abspath(directory)), Path.cwd()
    where = path.relative_to(here) if here in path.parents else directory
    root = where.parts[0] if here in path.parents else where
    diverged = "The run diverged: its loss is not finite, or ended more than |its first value| above its first value.\n"
    return (
        f"{diverged if metrics['status'] == 'diverged' else ''}"
        f"{metrics['status']} after {metrics['epoch']} epochs, {metrics['step']} steps, {metrics['seconds']:.1f} s\n"
        f"{'   '.join(format_scores(metrics))}\n"
        f"directory: {where}\n"
        f"tensorboard --logdir {shlex.quote(str(root))}"
    )
