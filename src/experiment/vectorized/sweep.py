"""The jobs of a sweep: in groups of one structure, each trained in batches of runs."""

import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig
from tqdm import tqdm

from experiment.configuration.overrides import parse_override
from experiment.configuration.plain import raw_data
from experiment.runs.checkpoint_files import load_newest, state_name
from experiment.runs.directory import RunDirectory
from experiment.sweeps.jobs import JobComposer
from experiment.vectorized.grouping import check_configuration, structure
from experiment.vectorized.refusal import NotVectorizable, explain
from experiment.vectorized.together import Task, train_together
from experiment.vectorized.trial import TRIED, choose_batch_size


class JobTrainer:
    """Trains the jobs of a sweep that can be trained together.

    Args:
        loader: Hydra's configuration loader.
        config: of the sweep.
        batch_size: how many runs are trained together at most, ``None`` for as many as the cache or the device holds.

    Attributes:
        done: the metrics of the jobs that are complete, by index.
        reasons: why others are not, with how many there are of each.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig, batch_size: int | None = None) -> None:
        self.loader, self.config, self.batch_size = loader, config, batch_size
        self.composer = JobComposer(loader, config)
        self.done: dict[int, dict[str, Any]] = {}
        self.reasons: Counter[str] = Counter()

    def train(self, jobs: Sequence[list[str]], first: int) -> None:
        """Train jobs, given by their overrides; ``first`` is the number of the first job.

        Raises:
            Interrupted: by a signal; the runs have saved their state.
        """
        tasks = self._make_tasks(jobs, first)
        groups: dict[str, list[int]] = defaultdict(list)
        for index, task in enumerate(tasks):
            config = task.compose()
            try:
                if any(text.startswith("hydra.sweeper.callbacks") for text in jobs[index]):
                    raise NotVectorizable("search.pruning compares each run while it is trained")
                check_configuration(config)
                groups[f"{structure(config)} {_position(task.directory)}"].append(index)
            except NotVectorizable as reason:
                self.reasons[str(reason)] += 1
        for group in groups.values():
            self._train_group(tasks, group)
        for text, count in self.reasons.items():
            tqdm.write(f"Trained one by one: {count} runs, since {text}.", file=sys.stderr)

    def _train_group(self, tasks: Sequence[Task], group: list[int]) -> None:
        try:
            size = choose_batch_size([(tasks[index].directory, tasks[index].compose()) for index in group[:TRIED]])
            size = min(size, self.batch_size or size)
            for start in range(0, len(group), size):
                batch = group[start : start + size]
                complete = {*train_together([tasks[index] for index in batch])}
                self.done |= {index: tasks[index].directory.metrics for index in batch if tasks[index] in complete}
                if left := len(batch) - len(complete):
                    self.reasons["their loss is not finite, or another process trains them"] += left
        except Exception as error:  # also of somebody's module: where a run is at fault, it fails alone
            self.reasons[explain(error)] += sum(index not in self.done for index in group)

    def _make_tasks(self, jobs: Sequence[list[str]], first: int) -> list[Task]:
        hydra = raw_data(self.loader.load_sweep_config(self.config, jobs[0]).hydra)
        common = raw_data(self.config.hydra.overrides.hydra)
        tasks = []
        for number, overrides in enumerate(jobs, first):
            parsed = {text: parse_override(text) for text in overrides}
            own = [text for text, each in parsed.items() if not each.is_hydra_override()]
            of_hydra = [text for text in overrides if text not in own]
            values = {parsed[text].key_or_group: str(parsed[text].value()) for text in of_hydra}
            path = Path(values["hydra.sweep.dir"], values["hydra.sweep.subdir"])
            hydra = _hydra_of_job(hydra, {"hydra": [*common, *of_hydra], "task": own}, number, path)
            tasks.append(Task(RunDirectory(path), own, partial(self.composer.compose, own), hydra))
        return tasks


def _hydra_of_job(hydra: dict[str, Any], overrides: dict[str, list[str]], number: int, path: Path) -> dict[str, Any]:
    """Return Hydra's configuration of one job from that of another, as ``load_sweep_config`` would in 50 ms."""
    job = {"override_dirname": ",".join(sorted(overrides["task"])), "id": str(number), "num": number}
    return {
        **hydra,
        "sweep": {**hydra["sweep"], "subdir": path.name},
        "overrides": overrides,
        "job": {**hydra["job"], **job},
        "runtime": {**hydra["runtime"], "output_dir": str(path)},
    }


def _position(directory: RunDirectory) -> str:
    """Return where the run in a directory resumes: runs are trained together from the same state on."""
    path, checkpoint = load_newest(directory.checkpoints)
    return state_name(checkpoint) if path else ""
