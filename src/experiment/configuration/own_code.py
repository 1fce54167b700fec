"""The user's own code: what lies in a directory that this process's command line names, or beside its script."""

import functools
import inspect
import sys
import sysconfig
from importlib.machinery import PathFinder
from pathlib import Path

from omegaconf import DictConfig

THIS_PROJECT = ("experiment", "hydra_plugins")
_named: list[Path] = []


def add_directory(directory: Path) -> None:
    """Let Python import modules from a directory, after all others, as the user's own code.

    Args:
        directory: named on the command line, never one that a run's directory records.
    """
    if str(directory.absolute()) not in sys.path:
        sys.path.append(str(directory.absolute()))
    _named.extend(_both_paths(directory))


def named_directories() -> list[Path]:
    """Return the directories that have been added."""
    return [*dict.fromkeys(_named)]


def code_directories() -> list[Path]:
    """Return the directories of all of the user's code: those that have been added, and that of the script."""
    return [*dict.fromkeys([*_named, *_script_directories()])]


def add_config_dirs(hydra_config: DictConfig) -> None:
    """Add the directories of ``--config-dir``, where the user's YAML files are.

    Args:
        hydra_config: of this command line, never one that a run's directory records.
    """
    for source in hydra_config.runtime.config_sources:
        if source.provider == "command-line":
            add_directory(Path(source.path))


def explain_hidden_module(name: str) -> str | None:
    """Return why the module that a name begins with is not the one in the directory that was named last.

    Python imports a module of a name once in a process, and an installed one before the user's.
    """
    top = name.partition(".")[0]
    spec = PathFinder.find_spec(top, [str(directory) for directory in _named[-1:]])
    named = spec.origin if spec else None
    imported = getattr(sys.modules.get(top), "__file__", None)
    if not named or not imported or Path(named).resolve() == Path(imported).resolve():
        return None
    return f"{top} is {imported} in this process, and {named} needs another name"


def is_own(target: object) -> bool:
    """Return whether a class or a function is defined in the user's own code; to import it there is not enough."""
    if inspect.ismethod(target):  # a classmethod, which a class of an installed package may have
        return is_own(target.__self__) and is_own(target.__func__)
    if not (inspect.isclass(target) or inspect.isfunction(target)):
        return False
    name = target.__module__
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is None:
        return name == "__main__"  # of a notebook
    name = getattr(getattr(module, "__spec__", None), "name", name)  # that of a command is __main__ too
    directories = [*_named, *_script_directories()]
    is_there = any(path.is_relative_to(directory) for path in _both_paths(Path(file)) for directory in directories)
    return is_there and name.partition(".")[0] not in THIS_PROJECT and not is_installed(str(Path(file).resolve()))


def is_installed(path: str) -> bool:
    """Return whether a file is of an installed package or of Python itself."""
    return path.startswith((*_library_directories(), "<")) or "site-packages" in path


def _script_directories() -> list[Path]:
    file = getattr(sys.modules["__main__"], "__file__", None)
    return [path.parent for path in _both_paths(Path(file))] if file else []


def _both_paths(path: Path) -> tuple[Path, Path]:
    """Return a path as Python finds a module there, and where it leads if it is a link, or has one among its parts."""
    return path.absolute(), path.resolve()


@functools.cache
def _library_directories() -> tuple[str, ...]:
    return tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
