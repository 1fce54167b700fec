"""Hostile files: each file of a run's directory is replaced by what a stranger could put there."""

import json
import os
import runpy
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import chdir, suppress
from pathlib import Path

from tests.conftest import ROOT

TIMEOUT = 60.0  # seconds for a command
ALIASES = "\n".join(["l0: &l0 [ha]", *(f"l{n}: &l{n} [*l{n - 1}, *l{n - 1}]" for n in range(1, 40))])
CONTENTS = {
    "nothing": b"",
    "bytes": bytes(range(256)) * 40,
    "deep": b"[" * 100_000,
    "aliases": ALIASES.encode(),
    "large": b"x" * 5_000_000,
    **{f"JSON {text}": text.encode() for text in ("[]", "3", '"x"', "null", '{"epoch": "x"}', '{"status": []}')},
    "JSON strings": json.dumps(dict.fromkeys(("epoch", "step", "seconds", "status", "starts", "seed"), "x")).encode(),
    "code": b"!!python/object/apply:os.system ['touch ran']",
    "target": b"model: {_target_: os.system, command: touch ran}",
}
COMMANDS = (
    ("draw", "run"),
    ("explain", "run"),
    ("repeat", "run", "again"),
    ("train", "trainer.max_epochs=8", "hydra.run.dir=run"),
)


def attacks(path: Path) -> dict[str, Callable[[], object]]:
    """What can stand in a file's place, by name; ``kept`` is a file outside of the run's directory."""

    def write(content: bytes) -> Callable[[], object]:
        return lambda: path.write_bytes(content)

    return {
        **{name: write(content) for name, content in CONTENTS.items()},
        "link": lambda: path.symlink_to(Path("kept").absolute()),
        "dangling link": lambda: path.symlink_to(Path("made").absolute()),
        "named pipe": lambda: os.mkfifo(path),
        "directory": path.mkdir,
        "link to a directory": lambda: path.symlink_to(Path("others").absolute()),
    }


def survive(run: Path, where: Path) -> int:
    """Attack each file of a run in each way, and start each command on it; returns how often.

    Each ends by itself, without a traceback, and touches nothing outside of the directories that it was given.
    """
    where.mkdir()
    files = sorted(path.relative_to(run) for path in run.rglob("*") if path.is_file())
    count = 0
    with chdir(where):
        Path("others").mkdir()
        Path("kept").write_text("mine")
        for file in files:
            for name in attacks(file):
                shutil.copytree(run, "run")
                (Path("run") / file).unlink()
                attacks(Path("run") / file)[name]()
                for arguments in COMMANDS:
                    _start(arguments, f"{file}: {name}: {arguments[0]}")
                    count += 1
                shutil.rmtree("run")
                shutil.rmtree("again", ignore_errors=True)
    return count


def _start(arguments: tuple[str, ...], attack: str) -> None:
    command, *rest = arguments
    child = os.fork()
    if child == 0:
        status = 1
        with open("out", "wb", 0) as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        try:
            sys.argv = [command, *rest]
            if command == "train":
                runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
            else:
                runpy.run_module(f"experiment.{command}", run_name="__main__")
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
            print(stop.code)
        finally:
            with suppress(OSError):
                sys.stdout.flush()
            os._exit(status)
    until = time.monotonic() + TIMEOUT
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        assert time.monotonic() < until, f"{attack} does not end"
        time.sleep(0.01)
    output = Path("out").read_text(errors="replace")
    assert os.waitstatus_to_exitcode(ended[1]) in (0, 1), (attack, output[-2000:])
    assert "Traceback" not in output, (attack, output[-2000:])
    assert len(output) < 20_000, (attack, output[:2000])
    assert Path("kept").read_text() == "mine", attack
    assert not [*Path("others").iterdir()], attack
    assert {path.name for path in Path().iterdir()} <= {"run", "again", "kept", "others", "out"}, attack
