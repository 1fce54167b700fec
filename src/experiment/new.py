"""``python -m experiment.new DIR``: writes a project of your own, with data and a model to replace."""

import argparse
import importlib.util
import keyword
import re
import sys
import tempfile
from pathlib import Path

from hydra.errors import HydraException

from experiment.command import errors_reported
from experiment.configuration.errors import ReportedError
from experiment.configuration.overrides import parse_override, quote_for_shell
from experiment.terminal import printable

TEMPLATE = Path(__file__).parent / "template"
PLACEHOLDER = "PROJECT"  # in the template's files and their names


def write_project(directory: Path) -> str:
    """Write a new project, whole or not at all, and return the name of its module and of its experiment.

    Raises:
        ReportedError: the directory is not empty, or its name cannot be that of a module.
    """
    directory = directory.absolute()
    name = _module_name(directory)
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise ReportedError(f"{directory} exists, and is no empty directory.")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=directory.parent) as temporary:
            project = Path(temporary) / name
            _fill_template(project, name)
            if not directory.exists():
                project.rename(directory)
            else:  # it may be the current directory, which must stay the same one
                for path in project.iterdir():
                    path.rename(directory / path.name)
    except OSError as error:
        raise ReportedError(f"{directory} cannot be written: {error.strerror}") from error
    return name


def _module_name(directory: Path) -> str:
    name = re.sub(r"\W", "_", directory.name)
    refusal = f"{directory.name} cannot be the name of a project"
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise ReportedError(f"{refusal}: a module's name has letters, digits and _, and starts with no digit.")
    if keyword.iskeyword(name) or not _is_hydra_text(name):
        raise ReportedError(f"{refusal}: Python or Hydra reserves the word {name}.")
    if name in sys.modules or importlib.util.find_spec(name):
        raise ReportedError(f"{refusal}: there is a module {name} already, which would be imported instead.")
    return name


def _is_hydra_text(name: str) -> bool:
    """Whether ``experiment=name`` chooses that name: ``null`` would not."""
    try:
        return parse_override(f"experiment={name}").value() == name
    except HydraException:
        return False


def _fill_template(project: Path, name: str) -> None:
    for source in TEMPLATE.rglob("*"):
        if source.is_file() and "__pycache__" not in source.parts:
            path = project / str(source.relative_to(TEMPLATE)).replace(PLACEHOLDER, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source.read_text(encoding="utf-8").replace(PLACEHOLDER, name), encoding="utf-8")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m experiment.new", description="Write a new project of your own.")
    parser.add_argument(
        "directory", type=Path, metavar="DIR", help="a new or an empty directory; its name is the project's"
    )
    directory = parser.parse_args().directory
    with errors_reported():
        name = write_project(directory)
    print(f"{directory} has a project that runs:\n")
    print(printable(f"  {quote_for_shell(['cd', str(directory)])}"))
    print(f"  python -m experiment --config-dir . experiment={name}")


if __name__ == "__main__":
    main()
