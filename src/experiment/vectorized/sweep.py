"""The jobs of a sweep: in groups of one structure, each trained in batches of runs."""

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, open_dict, read_write
from tqdm import tqdm

from experiment.configuration.overrides import parse_override
from experiment.runs.checkpoint_files import load_newest, state_name
from experiment.runs.directory import RunDirectory
from experiment.sweeps.jobs import JobComposer
from experiment.vectorized.grouping import check_configuration, structure
from experiment.vectorized.refusal import NotVectorizable
from experiment.vectorized.together import Task, train_together

BATCH = 512


def train_jobs(
    loader: ConfigLoader, config: DictConfig, jobs: Sequence[list[str]], first: int, batch_size: int | None
) -> dict[int, dict[str, Any]]:
    """Train the jobs that can be trained together; return the metrics of those by index.

    Args:
        loader: Hydra's configuration loader.
        config: of the sweep.
        jobs: the overrides of each.
        first: the number of the first job.
        batch_size: how many runs are trained together at most.

    Raises:
        Interrupted: by a signal; the runs have saved their state.
    """
    tasks = dict(enumerate(_make_tasks(loader, config, jobs, first)))
    groups: dict[str, list[int]] = defaultdict(list)
    reasons: dict[str, int] = defaultdict(int)
    for index, task in tasks.items():
        try:
            if any(text.startswith("hydra.sweeper.callbacks") for text in jobs[index]):
                raise NotVectorizable("search.pruning: each run is compared while it is trained")
            check_configuration(task.config)
            groups[f"{structure(task.config)} {_position(task.directory)}"].append(index)
        except NotVectorizable as reason:
            reasons[str(reason)] += 1
    done: dict[int, dict[str, Any]] = {}
    size = batch_size or BATCH
    for group in groups.values():
        for start in range(0, len(group), size):
            batch = group[start : start + size]
            try:
                complete = {id(task) for task in train_together([tasks[index] for index in batch])}
            except NotVectorizable as reason:
                reasons[str(reason)] += len(group) - start
                break
            done |= {index: tasks[index].directory.metrics for index in batch if id(tasks[index]) in complete}
            if left := len(batch) - len(complete):
                reasons["their loss is not finite, or another process trains them"] += left
    for text, count in reasons.items():
        tqdm.write(f"{count} runs are trained one by one: {text}", file=sys.stderr)
    return done


def _make_tasks(loader: ConfigLoader, config: DictConfig, jobs: Sequence[list[str]], first: int) -> list[Task]:
    composer = JobComposer(loader, config)
    hydra = loader.load_sweep_config(config, jobs[0]).hydra
    tasks = []
    for number, overrides in enumerate(jobs, first):
        own = [text for text in overrides if not parse_override(text).is_hydra_override()]
        for_hydra = [text for text in overrides if text not in own]
        values = {each.key_or_group: str(each.value()) for each in map(parse_override, for_hydra)}
        path = Path(values["hydra.sweep.dir"], values["hydra.sweep.subdir"])
        change = _hydra_of(hydra, own, for_hydra, number, path)
        tasks.append(Task(RunDirectory(path), composer.compose(own), own, change))
    return tasks


def _hydra_of(
    hydra: DictConfig, own: list[str], for_hydra: list[str], number: int, path: Path
) -> Callable[[], DictConfig]:
    """Return what makes Hydra's configuration of the sweep that of a job: to compose it takes 50 ms."""

    def change() -> DictConfig:
        with read_write(hydra), open_dict(hydra):
            hydra.sweep.subdir = path.name
            hydra.overrides.hydra = for_hydra
            hydra.overrides.task = own
            hydra.job.override_dirname = ",".join(sorted(own))
            hydra.job.id, hydra.job.num = str(number), number
            hydra.runtime.output_dir = str(path)
        return hydra

    return change


def _position(directory: RunDirectory) -> str:
    """Return where the run in a directory resumes: runs are trained together from the same step on."""
    path, checkpoint = load_newest(directory.checkpoints)
    return state_name(checkpoint) if path else ""
