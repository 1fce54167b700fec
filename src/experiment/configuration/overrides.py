"""Overrides: parsed by Hydra's grammar, formatted as YAML, quoted for Hydra and for a shell."""

import functools
import math
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig

CACHE_SIZE = 2**16  # overrides, of 1 kB each at most; the runs of a sweep share most of them


@functools.lru_cache(maxsize=CACHE_SIZE)
def parse_override(override: str) -> Override:
    """Parse one override.

    Raises:
        OverrideParseException: Hydra's grammar does not allow it.
    """
    try:
        return _make_parser().parse_override(override)
    except HydraException as error:
        raise OverrideParseException(override, str(error)) from error


@functools.cache  # to make it takes as long as to parse
def _make_parser() -> OverridesParser:
    return OverridesParser.create()


def expand_sweep(override: str) -> Iterator[str]:
    """Yield one override for each value that a sweep override lists; any other override as it is."""
    parsed = parse_override(override)
    if not parsed.is_sweep_override():
        yield override
        return
    for value in boundary_values(parsed):
        yield f"{parsed.get_key_element()}={value}"


def boundary_values(override: Override) -> list[str]:
    """Return the ends of an interval, or every value of a list: if these can run, so can all that is between."""
    sweep = override.value()
    ends = [sweep.start, sweep.end] if isinstance(sweep, IntervalSweep) else override.sweep_string_iterator()
    return list(dict.fromkeys(map(str, ends)))


def override_values(overrides: Sequence[str]) -> dict[str, str]:
    """Return the value of each overridden key as YAML writes it: empty for a deleted key, without Hydra's own keys."""
    return dict(_key_and_value(override) for override in overrides if not parse_override(override).is_hydra_override())


@functools.lru_cache(maxsize=CACHE_SIZE)
def _key_and_value(override: str) -> tuple[str, str]:
    parsed = parse_override(override)
    return parsed.get_key_element().lstrip("+"), "" if parsed.is_delete() else _format_yaml(parsed.value())


def _format_yaml(value: Any) -> str:
    """Return a value as YAML in flow style, without spaces."""
    if isinstance(value, list):
        return f"[{','.join(map(_format_yaml, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_format_yaml(key)}:{_format_yaml(item)}' for key, item in value.items())}}}"
    text = value.text if isinstance(value, QuotedString) else value
    return str(yaml.safe_dump(text, allow_unicode=True, width=math.inf)).removesuffix("\n").removesuffix("\n...")


def quote_for_hydra(text: str) -> str:
    """Return a text as a value in Hydra's override grammar: quoted where necessary, never interpolated."""
    if re.fullmatch(r"[A-Za-z0-9_./-]+", text):
        return text
    escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), text)
    return "'" + escaped.replace("${", "\\${") + "'"


def unquote_for_hydra(text: str) -> str:
    """Return what ``quote_for_hydra`` was given; any other value is parsed by Hydra's grammar, which takes 0.2 ms."""
    plain = (text[1:-1] if text.startswith("'") else text).replace("\\${", "${")
    return plain if quote_for_hydra(plain) == text else str(parse_override(f"value={text}").value())


def quote_for_shell(words: Iterable[str]) -> str:
    """Return words as one shell command, with double quotes around Hydra's own quotes where that is safe."""

    def quote(word: str) -> str:
        return f'"{word}"' if "'" in word and not re.search(r'["$`\\!]', word) else shlex.quote(word)

    return " ".join(map(quote, words))


def program() -> list[str]:
    """Return the words that start this process's command: ``python train.py``, or ``python -m experiment``."""
    path = Path(sys.argv[0])
    return ["python", *(["-m", path.parent.name] if path.name == "__main__.py" else [sys.argv[0]])]


def program_name() -> str:
    """Return how messages name this process's command."""
    return " ".join(Path(word).name for word in program())


def resume_command(hydra: DictConfig) -> str:
    """Return the command that resumes this process's run or sweep: its own, with the directory named."""
    is_sweep = hydra.mode == RunMode.MULTIRUN
    key, directory = ("hydra.sweep.dir", hydra.sweep.dir) if is_sweep else ("hydra.run.dir", hydra.runtime.output_dir)
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith(f"{key}=")]
    return quote_for_shell([*program(), *arguments, f"{key}={quote_for_hydra(directory)}"])


def hydra_options() -> list[str]:
    """Return Hydra's options on this process's command line, such as ``--config-dir``, without ``--multirun``."""

    def is_override(argument: str) -> bool:
        return argument.startswith("~") or ("=" in argument and not argument.startswith("-"))

    return [argument for argument in sys.argv[1:] if not is_override(argument) and argument not in ("-m", "--multirun")]
