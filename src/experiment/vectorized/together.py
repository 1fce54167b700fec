"""Runs of one structure, each held in its directory while all of them are trained together."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from experiment.runs.directory import DirectoryLocked, RunDirectory, make_directory
from experiment.runs.report import format_report
from experiment.runs.resume import find_result, find_resume_point
from experiment.runs.run import log_to, started
from experiment.vectorized.grouping import check_modules
from experiment.vectorized.member import Member
from experiment.vectorized.training import StackedTraining, make_trainer
from experiment.vectorized.trial import try_together

log = logging.getLogger("run")


@dataclass
class Task:
    """A run that is to be trained together with others.

    Attributes:
        config: of the run.
        overrides: that it was composed from.
        hydra: Hydra's own configuration of the run.
    """

    directory: RunDirectory
    config: DictConfig
    overrides: Sequence[str]
    hydra: Any


def train_together(tasks: Sequence[Task]) -> list[Task]:
    """Train runs of one structure together, and return those that are complete.

    The others are untouched, or can be resumed: those that another process trains, and those whose loss is not finite.

    Raises:
        NotVectorizable: they cannot be trained together; they are untouched.
        Interrupted: by a signal; the runs have saved their state.
    """
    with ExitStack() as stack:
        held = [task for task in tasks if _hold(task, stack)]
        if not held:
            return []
        trainer = make_trainer(held[0].config)
        members: list[Member] = []
        for task in held:
            resume = find_resume_point(task.directory, task.config)
            members.append(Member.make(len(members), task.directory, task.config, resume, trainer))
        check_modules(members[0].model, members[0].data)
        try_together(members)
        for task, member in zip(held, members, strict=True):
            with log_to(task.directory):
                starts = started(task.directory, task.config, task.hydra(), log)
                member.resume, member.metrics = stack.enter_context(starts)
        with log_to(*(task.directory for task in held)):
            _train(members, [task.overrides for task in held])
        for member in members:
            if member.is_dropped:
                member.metrics.clear()
    done = [task for task, member in zip(held, members, strict=True) if not member.is_dropped]
    for task in done:
        with log_to(task.directory):
            log.info(format_report(task.directory.metrics, task.directory.path))
    return done


def _train(members: Sequence[Member], overrides: Sequence[Sequence[str]]) -> None:
    log.info(f"Trained together with {len(members) - 1} other runs.")
    try:
        StackedTraining(members, overrides).run()
    except BaseException as error:
        log.info("The runs ended early:", exc_info=error)
        raise


def _hold(task: Task, stack: ExitStack) -> bool:
    """Lock the directory of a run, and return whether something is left to train in it."""
    make_directory(task.directory.path, "hydra.sweep.dir")
    with suppress(DirectoryLocked):
        stack.enter_context(task.directory.locked())
        return find_result(task.directory, task.config) is None
    return False
