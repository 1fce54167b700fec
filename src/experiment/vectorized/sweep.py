"""The jobs of a sweep: in groups of one structure, each trained in batches of runs."""

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig
from tqdm import tqdm

from experiment.configuration.overrides import unquote_for_hydra
from experiment.configuration.plain import raw_data
from experiment.configuration.references import ResolvedConfig
from experiment.runs.checkpoint_files import load_newest, state_name
from experiment.runs.directory import RunDirectory
from experiment.sweeps.jobs import JobComposer
from experiment.vectorized.compiling import Compiling
from experiment.vectorized.grouping import structure
from experiment.vectorized.refusal import NotVectorizable
from experiment.vectorized.shares import count_processes, share_of
from experiment.vectorized.together import Batch, Task
from experiment.vectorized.trial import COMPARED, TRIED, choose_batch_size
from experiment.vectorized.workers import train_batches

ATTEMPTS = 2  # to train runs together that were lost with a process
MOST_SIZES = 16  # of data, whose runs may be trained together
HYDRA_KEY = re.compile(r"[+~]*hydra[./]")
UNFINISHED = "their loss is not finite, or another process trains them"


class JobTrainer:
    """Trains the jobs of a sweep that can be trained together.

    Args:
        loader: Hydra's configuration loader.
        config: of the sweep.
        batch_size: how many runs are trained together at most, ``None`` for as many as the cache or the device holds.
        processes: how many train at once, ``None`` for one a core where there are many runs.
        compile: whether a training step is compiled, ``None`` for where that pays.
        structures: of runs, by the names of their directories, as far as they are known.

    Attributes:
        done: the metrics of the jobs that are complete, by their number among those that are trained.
        reasons: why others are not, with how many there are of each.
    """

    def __init__(
        self,
        loader: ConfigLoader,
        config: DictConfig,
        batch_size: int | None,
        processes: int | None,
        compile: bool | None,
        structures: Mapping[str, str],
    ) -> None:
        self.loader, self.config = loader, config
        self.batch_size, self.processes, self.compile, self.structures = batch_size, processes, compile, structures
        self.composer = JobComposer(loader, config)
        self.done: dict[int, dict[str, Any]] = {}
        self.reasons: Counter[str] = Counter()
        self.num_processes = 1
        self.with_script = False  # whether a configuration names a class of the script that this process runs

    def train(self, jobs: Sequence[list[str]], first: int) -> None:
        """Train jobs, given by their overrides; ``first`` is the number of the first job.

        Raises:
            Interrupted: by a signal; the runs have saved their state.
        """
        lost = self._make_tasks(jobs, first)
        self.num_processes = count_processes(self.processes, len(lost))
        if any(text.startswith("hydra.sweeper.callbacks") for job in jobs for text in job):
            self._leave(len(lost), "search.pruning compares each run while it is trained")
            lost = []
        for _ in range(ATTEMPTS):
            lost = self._train_batches(
                [batch for similar in self._group(lost) for batch in self._split_similar(similar)]
            )
        self._leave(len(lost), "a process that trained them with others was lost")
        for text, count in self.reasons.items():
            tqdm.write(f"Trained one by one: {count} runs, since {text}.", file=sys.stderr)

    def _leave(self, count: int, reason: str) -> None:
        """Leave runs to the ordinary engine."""
        if count:
            self.reasons[reason] += count

    def _group(self, tasks: Sequence[Task]) -> Iterator[list[list[Task]]]:
        """Yield the groups of runs of one structure, those together that differ in sizes of their data alone."""
        groups: dict[tuple[str, str], list[Task]] = defaultdict(list)
        for task in tasks:
            try:
                what = self.structures.get(task.directory.path.name) or structure(_resolve(task))
                groups[what, _position(task.directory)].append(task)
            except NotVectorizable as reason:
                self._leave(1, str(reason))
        similar: dict[tuple[str, str], list[list[Task]]] = defaultdict(list)
        for (_, position), group in groups.items():
            what = structure(_resolve(group[0]), with_sizes=False)
            self.with_script |= "__main__." in what
            similar[what, position].append(group)
        yield from similar.values()

    def _split_similar(self, groups: list[list[Task]]) -> Iterator[Batch]:
        """Yield the batches of groups that differ in sizes of their data: of all together, where that is the same."""
        if 1 < len(groups) <= MOST_SIZES:
            with suppress(NotVectorizable):
                size = self._try([group[0] for group in groups], compared=len(groups))
                yield from self._split([*chain.from_iterable(groups)], size)
                return
        for group in groups:
            try:
                yield from self._split(group, self._try(group[:TRIED]))
            except NotVectorizable as reason:
                self._leave(len(group), str(reason))

    def _try(self, tasks: Sequence[Task], compared: int = COMPARED) -> int:
        """Return how many runs like these are best trained together.

        Raises:
            NotVectorizable: they cannot be.
        """
        runs = [(task.directory, task.composition.compose()) for task in tasks]
        return choose_batch_size(runs, self.num_processes, compared)

    def _split(self, group: list[Task], size: int) -> Iterator[Batch]:
        size = min(size, self.batch_size or size, share_of(len(group), self.num_processes))
        for start in range(0, len(group), size):
            following = -(-(len(group) - start) // size)
            yield Batch(group[start : start + size], Compiling(self.compile, following / self.num_processes))

    def _train_batches(self, batches: list[Batch]) -> list[Task]:
        """Train batches, and return the runs of those that were lost with their process."""
        lost = dict(enumerate(batches))
        for outcome in train_batches(batches, self.num_processes, self.with_script):
            tasks = lost.pop(outcome.batch).tasks
            self.done |= {tasks[position].number: tasks[position].directory.metrics for position in outcome.complete}
            self._leave(len(tasks) - len(outcome.complete), outcome.failure or UNFINISHED)
        return [task for batch in lost.values() for task in batch.tasks]

    def _make_tasks(self, jobs: Sequence[list[str]], first: int) -> list[Task]:
        hydra = raw_data(self.loader.load_sweep_config(self.config, jobs[0]).hydra)
        common = raw_data(self.config.hydra.overrides.hydra)
        shared = {*jobs[0]}.intersection(*jobs)
        varied = {_key(text) for job in jobs for text in job if text not in shared}
        tasks = []
        for number, overrides in enumerate(jobs):
            own = [text for text in overrides if not HYDRA_KEY.match(text)]
            of_hydra = [text for text in overrides if HYDRA_KEY.match(text)]
            values = {key: value for key, _, value in (text.partition("=") for text in of_hydra)}
            path = Path(*(unquote_for_hydra(values[f"hydra.sweep.{part}"]) for part in ("dir", "subdir")))
            given = {"hydra": [*common, *of_hydra], "task": own}
            make_hydra = partial(_hydra_of_job, hydra, given, first + number, path)
            tasks.append(Task(number, RunDirectory(path), own, self.composer.composition(own, varied), make_hydra))
        return tasks


def _resolve(task: Task) -> ResolvedConfig:
    return ResolvedConfig.of(task.composition.compose())


def _key(override: str) -> str:
    """Return the key of an override that Hydra's grammar has accepted."""
    return override.partition("=")[0]


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
    if not directory.checkpoints.exists():
        return ""
    path, checkpoint = load_newest(directory.checkpoints)
    return state_name(checkpoint) if path else ""
