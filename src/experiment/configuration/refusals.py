"""Overrides that Hydra refuses, explained: it stops at the first of them, and speaks of its grammar."""

from collections.abc import Sequence

from hydra import compose
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import OverrideParseException
from omegaconf import DictConfig

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.keys import known_keys
from experiment.configuration.overrides import (
    expand_sweep,
    parse_override,
    program_name,
    quote_for_hydra,
    quote_for_shell,
)
from experiment.configuration.references import ResolvedConfig
from experiment.configuration.suggestions import UNKNOWN_KEY, explain_unknown_key
from experiment.configuration.validation import find_problems

LAUNCHER = "hydra/launcher"
# The extra that brings a launcher.
LAUNCHER_EXTRAS = {"joblib": "joblib", "ray": "ray", "submitit_local": "submitit", "submitit_slurm": "submitit"}


def explain_hydra_error(error: BaseException, arguments: Sequence[str], config_name: str) -> BaseException:
    """Return an error that names every wrong override of a command line, or ``error`` if no override is wrong.

    Args:
        error: that Hydra raised. It is initialized as it was then.
        arguments: the words of the command line.
        config_name: the name of the primary configuration.
    """
    options, _ = get_args_parser().parse_known_args(arguments)
    check = _OverrideCheck(config_name, options.multirun)
    if missing := check.missing_extra(options.overrides):
        return ConfigurationError(missing)
    # Groups come first, as they do for Hydra.
    for override in sorted(options.overrides, key=lambda each: "." in each.partition("=")[0]):
        check.add(override)
    return ConfigurationError.from_lines(check.problems) if check.problems else error


class _SweepError(ValueError):
    """Several values where one is allowed."""


class _OverrideCheck:
    """Composes overrides one by one, each together with those before it that Hydra accepted.

    Attributes:
        problems: a line for each problem so far.
    """

    def __init__(self, config_name: str, is_sweep: bool) -> None:
        self.config_name, self.is_sweep = config_name, is_sweep
        self.accepted: list[str] = []
        self.problems: list[str] = []

    def missing_extra(self, overrides: Sequence[str]) -> str | None:
        """Return what to install for the launcher that the overrides choose, ``None`` if it is installed."""
        for name, extra in LAUNCHER_EXTRAS.items():
            if f"{LAUNCHER}={name}" in overrides and name not in self._group_options(LAUNCHER):
                install = f"pip install -c constraints.txt -e '.[{extra}]'"
                return f"{LAUNCHER}={name} needs packages that are not installed: {install}"
        return None

    def add(self, override: str) -> None:
        """Add the problems of an override."""
        try:
            values = self._expand(override)
            for value in values:
                self.problems += self._new_problems(value)
            self.accepted.append(values[0])
        except Exception as refusal:
            self.problems.append(f"{override}: {self._explain(override, refusal)}")

    def _expand(self, override: str) -> list[str]:
        """Return an override for each value of a sweep."""
        parsed = parse_override(override)
        if parsed.is_sweep_override() and parsed.is_hydra_override():
            raise _SweepError("Hydra's own keys take one value")
        if parsed.is_sweep_override() and not self.is_sweep:
            raise _SweepError(f"several values make a sweep: {program_name()} -m")
        return list(expand_sweep(override))

    def _compose(self, *more: str) -> DictConfig:
        return compose(self.config_name, [*self.accepted, *more])

    def _new_problems(self, override: str) -> list[str]:
        resolved = ResolvedConfig.of(self._compose(override))
        return [problem for problem in find_problems(resolved) if problem not in self.problems]

    def _explain(self, override: str, refusal: Exception) -> str:
        """Return why Hydra refuses an override, and what to type instead."""
        key, equals, value = override.partition("=")
        message = str(refusal).splitlines()[0]
        if isinstance(refusal, OverrideParseException):
            advice = self._suggest_quotes(key, value) if equals else " (an override is key=value)"
            return f"Hydra cannot parse this: {message}{advice}"
        if isinstance(refusal, _SweepError):
            return f"{message}{self._suggest_quotes(key, value)}"
        if (options := self._group_options(key)) and value not in options:
            none = f", or none: ~{key}" if value == "null" and not self._new_problems(f"~{key}") else ""
            return f"one of {', '.join(options)}{none}"
        if refusal.__cause__ and message.startswith("Error merging override"):
            return str(refusal.__cause__).splitlines()[0]
        if message.startswith(("Could not override", "Could not delete")):
            return explain_unknown_key(key, known_keys(self._compose()))
        return " ".join(str(refusal).split())  # of several lines where a YAML file is wrong

    def _suggest_quotes(self, key: str, value: str) -> str:
        """Return advice to quote a value, unless the key cannot have a text as its value."""
        quoted = f"{key}={quote_for_hydra(value)}"
        try:
            problems = self._new_problems(quoted)
        except Exception:
            return ""
        is_text = all(UNKNOWN_KEY in problem for problem in problems)
        return f"; if the value is one text, quote it: {quote_for_shell([quoted])}" if is_text else ""

    def _group_options(self, group: str) -> list[str]:
        if not group:
            return []
        loader = GlobalHydra.instance().config_loader()
        return loader.get_group_options(group, config_name=self.config_name, overrides=self.accepted)
