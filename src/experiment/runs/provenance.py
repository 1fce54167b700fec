"""With what a run is made: versions, code, device, and every start."""

import importlib.metadata
import platform
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "lightning", "numpy", "hydra-core", "omegaconf", "tensorboard", "matplotlib", "pydantic")


def describe_start(previous: dict[str, Any], step: int, **hardware: Any) -> dict[str, Any]:
    """Return ``provenance.json`` for a start.

    Args:
        previous: the document of the starts before, empty for the first.
        step: at which this start begins.
        hardware: what the engine runs on: ``device``, ``devices``, ``strategy``.
    """
    commit = _git("rev-parse", "HEAD")
    start = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "arguments": sys.argv[1:], "step": step}
    return {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "git": {"commit": commit and commit.strip(), "difference": commit and _git("diff", "HEAD")},
        "platform": platform.platform(),
        **hardware,
        "threads": torch.get_num_threads(),
        "starts": [*previous.get("starts", []), start],
    }


def _git(*arguments: str) -> str | None:
    """Return what git answers about the code of this package, ``None`` where there is no git or no repository."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    with suppress(OSError):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        return answer.stdout if answer.returncode == 0 else None
    return None
