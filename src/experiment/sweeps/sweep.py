"""Many runs: each checked before the first starts, each in a directory that its overrides name, and one answer."""

import copy
import hashlib
import itertools
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiment.configuration.compose import without_hydra
from experiment.configuration.errors import ConfigurationError, ReportedError, format_error
from experiment.configuration.identity import FREE, HORIZON, is_dry_run
from experiment.configuration.overrides import override_values, parse_override, quote_for_hydra, resume_command
from experiment.configuration.validation import validate
from experiment.runs.checks import check_jobs
from experiment.runs.directory import RunDirectory, make_directory
from experiment.runs.signals import RunStopped
from experiment.sweeps import results
from experiment.sweeps.monitor import SweepMonitor
from experiment.sweeps.results import Row

UNNAMED = {*FREE, HORIZON, "search"}  # keys that name a directory only where the sweep varies them
LONGEST = 200  # bytes of a directory's name


@dataclass
class Job:
    """A run that a sweep asks for.

    Attributes:
        overrides: what is typed for it.
        values: the overrides by key, as YAML writes them.
        directory: of the run.
        config: that the overrides compose.
    """

    overrides: list[str]
    values: dict[str, str]
    directory: Path
    config: DictConfig

    @property
    def arguments(self) -> list[str]:
        """What is handed to Hydra."""
        return [*self.overrides, f"hydra.sweep.subdir={quote_for_hydra(self.directory.name)}"]


