"""Every ``trainer.precision`` that a CPU has works all the way through; any other is refused before training."""

from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT, checkpoint, command, metrics
from tests.runs.test_run import curve

PRECISIONS = {
    **{"32-true": torch.float32, "64-true": torch.float64, "16-true": torch.float16, "bf16-true": torch.bfloat16},
    **{"bf16-mixed": torch.float32, "16-mixed": torch.float32},
}
POINTS = ("data.batch_size=30",)
DIGITS = ("--config-dir", str(ROOT / "examples/digits"), "experiment=digits")


@pytest.mark.filterwarnings("ignore:You passed .*16-mixed")  # on a CPU, Lightning takes bfloat16
@pytest.mark.parametrize("problem", [POINTS, DIGITS], ids=["points", "digits"])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.draws
def test_a_precision_works_all_the_way_through(run, precision, problem):
    optimizer = "sgd" if precision == "16-true" else "adam"  # in float16, the eps of Adam is 0
    overrides = (*problem, f"optimizer={optimizer}", f"trainer.precision={precision}")
    directory = run(*overrides, "trainer.max_epochs=2")
    run(*overrides, "trainer.max_epochs=4")
    options = problem[:2] if problem is DIGITS else ()
    assert command("repeat", "run", "again", *options) == 0
    again = Path("again")  # never stopped, and the other was extended
    weights = checkpoint(directory)["state_dict"]
    assert {weight.dtype for weight in weights.values()} == {PRECISIONS[precision]}
    assert all(weight.equal(checkpoint(again)["state_dict"][key]) for key, weight in weights.items())
    assert metrics(directory) | {"seconds": 0} == metrics(again) | {"seconds": 0}
    for tag in ("train/loss", "val/loss", *(["error/fc1", "update_ratio/fc1.weight"] if problem is POINTS else [])):
        assert curve(directory, tag) == curve(again, tag)
    pictures = {path.name for path in directory.glob("*.png")}
    assert {"loss.png", "backpropagation.png"} <= pictures
    for path in directory.glob("*.png"):
        path.unlink()
    assert command("draw", "run", *options) == 0
    assert {path.name for path in directory.glob("*.png")} == pictures
    if problem is POINTS:
        assert command("explain", "run", "step=1") == 0


@pytest.mark.parametrize("precision", ["transformer-engine", "transformer-engine-float16", "17"])
def test_another_precision_is_refused_before_training(train, capfd, precision):
    assert train(f"trainer.precision={precision}", "hydra.run.dir=run") == 1
    error = capfd.readouterr().err
    assert error.startswith(f"The configuration cannot be run:\n  trainer.precision={precision}: ")
    assert len(error.splitlines()) == 2
    assert not Path("run").exists()
