"""The command line: what Hydra composed is checked before anything is made, and every error is one message."""

import argparse
import functools
import gc
import inspect
import os
import re
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import InstantiationException, SearchPathException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, read_write

from experiment.configuration import schema
from experiment.configuration.errors import ConfigurationError, ReportedError
from experiment.runs.directory import RunDirectory, is_dry_run
from experiment.runs.signals import Interrupted

Main = TypeVar("Main", bound=Callable[..., Any])
Result = TypeVar("Result")

OmegaConf.register_new_resolver("help", schema.help_text, replace=True)
# These groups take any key without a "+": the schema, not Hydra, says which there are, and finds the nearest.
ConfigStore.instance().store(
    name="open",
    node={group: DictConfig({}, flags={"struct": False}) for group in schema.GROUPS},
)


class CallbackError(BaseException):
    """Carries an error out of a Hydra callback, where an ``Exception`` would become a warning."""


class CheckBeforeRun(Callback):
    """Checks a run's configuration and its directory before Hydra makes the directory."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Raise ``CallbackError`` from the error, if there is one."""
        try:
            if config.get("search"):
                raise ConfigurationError("search: a search is a sweep: python train.py -m")
            check_jobs([(without_hydra(config), Path(config.hydra.run.dir))], config.hydra)
            if is_dry_run(config):  # it leaves nothing: Hydra gets an empty directory that the trial removes
                with read_write(config):
                    config.hydra.run.dir = tempfile.mkdtemp()
            make_directory(Path(config.hydra.run.dir), "hydra.run.dir")
        except Exception as error:
            raise CallbackError from error


def without_hydra(config: DictConfig) -> DictConfig:
    """Return a composed configuration as the run gets it."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def check_jobs(jobs: Sequence[tuple[DictConfig, Path]], hydra: DictConfig) -> list[bool]:
    """Check composed configurations and the directories that they are to run in; return which are complete there.

    Raises:
        ConfigurationError: for all of them together; what can be known without torch is told without it.
    """
    _together(schema.validate, ((config,) for config, _ in jobs))
    complete = _together(lambda config, path: not is_dry_run(config) and RunDirectory(path).check(config), jobs)
    rest = [config for (config, _), done in zip(jobs, complete, strict=True) if not done]
    if rest:
        gc.disable()  # to go through all that torch is made of, again and again and when it ends, takes seconds
        from experiment.runs.run import check_instantiable

        gc.freeze()
        gc.enable()
        _together(check_instantiable, ((config, hydra) for config in rest))
    return complete


def _together(check: Callable[..., Result], jobs: Iterable[tuple[Any, ...]]) -> list[Result]:
    lines: dict[str, None] = {}
    results = []
    for job in jobs:
        try:
            results.append(check(*job))
        except ConfigurationError as error:
            lines |= dict.fromkeys(str(error).splitlines())  # the runs of a sweep share what is wrong
    if lines:
        raise ConfigurationError("\n".join(lines))
    return results


def command(main: Main) -> Main:
    """Decorate a Hydra main function: an error of its is one message on standard error and the exit status 1.

    Hydra's ``HYDRA_FULL_ERROR=1`` shows the traceback too.
    """

    @functools.wraps(main)
    def wrapped(*args: Any) -> Any:
        full = os.environ.get("HYDRA_FULL_ERROR")
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
        try:
            return main(*args)
        except (KeyboardInterrupt, Interrupted) as error:
            print(_interruption(error), file=sys.stderr)
            sys.exit(getattr(error, "status", 130))
        except (Exception, CallbackError) as error:
            cause = error.__cause__ if isinstance(error, CallbackError) else error
            if full == "1":
                raise
            if not isinstance(cause, (ReportedError, SearchPathException)):
                conf = Path(inspect.getfile(inspect.unwrap(main))).parent / "conf"
                cause = _explained(cause, conf, sys.argv[1:])
            print(cause if isinstance(cause, SearchPathException) else format_error(cause), file=sys.stderr)
            sys.exit(1)
        finally:
            if full is None:
                os.environ.pop("HYDRA_FULL_ERROR", None)

    return wrapped  # type: ignore[return-value]


def _interruption(error: BaseException) -> str:
    """Return the line that says how to go on."""
    hydra = getattr(error, "hydra", None)
    return (
        "Interrupted, before anything was trained."
        if hydra is None
        else f"Interrupted. To go on: {resume_command(hydra)}"
    )


def resume_command(hydra: DictConfig) -> str:
    """Return the command that was given, in the same directory."""
    sweep = hydra.mode == RunMode.MULTIRUN
    key, directory = ("hydra.sweep.dir", hydra.sweep.dir) if sweep else ("hydra.run.dir", hydra.runtime.output_dir)
    given = [argument for argument in sys.argv[1:] if not argument.startswith(f"{key}=")]
    return quote_for_shell(["python", sys.argv[0], *given, f"{key}={quote_for_hydra(directory)}"])


def hydra_options() -> list[str]:
    """Return what was given of Hydra's options, but for the one that asks for a sweep."""
    overrides = {each for each in sys.argv[1:] if not each.startswith("-") and ("=" in each or each.startswith("~"))}
    return [each for each in sys.argv[1:] if each not in overrides | {"-m", "--multirun"}]


