"""Many runs: each checked before the first starts, and each in a directory that its overrides name."""

import hashlib
import logging
import math
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from experiment.command import check, make, said
from experiment.directory import FREE, HORIZON
from experiment.schema import ReportedError

log = logging.getLogger(__name__)

UNNAMED = {*FREE, HORIZON}  # keys that name a directory only where the sweep varies them
LONGEST = 200  # bytes of a directory's name


class Sweep(BasicSweeper):
    """Hydra's basic sweeper, with directories of its own naming and a check of the whole sweep before its first run."""

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        """Launch a run for each combination of the overrides.

        Raises:
            ConfigurationError: a run's configuration cannot be run; none is started then.
            ReportedError: runs failed, after all others have come to their end.
        """
        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        overrides = OverridesParser.create(self.hydra_context.config_loader).parse_overrides(
            [*self._parse_config(), *arguments]
        )
        varied = {override.get_key_element() for override in overrides if override.is_sweep_override()}
        jobs = [job for batch in self.split_arguments(overrides, self.max_batch_size) for job in batch]
        named = [[*job, f"hydra.sweep.subdir={_quoted(directory_name(job, varied))}"] for job in jobs]
        loader = self.hydra_context.config_loader
        configs = [loader.load_sweep_config(self.config, job) for job in named]
        check([(config, Path(config.hydra.sweep.dir, config.hydra.sweep.subdir)) for config in configs])
        directory = Path(self.config.hydra.sweep.dir)
        make(directory, "hydra.sweep.dir")
        OmegaConf.save(self.config, directory / "multirun.yaml")
        returned = list(self.launcher.launch(named, initial_job_idx=0))
        failed = [job for job in returned if job.status != JobStatus.COMPLETED]
        log.info(f"{len(returned) - len(failed)} of {len(returned)} runs are complete.")
        log.info(f"directory: {directory}\ntensorboard --logdir {shlex.quote(str(directory))}")
        if failed:
            lines = [f"{' '.join(job.overrides or ())}: {said(job._return_value)}" for job in failed]
            raise ReportedError.listing(lines, f"{len(failed)} of {len(returned)} runs failed:")
        return returned


def directory_name(job: list[str], varied: set[str]) -> str:
    """Return the name of a run's directory: its overrides, sorted by key, as YAML writes them.

    Left out are Hydra's own, and those that do not make another run of it unless they are ``varied``.
    """
    parts = {}
    for override in OverridesParser.create().parse_overrides(job):
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


def _quoted(name: str) -> str:
    """Return a name as Hydra's grammar takes it: in quotes, of which it holds none, and not interpolated."""
    return "'" + name.replace("${", "\\${") + "'"
