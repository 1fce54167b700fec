"""A dry run does all that a run does, on a few batches, and leaves nothing."""

import re
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.conftest import metrics, snapshot

STAGES = """
import os
import torch
from lightning import LightningDataModule, LightningModule

class Data(LightningDataModule):
    def loader(self):
        return torch.utils.data.DataLoader(torch.randn(40, 3), batch_size=4)

    train_dataloader = val_dataloader = test_dataloader = loader

class Module(LightningModule):
    def __init__(self, fail_in=None):
        super().__init__()
        self.layer, self.fail_in = torch.nn.Linear(3, 1), fail_in

    def step(self, stage, batch):
        print("stage:", stage)
        if self.fail_in == stage:
            raise RuntimeError(f"out of luck in {stage}")
        loss = self.layer(batch).square().mean()
        self.log(f"{stage}/loss", loss)
        open(os.path.join(self.logger.log_dir, f"{stage}.txt"), "w").close()
        self.logger.experiment.add_scalar(f"{stage}/own", loss, 7)
        return loss

    def training_step(self, batch, batch_idx):
        return self.step("train", batch)

    def validation_step(self, batch, batch_idx):
        self.step("val", batch)

    def test_step(self, batch, batch_idx):
        self.step("test", batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

class Untested(Module):
    test_step = LightningModule.test_step
"""


@pytest.fixture
def stages(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments that run a module which tells its stages, and writes into the directory of its logger."""
    name = f"stages_{elsewhere.name.replace('-', '_')}"
    (elsewhere / "mine/experiment").mkdir(parents=True)
    (elsewhere / f"mine/{name}.py").write_text(STAGES)
    (elsewhere / "mine/experiment/stages.yaml").write_text(
        "# @package _global_\n"
        "defaults: [override /data: null, override /model: null]\n"
        f"data: {{_target_: {name}.Data}}\nmodel: {{_target_: {name}.Module}}\n"
        "trainer: {max_epochs: 5}\n"
    )
    (elsewhere / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere / "temporary"))
    return ["--config-dir", "mine", "experiment=stages"]


def assert_nothing_is_left() -> None:
    shutil.rmtree("mine/__pycache__", ignore_errors=True)
    assert {path.name for path in Path().iterdir()} == {"mine", "temporary"}
    # torch keeps a cache there, of the whole machine, from the first time that it is imported.
    assert [path.name for path in Path("temporary").iterdir() if not path.name.startswith("torchinductor")] == []


@pytest.mark.parametrize(("value", "batches"), [("true", 1), ("3", 3)])
@pytest.mark.parametrize("directory", [[], ["hydra.run.dir=a/b"]])
@pytest.mark.draws
def test_it_trains_validates_and_tests(train, stages, capfd, value, batches, directory):
    assert train(*stages, *directory, f"trainer.fast_dev_run={value}") == 0
    out = capfd.readouterr().out
    assert re.findall(r"stage: (\w+)", out) == [stage for stage in ("train", "val", "test") for _ in range(batches)]
    assert "The dry run succeeded, and left nothing behind." in out
    assert_nothing_is_left()


@pytest.mark.parametrize("stage", ["train", "val", "test"])
@pytest.mark.parametrize("sweep", [[], ["seed=0,1"]])
def test_one_that_fails_says_so_and_leaves_nothing(train, stages, capfd, stage, sweep):
    multirun = ["-m"] if sweep else []
    assert train(*multirun, *stages, *sweep, "trainer.fast_dev_run=true", f"model.fail_in={stage}") == 1
    assert f"out of luck in {stage}" in capfd.readouterr().err
    assert_nothing_is_left()


def test_a_module_without_a_test_step_is_not_tested(train, stages, capfd):
    target = next(iter(Path("mine").glob("*.py"))).stem
    assert train(*stages, f"model._target_={target}.Untested", "trainer.fast_dev_run=true") == 0
    assert "stage: test" not in capfd.readouterr().out
    assert_nothing_is_left()


def test_a_run_in_the_directory_is_not_touched(train, stages):
    assert train(*stages, "hydra.run.dir=run") == 0
    assert train("-m", *stages, "seed=0,1", "hydra.sweep.dir=sweep") == 0
    before = snapshot(Path())
    assert train(*stages, "hydra.run.dir=run", "trainer.fast_dev_run=2") == 0
    assert train("-m", *stages, "seed=0,1,2", "hydra.sweep.dir=sweep", "trainer.fast_dev_run=2") == 0
    assert train(*stages, "hydra.run.dir=run", "trainer.fast_dev_run=2", "model.fail_in=test") == 1
    assert snapshot(Path()) == before
    assert not Path("sweep/experiment=stages,seed=2").exists()
    assert metrics(Path("run"))["epoch"] == 5


@pytest.mark.parametrize("directory", [[], ["hydra.sweep.dir=a/b"]])
def test_a_sweep_leaves_nothing(train, stages, capfd, directory):
    assert train("-m", *stages, *directory, "seed=0,1", "trainer.fast_dev_run=true") == 0
    assert capfd.readouterr().out.count("stage: test") == 2
    assert_nothing_is_left()
    assert train("-m", *stages, "trainer.fast_dev_run=true,false") == 1
    assert "trainer.fast_dev_run: all runs of a sweep are dry runs, or none is" in capfd.readouterr().err
    assert_nothing_is_left()


def test_a_search_checks_the_limits_of_its_space_and_leaves_nothing(train, stages, capfd):
    search = ["-m", *stages, "search=optuna", "hydra.sweep.dir=s"]
    space = ["seed=3,5", "trainer.gradient_clip_val=interval(0.5,1)"]
    assert train(*search, *space, "trainer.fast_dev_run=true") == 0
    out = capfd.readouterr().out
    assert out.count("stage: test") == 4
    assert "4 dry runs at the limits of the search space succeeded" in out
    assert "Best" not in out
    assert_nothing_is_left()
    assert train(*search, "model.fail_in=null,test", "trainer.fast_dev_run=true") == 1
    error = capfd.readouterr().err
    assert "1 of 2 runs failed" in error
    assert "out of luck in test" in error
    assert_nothing_is_left()
