"""With what a run is made: versions, code, device, and every start."""

import hashlib
import importlib.metadata
import logging
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from experiment.configuration.own_code import is_installed
from experiment.runs.directory import RunDirectory

log = logging.getLogger(__name__)

PACKAGE = Path(__file__).parents[1]
PACKAGES = ("torch", "lightning", "numpy", "hydra-core", "omegaconf", "tensorboard", "matplotlib", "pydantic")
MAX_TEXT = 100_000  # characters of an untracked file that is recorded in full


def describe_environment(objects: list[object], trainer: Trainer) -> dict[str, Any]:
    """Return what ``provenance.json`` records of versions, code and hardware.

    Args:
        objects: the model and the data, whose own code is recorded beside this package's.
        trainer: that trains them.
    """
    return {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "git": _describe_commit(PACKAGE),
        "code": [*_describe_code(objects)],
        "platform": platform.platform(),
        "device": str(trainer.strategy.root_device),
        "devices": trainer.num_devices,
        "strategy": type(trainer.strategy).__name__,
        "threads": torch.get_num_threads(),
    }


def record_start(
    directory: RunDirectory, step: int, environment: dict[str, Any], inputs: dict[str, dict[str, str]]
) -> None:
    """Write ``provenance.json`` for a start, and log which code has changed since the last one.

    Args:
        directory: of the run.
        step: at which this start begins.
        environment: from ``describe_environment``.
        inputs: the files outside the directory that the run starts from, by the key that names them; those of an
            earlier start are kept.
    """
    previous = directory.provenance
    starts, earlier = previous.get("starts"), previous.get("inputs")
    start = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "arguments": sys.argv[1:], "step": step}
    content = environment | {
        "inputs": (earlier if isinstance(earlier, dict) else {}) | inputs,
        "starts": [*(starts if isinstance(starts, list) else []), start],
    }
    for name in _changed(previous.get("code"), environment["code"]):
        log.info(f"The code of {name} has changed since the last start.")
    directory.write_json("provenance.json", content)


def _describe_code(objects: list[object]) -> Iterator[dict[str, Any]]:
    """Yield a description of this package's code, and of each directory with code of the user's.

    Its ``files`` are those that are imported by now, with their hashes. Installed packages are left out.
    """
    yield {"of": PACKAGE.name, "files": _hash_files(PACKAGE)}
    classes: dict[Path, list[str]] = {}
    for instance in objects:
        # The bases too, which may be of other directories.
        kinds = {directory: kind for kind in reversed(type(instance).__mro__) if (directory := _code_directory(kind))}
        for directory, kind in kinds.items():
            classes.setdefault(directory, []).append(f"{kind.__module__}.{kind.__qualname__}")
    for directory, names in classes.items():
        files = _hash_files(directory)
        tracked = (_git(directory, "ls-files", "-z", "--", *files)() or "").split("\0")
        untracked = {name: _read_text(directory / name) for name in files if name not in tracked}
        commit = _describe_commit(directory, "--", ".")
        yield {"of": " and ".join(names), "directory": str(directory), **commit, "files": files, "untracked": untracked}


def _code_directory(kind: type) -> Path | None:
    """Return the directory of the package or the module of a class, ``None`` for this package and installed ones."""
    module = sys.modules.get(kind.__module__.partition(".")[0])
    file = getattr(module, "__file__", None)
    if not file:  # built in
        return None
    directory = Path(file).absolute().parent
    return None if directory == PACKAGE or is_installed(str(directory)) else directory


def _hash_files(directory: Path) -> dict[str, str]:
    """Return the hashes of the imported files below a directory."""
    # Not getattr: some modules import others when they are asked for an attribute.
    files = {getattr(module, "__dict__", {}).get("__file__") for module in [*sys.modules.values()]}
    start = str(directory)
    own = [Path(file) for file in files if file and file.startswith(start) and not is_installed(file)]
    hashes = {}
    for path in sorted(own):
        with suppress(OSError):  # a file that is gone
            hashes[path.relative_to(directory).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashes


def _read_text(path: Path) -> str | None:
    """Return the text of a file, ``None`` if it is long: its hash must do."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return text if len(text) <= MAX_TEXT else None


def _changed(before: Any, now: list[dict[str, Any]]) -> Iterator[str]:
    """Yield whose code differs from what the last start recorded, in the files that both have."""
    recorded = [each for each in before if isinstance(each, dict)] if isinstance(before, list) else []
    hashes = {str(each.get("of")): each["files"] for each in recorded if isinstance(each.get("files"), dict)}
    for each in now:
        old, new = hashes.get(each["of"], {}), each["files"]
        if any(old[name] != new[name] for name in old.keys() & new.keys()):
            yield each["of"]


def _describe_commit(directory: Path, *limits: str) -> dict[str, str | None]:
    """Return the commit of a directory's repository and how the code differs from it, ``None`` without a repository."""
    # Both at once, since each takes 10 ms.
    commit, difference = _git(directory, "rev-parse", "HEAD"), _git(directory, "diff", "--no-ext-diff", "HEAD", *limits)
    name = commit()
    return {"commit": name and name.strip(), "difference": difference()}


def _git(directory: Path, *arguments: str) -> Callable[[], str | None]:
    """Start git, and return what waits for its answer: ``None`` where there is no git or no repository."""
    command = ["git", "-C", str(directory), *arguments]
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", errors="replace"
        )
    except OSError:
        return lambda: None

    def answer() -> str | None:
        output, _ = process.communicate()
        return output if process.returncode == 0 else None

    return answer