class Sweep(Sweeper):
    """A run for each combination of the overrides, in a directory that they name; all are checked before the first.

    Args:
        params: sweeps that a configuration file asks for, ``hydra.sweeper.params``; the command line goes before.
        callbacks: that a run gets from its sweep; the sweep itself has none.
    """

    def __init__(self, params: dict[str, str] | None = None, callbacks: dict[str, Any] | None = None) -> None:
        self.params = params or {}
        self.composed: dict[tuple[str, ...], DictConfig] = {}
        self.plain: dict[str, bool] = {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over."""
        self.loader, self.master = hydra_context.config_loader, config
        self.directory = Path(config.hydra.sweep.dir)
        self.engine = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        """Launch the runs that are not complete.

        Raises:
            ConfigurationError: one cannot be run; none is started then.
            ReportedError: some failed, after all others have come to their end.
        """
        given = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        overrides = {
            each.get_key_element(): each for each in OverridesParser.create(self.loader).parse_overrides(given)
        }
        fixed = [_choices(each)[0] for each in overrides.values() if not each.is_sweep_override()]
        swept = {key: each for key, each in overrides.items() if each.is_sweep_override()}
        config = self.compose(fixed)
        if config.get("search"):
            validate(config)
            if find_spec("optuna") is None:
                raise ConfigurationError("search=optuna needs Optuna: pip install -c constraints.txt -e '.[optuna]'")

            from experiment.sweeps.search import search

            return search(self, config.search, fixed, swept)
        return self._grid(overrides, set(swept))

    def _grid(self, overrides: dict[str, Override], varied: set[str]) -> list[JobReturn]:
        """Launch a run for each combination."""
        choices = [_choices(override) for override in overrides.values()]
        asked = [self.job(list(each), varied) for each in itertools.product(*choices)]
        jobs = list({job.directory: job for job in asked}.values())  # a value that is typed twice is one run
        if not jobs:
            raise ConfigurationError("There is nothing to sweep: a key has no values.")
        complete = self.prepare(jobs)
        rest = [job for job, done in zip(jobs, complete, strict=True) if not done]
        if any(is_dry_run(job.config) for job in jobs):
            return self.launch_jobs(rest, errors={})  # which leaves nothing to tell of
        rows = [results.read_row(job.values, job.directory) for job in jobs]
        rows += self.earlier_runs({job.directory for job in jobs})
        with SweepMonitor(self.directory, rows, len(rest)) as watch:
            returned = self.launch_jobs(rest, watch.errors)
        self.print_summary(rows)
        lost = {
            row.directory: "lost" for row in rows[: len(jobs)] if row.metrics["status"] in ("interrupted", "pending")
        }
        self.raise_if_failed(rows[: len(jobs)], lost | watch.errors)
        return returned

    def prepare(self, jobs: Sequence[Job]) -> list[bool]:
        """Check all jobs, make the sweep's directory, and return which of the jobs are complete."""
        complete = check_jobs([(job.config, job.directory) for job in jobs], self.master.hydra)
        make_directory(self.directory, "hydra.sweep.dir")
        OmegaConf.save(self.master, self.directory / "multirun.yaml")
        return complete

    def print_summary(self, rows: Sequence[Row]) -> None:
        """Tell the answer."""
        print("", *results.format_table(results.group_by_seed(rows)), "", sep="\n")
        print(f"directory: {self.directory}\ntensorboard --logdir {shlex.quote(str(self.directory))}")

    def raise_if_failed(self, rows: Sequence[Row], errors: dict[Path, str]) -> None:
        """Raise a ``ReportedError`` if runs failed, with the error of each: the one given, or its own."""
        failed = [row for row in rows if row.directory in errors or row.metrics["status"] == "failed"]
        if failed:
            lines = [f"{row.directory.name}: {errors.get(row.directory, row.metrics.get('error'))}" for row in failed]
            headline = f"{len(failed)} of {len(rows)} runs failed; {resume_command(self.master.hydra)} runs them again:"
            raise ReportedError.from_lines(lines, headline)

    def earlier_runs(self, known: set[Path]) -> list[Row]:
        """Return the runs that earlier sweeps left in the directory."""
        found = sorted({path.parent.parent for path in self.directory.glob("*/.hydra/overrides.yaml")} - known)
        return [results.read_row(override_values(RunDirectory(path).overrides), path) for path in found]

    def launch_jobs(self, jobs: Sequence[Job], errors: dict[Path, str], *more: str) -> list[JobReturn]:
        """Run jobs, with ``more`` overrides of Hydra's own, and note in ``errors`` how each of them failed."""
        if not jobs:
            return []
        returned = list(self.engine.launch([[*job.arguments, *more] for job in jobs], initial_job_idx=0))
        for job, end in zip(jobs, returned, strict=True):
            if end.status == JobStatus.FAILED and not isinstance(end._return_value, RunStopped):
                errors[job.directory] = format_error(end._return_value)
        return returned

    def job(self, overrides: list[str], varied: set[str]) -> Job:
        """Return the job of some overrides."""
        directory = self.directory / directory_name(overrides, varied)
        return Job(overrides, override_values(overrides), directory, self.compose(overrides))

    def compose(self, overrides: list[str]) -> DictConfig:
        """Compose as Hydra does; what differs in plain values alone, only once: that takes Hydra 50 ms."""
        plain = [each for each in overrides if self._is_plain(each)]
        others = [each for each in overrides if each not in plain]
        if tuple(others) not in self.composed:
            self.composed[tuple(others)] = without_hydra(self.loader.load_sweep_config(self.master, others))
        config = copy.deepcopy(self.composed[tuple(others)])
        try:
            for override in map(parse_override, plain):
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException:
            self.loader.load_sweep_config(self.master, overrides)  # raises Hydra's own error
            raise
        return config

    def _is_plain(self, override: str) -> bool:
        if override not in self.plain:
            parts = parse_override(override)
            group = self.loader.get_group_options(parts.key_or_group)
            other = parts.is_hydra_override() or parts.package or group or parts.type != OverrideType.CHANGE
            self.plain[override] = not other
        return self.plain[override]


def _choices(override: Override) -> list[str]:
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [key if override.is_delete() else f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise ConfigurationError.from_lines([f"{override.input_line}: a list of values, or a range, can be swept"])
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def directory_name(job: Sequence[str], varied: set[str]) -> str:
    """Return the name of a run's directory: its overrides, sorted by key, as YAML writes them.

    Left out are Hydra's own, and those that do not make another run of it unless they are ``varied``.
    """
    named = {key: value for key, value in override_values(job).items() if key not in UNNAMED or key in varied}
    parts = (f"{key}={named[key]}" if named[key] else key for key in sorted(named))
    name = ",".join(parts) or "default"
    name = re.sub(r"""[\x00-\x1f\x7f/\\%'"`]""", lambda match: quote(match[0], safe=""), name)
    if len(name.encode()) <= LONGEST:
        return name
    digest = "-" + hashlib.sha256(name.encode()).hexdigest()[:16]
    return name.encode()[: LONGEST - len(digest)].decode(errors="ignore") + digest
