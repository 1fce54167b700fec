"""``python -m experiment.play RUN_DIR…``: writes one page that plays runs step by step."""

from pathlib import Path

from experiment.command import errors_reported, parse_arguments, run_directory_parser
from experiment.configuration.errors import ConfigurationError
from experiment.play.html import make_page
from experiment.play.recording import NotRecorded
from experiment.play.run_log import RunLog
from experiment.runs.directory import RunDirectory
from experiment.runs.files import write_atomically
from experiment.terminal import printable


def write_page(directories: list[Path], output: Path) -> None:
    """Write the page that plays the runs in directories.

    Raises:
        ConfigurationError: one of them holds no run, or one that has recorded nothing.
    """
    named = dict(zip(_names(directories), directories, strict=True))
    for directory in directories:
        if not RunDirectory(directory).is_started:
            raise ConfigurationError(f"{directory} holds no run.")
    try:
        page = make_page([RunLog(directory, name) for name, directory in named.items()])
    except NotRecorded as error:
        raise ConfigurationError(str(error)) from None
    write_atomically(output, page)


def _names(directories: list[Path]) -> list[str]:
    """Return the names of directories, or their paths where two have the same name."""
    names = [directory.resolve().name for directory in directories]
    return names if len({*names}) == len(names) else [directory.as_posix() for directory in directories]


def main() -> None:
    """Run the command."""
    parser = run_directory_parser("play", "Write one page that plays runs step by step; it needs no network.")
    parser.add_argument("run_dir", type=Path, nargs="+", help="the directory of a run")
    parser.add_argument("--output", "-o", type=Path, default=Path("play.html"), help="the file; by default play.html")
    arguments = parse_arguments(parser)
    with errors_reported():
        write_page([*dict.fromkeys(arguments.run_dir)], arguments.output)
    print(printable(f"{arguments.output} plays {len(arguments.run_dir)} run{'s' * (len(arguments.run_dir) > 1)}."))


if __name__ == "__main__":
    main()
