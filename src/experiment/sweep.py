"""Many runs: each checked before the first starts, and each in a directory that its overrides name."""

import hashlib
import itertools
import logging
import math
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from experiment.command import check, make, quoted, said
from experiment.directory import FREE, HORIZON
from experiment.schema import ConfigurationError, ReportedError

log = logging.getLogger(__name__)

UNNAMED = {*FREE, HORIZON}  # keys that name a directory only where the sweep varies them
LONGEST = 200  # bytes of a directory's name
BEST = 10  # runs that are named at the end


class Sweep(Sweeper):
    """A run for each combination of the overrides, in a directory that they name; all are checked before the first.

    Args:
        params: sweeps that a configuration file asks for, ``hydra.sweeper.params``; the command line goes before.
    """

    def __init__(self, params: dict[str, str] | None = None) -> None:
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over."""
        self.loader, self.master = hydra_context.config_loader, config
        self.engine = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        """Launch the runs.

        Raises:
            ConfigurationError: one cannot be run; none is started then.
            ReportedError: some failed, after all others have come to their end.
        """
        given = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        overrides = OverridesParser.create(self.loader).parse_overrides(given)
        choices = {override.get_key_element(): _choices(override) for override in overrides}
        varied = {override.get_key_element() for override in overrides if override.is_sweep_override()}
        jobs = [
            [*job, f"hydra.sweep.subdir={quoted(directory_name(job, varied))}"]
            for job in itertools.product(*choices.values())
        ]
        if not jobs:
            raise ConfigurationError("There is nothing to sweep: a key has no values.")
        configs = [self.loader.load_sweep_config(self.master, job) for job in jobs]
        check([(config, Path(config.hydra.sweep.dir, config.hydra.sweep.subdir)) for config in configs])
        directory = Path(self.master.hydra.sweep.dir)
        make(directory, "hydra.sweep.dir")
        OmegaConf.save(self.master, directory / "multirun.yaml")
        returned = list(self.engine.launch(jobs, initial_job_idx=0))
        complete = [job for job in returned if job.status == JobStatus.COMPLETED]
        failed = [job for job in returned if job.status != JobStatus.COMPLETED]
        log.info(f"{len(complete)} of {len(returned)} runs are complete.")
        if best := ranked(complete):
            log.info("\n  ".join(["val/loss, the best first:", *best[:BEST]]))
        log.info(f"directory: {directory}\ntensorboard --logdir {shlex.quote(str(directory))}")
        if failed:
            lines = [f"{' '.join(job.overrides or ())}: {said(job._return_value)}" for job in failed]
            raise ReportedError.listing(lines, f"{len(failed)} of {len(returned)} runs failed:")
        return returned


def _choices(override: Override) -> list[str]:
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [key if override.is_delete() else f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise ConfigurationError.listing([f"{override.input_line}: a list of values, or a range, can be swept"])
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def ranked(jobs: Sequence[JobReturn]) -> list[str]:
    """Return a line for each run that came to an end, the lowest ``val/loss`` first, those that diverged last."""

    def order(job: JobReturn) -> tuple[bool, float]:
        loss = job.return_value.get("val/loss")
        return job.return_value["status"] == "diverged", math.inf if loss is None else loss

    def line(job: JobReturn) -> str:
        assert job.hydra_cfg is not None
        loss, status = (job.return_value.get(key) for key in ("val/loss", "status"))
        return f"{'-' if loss is None else f'{loss:.5g}':>9}  {status}  {job.hydra_cfg.hydra.sweep.subdir}"

    lasting = [job for job in jobs if job.return_value]  # a trial has no result
    return [line(job) for job in sorted(lasting, key=order)]


def directory_name(job: Sequence[str], varied: set[str]) -> str:
    """Return the name of a run's directory: its overrides, sorted by key, as YAML writes them.

    Left out are Hydra's own, and those that do not make another run of it unless they are ``varied``.
    """
    parts = {}
    for override in OverridesParser.create().parse_overrides(list(job)):
        key = override.get_key_element().lstrip("+")
        if not override.is_hydra_override() and (key not in UNNAMED or key in varied):
            parts[key] = key if override.is_delete() else f"{key}={_yaml(override.value())}"
    name = ",".join(parts[key] for key in sorted(parts)) or "default"
    name = re.sub(r"""[\x00-\x1f\x7f/\\%'"`]""", lambda match: quote(match[0], safe=""), name)
    if len(name.encode()) <= LONGEST:
        return name
    digest = "-" + hashlib.sha256(name.encode()).hexdigest()[:16]
    return name.encode()[: LONGEST - len(digest)].decode(errors="ignore") + digest


def _yaml(value: Any) -> str:
    """Return a value as YAML writes it, without spaces."""
    if isinstance(value, list):
        return f"[{','.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_yaml(key)}:{_yaml(each)}' for key, each in value.items())}}}"
    text = value.text if isinstance(value, QuotedString) else value
    return str(yaml.safe_dump(text, allow_unicode=True, width=math.inf)).removesuffix("\n").removesuffix("\n...")
