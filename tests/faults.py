"""A campaign of faults, against runs that must come out as if nothing had happened: ``python -m tests.faults``.

Prints how many of each kind were survived. Each start is a real process, forked from this one so that it need not
import torch anew.
"""

import os
import random
import runpy
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from lightning.pytorch import Trainer  # noqa: F401
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiment import run as _run  # noqa: F401
from experiment.command import quoted
from tests.conftest import ROOT, checkpoint, metrics

RUNS: dict[str, list[str]] = {
    "full batch": ["trainer.max_epochs=600"],
    "mini-batches, Adam, noise": [
        *("data.batch_size=16", "data.num_points=800", "data.noise=0.1", "optimizer=adam", "trainer.max_epochs=12"),
        "trainer.check_val_every_n_epoch=3",
    ],
    "dropout and a schedule": ["--config-dir", str(ROOT / "tests/stranger"), "experiment=stranger"],
    "digits": ["--config-dir", str(ROOT / "examples/digits"), "experiment=digits", "trainer.max_epochs=20"],
}


def start(
    arguments: Sequence[str], directory: Path, kill_after: float | None = None, number: int = signal.SIGKILL
) -> int:
    """Run ``python train.py`` in a process of its own, and kill it after some seconds; returns its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with open(f"{directory}.out", "ab", 0) as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            sys.argv = ["train.py", *arguments, f"hydra.run.dir={quoted(str(directory))}"]
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    if kill_after is not None:
        until = time.monotonic() + kill_after
        while time.monotonic() < until:
            if os.waitpid(child, os.WNOHANG) != (0, 0):
                return 0
            time.sleep(0.005)
        os.kill(child, number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def result(directory: Path) -> dict[str, Any]:
    """All that must be the same bit for bit: scalars, the weights of both checkpoints, the metrics but for time."""
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0}).Reload()
    weights = {
        f"{name}:{key}": value.tolist()
        for name in ("last", "best")
        for key, value in checkpoint(directory, name)["state_dict"].items()
    }
    return {
        "scalars": {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]},
        "weights": weights,
        "metrics": metrics(directory) | {"seconds": 0},
    }


def steps(directory: Path) -> list[int]:
    """The step that each start that trained went on from."""
    import json

    return [each["step"] for each in json.loads((directory / "provenance.json").read_text())["starts"]]


def survive(name: str, kills: int, where: Path, seed: int = 0) -> list[int]:
    """Kill a run as often as said before it ends, once and again; returns the steps that its starts went on from."""
    where.mkdir(parents=True, exist_ok=True)
    arguments, draw = RUNS[name], random.Random(seed)
    expected = where / "expected"
    if not expected.exists():
        assert start(arguments, expected) == 0
    began = time.monotonic()
    assert start(arguments, where / f"timed{seed}") == 0
    length = max(time.monotonic() - began, 0.5)
    done, round_, went_on = 0, 0, []
    while done < kills:
        directory = where / f"round{seed}.{round_}"
        while done < kills and start(arguments, directory, draw.uniform(0.2, length)) == -signal.SIGKILL:
            done += 1
        assert start(arguments, directory) == 0
        assert result(directory) == result(expected), f"{name}: {directory} is not what it would have been"
        went_on += steps(directory)
        round_ += 1
    return went_on


if __name__ == "__main__":
    import tempfile

    total = int(sys.argv[1]) if len(sys.argv) > 1 else 201
    with tempfile.TemporaryDirectory() as folder:
        for name in RUNS:
            went_on = survive(name, total // len(RUNS), Path(folder, name.replace(" ", "_")))
            resumed = [step for step in went_on if step]
            print(f"{name}: {total // len(RUNS)} kills; of {len(went_on)} starts {len(resumed)} went on above step 0")
