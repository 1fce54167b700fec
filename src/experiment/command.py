"""What all commands share: checks before anything is made, and one message for every error."""

import argparse
import functools
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hydra._internal.hydra import Hydra
from hydra._internal.utils import _run_hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import SearchPathException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from experiment.configuration.compose import without_hydra
from experiment.configuration.errors import CarriedError, ConfigurationError, ReportedError, format_error
from experiment.configuration.help import help_text
from experiment.configuration.identity import is_dry_run, is_search
from experiment.configuration.overrides import program_name, quote_for_shell, resume_command
from experiment.configuration.own_code import add_directory
from experiment.configuration.refusals import explain_hydra_error
from experiment.configuration.texts import quote_texts
from experiment.runs.checks import PlannedRun, check_jobs
from experiment.runs.directory import make_directory
from experiment.runs.signals import Interrupted
from experiment.terminal import printable, spell_out_unknown_characters

Main = TypeVar("Main", bound=Callable[..., Any])
FULL_ERROR = "HYDRA_FULL_ERROR"

OmegaConf.register_new_resolver("help", help_text, replace=True)


class CheckBeforeRun(Callback):
    """Checks a run's configuration and its directory before Hydra makes the directory."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check, and make the directory; any error is the cause of a ``CarriedError``."""
        try:
            if is_search(config):
                raise ConfigurationError(f"search: a search is a sweep: {program_name()} -m")
            check_jobs([PlannedRun(without_hydra(config), Path(config.hydra.run.dir))], config.hydra)
            if is_dry_run(config):  # a temporary directory for Hydra, which the dry run removes
                with read_write(config):
                    config.hydra.run.dir = tempfile.mkdtemp()
            make_directory(Path(config.hydra.run.dir), "hydra.run.dir")
        except Exception as error:
            raise CarriedError from error


def command(main: Main) -> Main:
    """Decorate a Hydra main function: an error becomes one message on standard error and the exit status 1."""

    @functools.wraps(main)
    def wrapped(*args: Any) -> Any:
        sys.argv[1:] = quote_texts(sys.argv[1:])
        try:
            with errors_reported(_explain_command_line), _hydra_raises_its_errors():
                return main(*args)
        except SystemExit as stop:
            if not isinstance(stop.code, str):
                raise
            print(stop.code, file=sys.stderr)  # now, and not only when the interpreter exits
            sys.exit(1)

    return wrapped  # type: ignore[return-value]


def run_directory_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return the parser of a command that reads a run's directory, with the options that all of them have."""
    parser = argparse.ArgumentParser(prog=f"python -m experiment.{name}", description=description)
    parser.add_argument(
        *("--config-dir", "-cd"),
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a directory of the run's own code, where that is not installed; what the run records is not imported",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="the run is one of your own: its configuration may read the environment and name places to write to",
    )
    return parser


def parse_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line, and let Python import from the directories that it names."""
    arguments = parser.parse_intermixed_args()
    for directory in arguments.config_dir:
        if not directory.is_dir():
            parser.error(f"--config-dir {directory}: there is no such directory")
        add_directory(directory)
    return arguments


@contextmanager
def errors_reported(explain: Callable[[BaseException], str] = format_error) -> Iterator[None]:
    """Exit with the message of any error and the status 1, or with a signal's status when interrupted.

    With ``HYDRA_FULL_ERROR=1``, errors are raised, with their traceback.

    Args:
        explain: returns the message for an error.
    """
    spell_out_unknown_characters()
    try:
        yield
    except (KeyboardInterrupt, Interrupted) as error:
        hydra = getattr(error, "hydra", None)
        # Only a command of Hydra's has a mode; to repeat the other ones resumes what they have trained.
        again = resume_command(hydra) if hydra and "mode" in hydra else quote_for_shell(["python", *sys.orig_argv[1:]])
        resume = f" To resume: {again}" if hydra else ""
        print(f"Interrupted{'.' if hydra else ' before anything was trained.'}{resume}", file=sys.stderr)
        sys.exit(getattr(error, "status", 130))
    except (Exception, CarriedError) as error:
        if os.environ.get(FULL_ERROR) == "1":
            raise
        sys.exit(printable(explain(error.__cause__ if isinstance(error, CarriedError) and error.__cause__ else error)))


def _explain_command_line(error: BaseException) -> str:
    if isinstance(error, SearchPathException):  # of a --config-dir that does not exist
        return str(error)
    if isinstance(error, ReportedError):
        return format_error(error)
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code is _run_hydra.__code__ and "hydra" in frame.f_locals:
            with _initialized_again(frame.f_locals["hydra"]):
                error = explain_hydra_error(error, sys.argv[1:], frame.f_locals["config_name"])
    return format_error(error)


@contextmanager
def _initialized_again(hydra: Hydra) -> Iterator[None]:
    """Let Hydra compose with the search path of the command, which it has left by now."""
    GlobalHydra.instance().initialize(hydra)
    try:
        yield
    finally:
        GlobalHydra.instance().clear()


@contextmanager
def _hydra_raises_its_errors() -> Iterator[None]:
    """Let Hydra raise errors, which it would otherwise print, before it exits itself."""
    before = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[FULL_ERROR]
        else:
            os.environ[FULL_ERROR] = before
