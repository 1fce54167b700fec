"""What a run reports on the terminal when it has ended."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from experiment.configuration.objective import COUNTS, TEXTS, Objective

SCORES = ("train/loss", "val/loss", "val/accuracy", "test/loss", "test/accuracy")  # null where a run has none
STAGES = ("train", "val", "test")
STAGED = re.compile(rf"({'|'.join(STAGES)})[/_]")  # how the name of a score begins


def is_in_sweep() -> bool:
    """Whether the terminal is a sweep's, which has one line for each run."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def select_scores(logged: Iterable[str], objective: Objective) -> list[str]:
    """Return the names that are scores: those of a stage, and the objective."""
    names = {name for name in logged if STAGED.match(name) or name == objective.metric}
    return sort_scores(names)


def sort_scores(names: Iterable[str]) -> list[str]:
    """Return names of scores in the order in which they are reported: the usual ones first, then by stage."""

    def order(name: str) -> tuple[int, int, str]:
        stage = STAGED.match(name)
        return (
            SCORES.index(name) if name in SCORES else len(SCORES),
            STAGES.index(stage[1]) if stage else len(STAGES),
            name,
        )

    return sorted(names, key=order)


def scores_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores that a run has, by name, from its ``metrics.json``."""
    names = (name for name, value in metrics.items() if name not in (*TEXTS, *COUNTS) and value is not None)
    return {name: metrics[name] for name in sort_scores(names)}


def format_scores(metrics: Mapping[str, Any]) -> list[str]:
    """Return ``name value`` for each score that a run has."""
    return [f"{name} {value:.5g}" for name, value in scores_of(metrics).items()]


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