def quote_for_shell(words: Iterable[str]) -> str:
    """Return words as a shell takes them: one with Hydra's quotes within double quotes, where that is safe."""

    def one(word: str) -> str:
        return f'"{word}"' if "'" in word and not re.search(r'["$`\\!]', word) else shlex.quote(word)

    return " ".join(map(one, words))


def quote_for_hydra(text: str) -> str:
    """Return a text as Hydra's override grammar takes it: where it must be, in quotes, and never interpolated."""
    if re.fullmatch(r"[A-Za-z0-9_./-]+", text):
        return text
    escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), text)
    return "'" + escaped.replace("${", "\\${") + "'"


def format_error(error: BaseException | None) -> str:
    """Return what an error says, with its kind and its place where it is not one of this project's own."""
    if error is None or isinstance(error, ReportedError):
        return str(error)
    if isinstance(error, InstantiationException) and error.__cause__:
        error = error.__cause__
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" (at {place[0].filename}:{place[0].lineno}; HYDRA_FULL_ERROR=1 shows how it came there)" if place else ""
    return f"{type(error).__name__}: {error}{where}"


def make_directory(directory: Path, key: str) -> None:
    """Make a directory, or raise a ``ConfigurationError`` that names the key which chose it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError.from_lines([f"{key}={directory}: {error.strerror}"]) from error


def compose_configuration(overrides: Sequence[str], conf: Path) -> DictConfig:
    """Return the configuration that the overrides compose of the files in a directory.

    Raises:
        ConfigurationError: it is not what the schema says.
    """
    if not conf.is_dir():
        raise ConfigurationError(f"There is no {conf}/ here: give the directory of a run, or go where train.py is.")
    try:
        with initialize_config_dir(str(conf.absolute()), version_base="1.3"):
            config = compose("config", list(overrides))
    except Exception as error:
        raise _explained(error, conf, overrides) or error from error
    schema.validate(config)
    return config


def _explained(error: BaseException | None, conf: Path, arguments: Sequence[str]) -> BaseException | None:
    """Return an error that names everything that is wrong with the command line, if that is why it arose."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--multirun", "-m", action="store_true")
    known, rest = parser.parse_known_args(arguments)
    overrides = [argument for argument in rest if not argument.startswith("-")]
    roots = [conf, *([Path(known.config_dir).absolute()] if known.config_dir else [])]
    where = [f"hydra.searchpath=[{','.join(f'file://{root}' for root in roots[1:])}]"]
    found: dict[str, None] = {}
    accepted: list[str] = []
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf.absolute()), version_base="1.3"):
        # Groups come first, as they do for Hydra.
        for override in sorted(overrides, key=lambda each: "." in each.partition("=")[0]):
            try:
                choices = list(_expanded(override))
                if len(choices) > 1 and not known.multirun:
                    raise ValueError("several values make a sweep: python train.py -m")
                for choice in choices:
                    config = compose("config", [*where, *accepted, choice])
                    found |= dict.fromkeys(schema.find_problems(config))
                accepted.append(choices[0])
            except Exception as reason:
                found[_refused(override, reason, roots)] = None
    return ConfigurationError.from_lines(found) if found else error


def _expanded(override: str) -> Iterator[str]:
    """Yield the override for each value of a sweep."""
    parsed = OverridesParser.create().parse_override(override)
    if not parsed.is_sweep_override():
        yield override
        return
    for value in parsed.sweep_string_iterator():
        yield f"{parsed.get_key_element()}={value}"


def _refused(override: str, reason: Exception, roots: list[Path]) -> str:
    group = override.partition("=")[0]
    hydra_options = {path.stem for root in roots for path in (root / group).glob("*.yaml")}
    if hydra_options := hydra_options or set(GlobalHydra.instance().config_loader().get_group_options(group)):
        return f"{override}: one of {', '.join(sorted(hydra_options))}"
    message = str(reason).splitlines()[0]
    return (
        schema.describe_unknown_key(override) if message.startswith("Could not override") else f"{override}: {message}"
    )
