"""A GPU, or another accelerator, where the machine has one: the same run as on the CPU, to float32's accuracy."""

import json
from pathlib import Path

import pytest
import torch

from experiment.runs.logger import read_scalars
from tests.conftest import checkpoint, metrics, plain_loop

pytestmark = [
    pytest.mark.skipif(not torch.accelerator.is_available(), reason="this machine has no accelerator"),
    pytest.mark.draws,
]


@pytest.mark.parametrize("overrides", [[], ["trainer.strategy=ddp"], ["trainer=ddp"]])
def test_the_reference_is_the_one_of_the_cpu(run, overrides):
    directory = run(*overrides)
    assert json.loads((directory / "provenance.json").read_text())["device"] != "cpu"
    losses = [loss for _, loss in read_scalars(directory)["train/loss"]]
    differences = [abs(one - other) for one, other in zip(losses, plain_loop()[0], strict=True)]
    assert max(differences) < 1e-4


def test_a_run_continues_on_the_other_device_and_back(run):
    batches = ["data.num_points=200", "data.batch_size=32", "optimizer=adam"]
    run(*batches, "trainer.accelerator=cpu", "trainer.max_epochs=9", name="cpu")
    for accelerator, epochs in (("auto", 3), ("cpu", 6), ("auto", 9)):
        run(*batches, f"trainer.accelerator={accelerator}", f"trainer.max_epochs={epochs}", name="mixed")
    one, other = (checkpoint(Path(name))["state_dict"] for name in ("cpu", "mixed"))
    assert all(torch.allclose(one[key].cpu(), other[key].cpu(), 1e-3, 1e-4) for key in one)
    assert metrics(Path("mixed"))["val/loss"] == pytest.approx(metrics(Path("cpu"))["val/loss"], 1e-3)


def test_a_run_on_it_resumes_exactly(run):
    batches = ["data.num_points=200", "data.batch_size=32", "data.noise=0.1"]
    run(*batches, "trainer.max_epochs=8", name="straight")
    for epochs in (3, 8):
        run(*batches, f"trainer.max_epochs={epochs}", name="extended")
    one, other = (checkpoint(Path(name))["state_dict"] for name in ("straight", "extended"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert read_scalars(Path("straight")) == read_scalars(Path("extended"))
