"""What the tests share: the real entry point, run in this process, and the plain loop as an oracle."""

import hashlib
import importlib
import json
import logging
import math
import os
import runpy
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run side by side, one a core

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from matplotlib.figure import Figure
from torch import nn

from experiment.configuration import own_code
from experiment.runs import checkpoints, training
from experiment.runs.loss import LossMonitor

ROOT = Path(__file__).parent.parent
OF_THE_LINE = ("test/line_angle", "test/line_disagreement", "test/line_offset")  # scores of data=line alone


@contextmanager
def handlers_restored() -> Iterator[None]:
    """Restore the handlers of the log: those that Hydra adds write to the streams of one test."""
    root = logging.getLogger()
    handlers = [*root.handlers]
    try:
        yield
    finally:
        root.handlers = handlers


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Each test works in an empty directory of its own, and leaves neither named directories nor modules of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own_code, "_named", [])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with handlers_restored():
        yield tmp_path
    for name, module in [*sys.modules.items()]:
        if str(vars(module).get("__file__")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes most of a short run's time, unless the test is marked ``draws``.

    Runs then draw no pictures, in this process and in those that are forked from it; sweeps and commands leave theirs
    blank.
    """
    if request.node.get_closest_marker("draws") is None:
        monkeypatch.setattr(training, "draw_pictures", lambda *_: None)
        monkeypatch.setattr(Figure, "draw", lambda *_: None)


def status_of(program: Callable[[], object], *argv: str) -> int | str:
    """The exit status of a program that is started in this process, or the message that it ends with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [*argv])
        try:
            program()
        except SystemExit as stop:
            return stop.code or 0
    return 0


@pytest.fixture
def train() -> Callable[..., int]:
    """``python train.py …``, in this process; returns the exit status."""
    return _train


def _train(*arguments: str) -> int:
    status = status_of(partial(runpy.run_path, str(ROOT / "train.py"), run_name="__main__"), "train.py", *arguments)
    return status if isinstance(status, int) else 1


def command(name: str, *arguments: str) -> int | str:
    """``python -m experiment.<name> …``, in this process: its exit status, or the message that it ends with."""
    return status_of(importlib.import_module(f"experiment.{name}").main, name, *arguments)


@pytest.fixture
def run(train: Callable[..., int]) -> Callable[..., Path]:
    """One run that succeeds, in the directory ``name``."""

    def start(*overrides: str, name: str = "run") -> Path:
        assert train(*overrides, f"hydra.run.dir={name}") == 0
        return Path(name)

    return start


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of five epochs, for ``short_run`` to copy."""
    directory = tmp_path_factory.mktemp("shared")
    with chdir(directory), handlers_restored():
        assert _train("trainer.max_epochs=5", "hydra.run.dir=run") == 0
    return directory / "run"


@pytest.fixture
def short_run(elsewhere: Path, shared_run: Path) -> Path:
    """A finished run of five epochs in the directory ``run``, for tests of what is done with a run afterwards."""
    shutil.copytree(shared_run, "run")
    return Path("run")


@pytest.fixture
def kill_after(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let each process that is forked from this one kill itself after a batch of the n-th run that it trains.

    Or send itself another signal. The batches of a run are counted from 0, those before a resume too; ``None``: after
    none. A state is saved after each batch if ``checkpoint.every_n_seconds=0``.
    """
    original = LossMonitor.on_train_batch_end
    fatal: tuple[int | None, int] = (None, 1)
    sent = signal.SIGKILL
    trainers: list[Trainer] = []

    def on_train_batch_end(self: LossMonitor, trainer: Trainer, *arguments: Any) -> None:
        if trainer not in trainers:
            trainers.append(trainer)
        if (trainer.fit_loop.total_batch_idx, len(trainers)) == fatal:
            os.kill(os.getpid(), sent)
        original(self, trainer, *arguments)

    def arm(batch: int | None, run: int = 1, number: signal.Signals = signal.SIGKILL) -> None:
        nonlocal fatal, sent
        fatal, sent = (batch, run), number
        trainers.clear()

    monkeypatch.setattr(checkpoints, "SAVING_SHARE", math.inf)
    monkeypatch.setattr(LossMonitor, "on_train_batch_end", on_train_batch_end)
    return arm


class Reference(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(2, 4)
        self.fc2 = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(x))))


def plain_loop(
    seed: int = 0, num_points: int = 100, line: tuple[float, ...] = (1, 1, 0), lr: float = 0.1, epochs: int = 1000
) -> tuple[list[float], nn.Module]:
    """The experiment without Lightning, Hydra or this project: the losses before each step, and the network."""
    np.random.seed(seed)
    torch.manual_seed(seed)
    x = np.random.rand(num_points, 2) * 2 - 1
    y = line[0] * x[:, 0] + line[1] * x[:, 1] + line[2] > 0
    inputs, targets = torch.FloatTensor(x), torch.FloatTensor(y.astype(int)).reshape(-1, 1)
    net = Reference()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        loss = nn.functional.binary_cross_entropy(net(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, net


def metrics(directory: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not strict JSON")

    return json.loads((directory / "metrics.json").read_text(), parse_constant=refuse)


def checkpoint(directory: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(directory / "checkpoints" / f"{name}.ckpt", weights_only=True)


def snapshot(directory: Path) -> dict[str, tuple[str, int]]:
    """The content and the time of change of every file."""
    return {
        str(path.relative_to(directory)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
