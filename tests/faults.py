"""A campaign of faults, against runs that must come out as if nothing had happened.

``python -m tests.faults [KILLS] [WRONG_INPUTS]``

Prints how many of each kind were survived. Each start is a real process, forked from this one so that it need not
import torch anew.
"""

import json
import math
import os
import random
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jsonschema
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightning.pytorch import Trainer  # noqa: F401
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiment.configuration import models, problems
from experiment.configuration.errors import ConfigurationError
from experiment.configuration.keys import key_schemas
from experiment.configuration.overrides import quote_for_hydra
from experiment.runs import training as _training  # noqa: F401
from experiment.runs.checkpoint_files import load_checkpoint
from tests import hostile
from tests.conftest import ROOT, checkpoint, metrics

# JSON alone takes 3.0 for a whole number.
Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int),
)
RUNS: dict[str, list[str]] = {
    "full batch": ["trainer.max_epochs=600", "checkpoint.every_n_seconds=0.1"],
    "mini-batches, Adam, noise": [
        *("data.batch_size=16", "data.num_points=800", "data.noise=0.1", "optimizer=adam", "trainer.max_epochs=12"),
        *("trainer.check_val_every_n_epoch=3", "trainer.accumulate_grad_batches=3", "checkpoint.every_n_seconds=0.1"),
    ],
    "dropout and a schedule": ["--config-dir", str(ROOT / "tests/stranger"), "experiment=stranger"],
    "digits": ["--config-dir", str(ROOT / "examples/digits"), "experiment=digits", "trainer.max_epochs=20"],
}


def fork(arguments: Sequence[str], output: Path) -> int:
    """Start ``python train.py`` in a process of its own, which prints to a file; returns its id."""
    if child := os.fork():
        return child
    status = 1
    try:
        with open(output, "ab", 0) as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        sys.argv = ["train.py", *arguments]
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # of a full disk
                stream.flush()
        os._exit(status)


