"""Runs of one structure, each held in its directory while all of them are trained together."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from experiment.runs.directory import DirectoryLocked, RunDirectory, make_directory
from experiment.runs.report import format_report
from experiment.runs.resume import find_result
from experiment.runs.run import log_to, started
from experiment.runs.signals import SignalHandler
from experiment.sweeps.jobs import Composition
from experiment.vectorized.attributes import check_alike
from experiment.vectorized.compiling import Compiling
from experiment.vectorized.member import Member
from experiment.vectorized.training import StackedTraining, make_trainer

log = logging.getLogger("run")


@dataclass(eq=False)
class Task:
    """A run that is to be trained together with others.

    Attributes:
        number: among the jobs that are launched with it.
        directory: of the run.
        overrides: that it is composed from.
        composition: of its configuration.
        make_hydra: returns Hydra's own configuration of the run, as plain data.
    """

    number: int
    directory: RunDirectory
    overrides: Sequence[str]
    composition: Composition
    make_hydra: Callable[[], dict[str, Any]]


@dataclass
class Batch:
    """Runs of one structure that are trained together.

    Attributes:
        tasks: the runs.
        compiling: whether their training step is compiled.
    """

    tasks: Sequence[Task]
    compiling: Compiling


def train_together(batch: Batch, signals: SignalHandler) -> list[Task]:
    """Train the runs of a batch, and return those that are complete.

    The others can be resumed, or are complete already: those that another process trains, and those whose loss is not
    finite.

    Raises:
        Interrupted: by a signal; the runs have saved their state.
        Exception: they cannot be trained together to the end; each can be resumed alone.
    """
    with ExitStack() as stack:
        held = [(task, config) for task in batch.tasks if _hold(task, config := task.composition.compose(), stack)]
        if not held:
            return []
        trainer = make_trainer(held[0][1])
        members = []
        for index, (task, config) in enumerate(held):
            with log_to(task.directory):
                members.append(Member.make(index, task.directory, config, trainer))
        check_alike([member.model for member in members])
        for (task, config), member in zip(held, members, strict=True):
            with log_to(task.directory):
                start = started(task.directory, config, task.make_hydra(), member.resume, log)
                member.metrics = stack.enter_context(start)
        with log_to(*(task.directory for task, _ in held)):
            failure = _train(members, [task.overrides for task, _ in held], signals, batch.compiling)
        for member in members:
            if failure or member.is_dropped:
                member.metrics.clear()
    if failure:
        raise failure
    done = [task for (task, _), member in zip(held, members, strict=True) if not member.is_dropped]
    for task in done:
        with log_to(task.directory):
            log.info(format_report(task.directory.metrics, task.directory.path))
    return done


def _hold(task: Task, config: DictConfig, stack: ExitStack) -> bool:
    """Lock the directory of a run, and return whether something is left to train in it."""
    make_directory(task.directory.path, "hydra.sweep.dir")
    with suppress(DirectoryLocked):
        stack.enter_context(task.directory.locked())
        return find_result(task.directory, config) is None
    return False


def _train(
    members: Sequence[Member], overrides: Sequence[Sequence[str]], signals: SignalHandler, compiling: Compiling
) -> Exception | None:
    """Train runs, and return what has ended that early: then it is left to another engine to end it as a failure."""
    log.info(f"Trained together with {len(members) - 1} other runs.")
    try:
        StackedTraining(members, overrides, signals, compiling).run()
    except BaseException as error:
        log.info("The runs ended early:", exc_info=error)
        if isinstance(error, Exception):
            return error
        raise
    return None