def wait(child: int) -> int:
    """Wait for a process that was forked; returns its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def start(
    arguments: Sequence[str],
    directory: Path,
    kill_after: float | None = None,
    number: int = signal.SIGKILL,
    training: bool = False,
) -> int:
    """Run ``python train.py`` in a process of its own; returns its exit status.

    It is killed after some seconds, of ``training`` if so, if it has not come to its end by then.
    """
    begun = len(steps(directory))
    child = fork([*arguments, f"hydra.run.dir={quote_for_hydra(str(directory))}"], Path(f"{directory}.out"))
    if kill_after is not None:
        until = time.monotonic() + kill_after
        while time.monotonic() < until:
            if os.waitpid(child, os.WNOHANG) != (0, 0):
                return 0
            time.sleep(0.005)
            if training and len(steps(directory)) == begun:
                until = time.monotonic() + kill_after
        os.kill(child, number)
    return wait(child)


def assert_resumes_exactly(
    arguments: Sequence[str], place: Path, kill_after: Callable[..., None], batches: Sequence[int]
) -> None:
    """A run that is killed after each of these batches, and resumed, equals one that is never killed, bit for bit.

    Args:
        arguments: of ``train.py``.
        place: a directory for the directories of both runs.
        kill_after: the fixture of that name.
        batches: counted anew by each start.
    """
    assert start(arguments, place / "straight") == 0
    for batch in batches:
        kill_after(batch)
        assert start(arguments, place / "killed") == -signal.SIGKILL
    kill_after(None)
    assert start(arguments, place / "killed") == 0
    began = steps(place / "killed")
    assert began == sorted({*began}), began
    assert len(began) == len(batches) + 1
    assert result(place / "killed") == result(place / "straight")


def result(directory: Path) -> dict[str, Any]:
    """All that must be the same bit for bit: scalars, the weights of both checkpoints, the metrics but for time."""
    folders = sorted({path.parent for path in directory.rglob("events.out.tfevents.*")})
    readers = [EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload() for folder in folders]
    weights = {
        f"{name}:{key}": value.tolist()
        for name in ("last", "best")
        for key, value in checkpoint(directory, name)["state_dict"].items()
    }
    return {
        "scalars": {
            (tag if folder == directory else f"{folder.name}/{tag}"): [(e.step, e.value) for e in events.Scalars(tag)]
            for folder, events in zip(folders, readers, strict=True)
            for tag in events.Tags()["scalars"]
        },
        "weights": weights,
        "metrics": metrics(directory) | {"seconds": 0},
    }


def steps(directory: Path) -> list[int]:
    """The step that each start that trained went on from."""
    record = directory / "provenance.json"
    return [each["step"] for each in json.loads(record.read_text())["starts"]] if record.exists() else []


@dataclass
class Survived:
    """What came of killing a run: kills, those of them while it trained, and starts that went on from a checkpoint."""

    kills: int = 0
    while_training: int = 0
    went_on: int = 0


def survive(name: str, kills: int, where: Path, seed: int = 0) -> Survived:
    """Kill a run as often as said before it ends, once and again: it always goes on from where it was saved."""
    where.mkdir(parents=True, exist_ok=True)
    arguments, draw = RUNS[name], random.Random(seed)
    expected = where / "expected"
    if not expected.exists():
        assert start(arguments, expected) == 0
    length = metrics(expected)["seconds"]
    survived, round_ = Survived(), 0
    while survived.kills < kills:
        directory = where / f"round{seed}.{round_}"
        while True:
            begun, last = steps(directory), directory / "checkpoints/last.ckpt"
            saved = checkpoint(directory)["global_step"] if last.exists() else 0
            training = draw.random() < 0.8
            moment = draw.uniform(0, length / 2) if training else draw.uniform(0.2, 1.5)
            status = start(arguments, directory, moment if survived.kills < kills else None, training=training)
            if new := steps(directory)[len(begun) :]:
                assert new == [saved], f"{name}: {directory} went on from {new}, and {saved} was saved"
                survived.went_on += saved > 0
            if status != -signal.SIGKILL:
                break
            survived.kills += 1
            survived.while_training += bool(new)
        assert status == 0
        assert result(directory) == result(expected), f"{name}: {directory} is not what it would have been"
        round_ += 1
    return survived


def truncate(saved: Path) -> int:
    """Truncate a checkpoint at every tenth byte, and see that it is seen; returns how often."""
    whole = saved.read_bytes()
    assert load_checkpoint(saved) is not None
    lengths = range(0, len(whole), 10)
    for length in lengths:
        saved.write_bytes(whole[:length])
        assert load_checkpoint(saved) is None, length
    saved.write_bytes(whole)
    return len(lengths)


def flip(saved: Path, flips: int) -> int:
    """Flip single bits all over a checkpoint, and see that it is seen or did no harm; returns how often it was seen."""
    whole, draw, seen = saved.read_bytes(), random.Random(0), 0
    expected = repr(load_checkpoint(saved))
    for _ in range(flips):
        flipped = bytearray(whole)
        flipped[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        saved.write_bytes(flipped)
        try:
            content = load_checkpoint(saved)
        except ConfigurationError:
            content = None
        seen += content is None
        assert content is None or repr(content) == expected
    saved.write_bytes(whole)
    return seen


def fill_up(where: Path, kilobytes: int) -> None:
    """Run on a file system that is too small, which is told, and go on when it is larger, as if nothing had been."""
    small = where / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(small)], check=True)
    arguments = ["trainer.max_epochs=2500", "checkpoint.every_n_seconds=0.1"]
    try:
        assert start(arguments, small / "run") == 1
        out = small / "run.out"
        assert not out.exists() or "Traceback" not in out.read_text()
        subprocess.run(["mount", "-o", "remount,size=16m", str(small)], check=True)
        assert start(arguments, small / "run") == 0
        assert start(arguments, where / "straight") == 0
        assert result(small / "run") == result(where / "straight")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def wrong_overrides() -> st.SearchStrategy[str]:
    """Overrides of one key of the schema each, with a value that its type or its range does not allow."""
    values = st.one_of(
        st.integers(-(10**30), 10**30),
        st.floats(allow_nan=True, allow_infinity=True),
        st.sampled_from(
            ["fast", "[]", "[x]", "[1,2]", "[0,0,1]", "[nan,1,1]", "{a:1}", "null", "true", "''", "'7'", "'ü'"]
        ),
        st.lists(st.integers(-5, 5), max_size=4).map(lambda each: str(each).replace(" ", "")),
    )
    groups = {
        "data": problems.PROBLEMS[0],
        "model": models.PointsClassifierConfig,
        "checkpoint": models.CheckpointConfig,
        "trainer": models.TrainerConfig,
    }
    fields = {f"{group}.{key}": field for group, model in groups.items() for key, field in key_schemas(model).items()}
    fields |= {
        "seed": key_schemas(models.RunConfig)["seed"],
        "optimizer.lr": key_schemas(models.OptimizerConfig)["lr"],
    }
    checked = {key: Validator(field) for key, field in fields.items() if not key.endswith("_")}

    def is_wrong(pair: tuple[str, Any]) -> bool:
        key, value = pair
        plain = OverridesParser.create().parse_override(f"x={value}").value()
        plain = plain.text if isinstance(plain, QuotedString) else plain
        return not checked[key].is_valid(plain) or (isinstance(plain, float) and not math.isfinite(plain))

    return st.tuples(st.sampled_from(sorted(checked)), values).filter(is_wrong).map(lambda pair: f"{pair[0]}={pair[1]}")


def assert_rejected(override: str, where: Path) -> None:
    """See that a wrong override is told in one message that names it, without a traceback, and leaves nothing."""
    where.mkdir(exist_ok=True)
    assert start([override], where / "run") == 1, override
    told = Path(where, "run.out").read_text()
    assert override.partition("=")[0] in told, (override, told)
    assert "Traceback" not in told, (override, told)
    assert not Path(where, "run").exists(), override
    Path(where, "run.out").unlink()


if __name__ == "__main__":
    kills, wrong = (int(number) for number in (*sys.argv[1:], *("200", "500")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder:
        for name in RUNS:
            survived = survive(name, kills // len(RUNS), Path(folder, name.replace(" ", "_")))
            print(
                f"{name}: {survived.kills} kills, {survived.while_training} of them while it trained; "
                f"{survived.went_on} starts went on from a checkpoint; all bit-identical",
                flush=True,
            )
        saved = Path(folder, "full_batch/expected/checkpoints/last.ckpt")
        print(f"truncations: {truncate(saved)}, each seen", flush=True)
        print(f"flipped bits: 2000, {flip(saved, 2000)} of them seen, the others without harm", flush=True)
        if sys.platform == "linux" and os.geteuid() == 0:
            sizes = (60, 100, 140, 180, 220)
            for size in sizes:
                Path(folder, str(size)).mkdir()
                fill_up(Path(folder, str(size)), size)
            print(f"full disks: {len(sizes)}, each told, and gone on with when there was room", flush=True)
        small = Path(folder, "hostile_run")
        assert start(["trainer.max_epochs=5"], small) == 0
        print(f"hostile files: {hostile.survive(small, Path(folder, 'hostile'))} commands, none harmful", flush=True)
        tried = set()

        @settings(max_examples=wrong, database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @given(wrong_overrides())
        def each(override: str) -> None:
            assert_rejected(override, Path(folder, "wrong"))
            tried.add(override)

        each()
        print(f"wrong input: {len(tried)} overrides, each told in one message, none with a traceback or a directory")
