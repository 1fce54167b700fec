"""Files that a model or data names count by their content, wherever they lie."""

import shutil
from pathlib import Path

import pytest

from experiment.configuration.errors import ConfigurationError
from experiment.runs.directory import RunDirectory
from experiment.runs.inputs import check_inputs, recorded_inputs
from experiment.runs.objects import load_recorded
from tests.conftest import checkpoint, command, metrics, snapshot
from tests.points.test_csv_data import write
from tests.runs.test_run import curve

OWN = """
import pathlib

import torch
from lightning.pytorch import LightningDataModule, LightningModule


class Numbers(LightningDataModule):
    input_files = ("numbers", "more")

    def __init__(self, numbers, more=None):
        super().__init__()
        self.numbers = [torch.tensor([float(text)]) for text in pathlib.Path(numbers).read_text().split()]

    def train_dataloader(self):
        return torch.utils.data.DataLoader(self.numbers, batch_size=4)


class Line(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)
"""


@pytest.fixture
def first(run) -> Path:
    """A finished run of a CSV."""
    write(40)
    return run("data=csv", "data.path=points.csv", "trainer.max_epochs=20", name="first")


def test_the_same_content_elsewhere_is_the_same_run(first, train, capfd):
    Path("other").mkdir()
    shutil.move("points.csv", "other/renamed.csv")
    before = snapshot(first)
    moved = ["data=csv", "data.path=other/renamed.csv", "hydra.run.dir=first"]
    assert train(*moved, "trainer.max_epochs=20") == 0
    assert "Nothing is left to train." in capfd.readouterr().out
    assert snapshot(first) == before
    assert train(*moved, "trainer.max_epochs=30") == 0
    assert metrics(first)["step"] == 30
    assert recorded_inputs(RunDirectory(first))["data.path"]["path"].endswith("other/renamed.csv")


def test_another_content_is_another_run_though_the_path_is_the_same(first, train, capfd):
    write(41)
    before = snapshot(first)
    for epochs in (20, 30):
        assert train("data=csv", "data.path=points.csv", f"trainer.max_epochs={epochs}", "hydra.run.dir=first") == 1
        error = capfd.readouterr().err
        assert "first holds a run of another configuration:" in error
        assert "data.path=points.csv: other content than that which the run started from" in error
    assert snapshot(first) == before


def test_the_run_that_is_continued_equals_the_longer_one(first, run):
    longer = ["data=csv", "data.path=points.csv", "data.batch_size=7", "trainer.max_epochs=12"]
    run(*longer[:3], "trainer.max_epochs=5", name="extended")
    run(*longer, name="extended")
    run(*longer, name="straight")
    assert curve(Path("extended")) == curve(Path("straight"))
    assert checkpoint(Path("extended"))["CsvDataModule"] == checkpoint(Path("straight"))["CsvDataModule"]


@pytest.mark.parametrize("moved", [False, True])
def test_a_run_is_repeated_and_drawn_from_another_directory(first, monkeypatch, capfd, moved):
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    if moved:
        write(41, path="../points.csv")
    for status in (command("repeat", "../first", "again"), command("draw", "../first")):
        assert "other content than that" in str(status) if moved else status == 0
    assert moved or "bit-identical" in capfd.readouterr().out
    assert Path("again").exists() is not moved


def test_a_run_without_its_file_is_one_message(first, train, capfd):
    Path("points.csv").unlink()
    before = snapshot(first)
    assert train("data=csv", "data.path=points.csv", "trainer.max_epochs=30", "hydra.run.dir=first") == 1
    assert "data.path=points.csv: there is no such file" in capfd.readouterr().err
    assert "points.csv: there is no such file" in str(command("repeat", "first", "again"))
    assert not Path("again").exists()
    assert snapshot(first) == before


def test_a_sweep_counts_the_content_too(train, capfd):
    write(40, path="a.csv")
    write(41, path="b.csv")
    sweep = ["-m", "data=csv", "data.path=a.csv,b.csv", "trainer.max_epochs=3", "hydra.sweep.dir=s"]
    assert train(*sweep) == 0
    before = snapshot(Path("s/data.path=a.csv"))
    write(42, path="b.csv")
    assert train(*sweep) == 1
    assert "data.path=b.csv: other content" in capfd.readouterr().err
    assert snapshot(Path("s/data.path=a.csv")) == before
    assert train(*sweep[:2], "data.path=a.csv,c.csv", *sweep[3:]) == 1
    assert "data.path=c.csv: there is no such file" in capfd.readouterr().err
    assert not Path("s/data.path=c.csv").exists()


def test_data_of_ones_own_names_its_files(train, capfd):
    Path("own.py").write_text(OWN)
    Path("numbers.txt").write_text("1 2 3 4 5 6 7 8")
    own = ["--config-dir", ".", "data={_target_:own.Numbers,numbers:numbers.txt}", "model={_target_:own.Line}"]
    own += ["~optimizer", "trainer.max_epochs=2", "hydra.run.dir=own"]
    assert train(*own) == 0, capfd.readouterr().err
    inputs = recorded_inputs(RunDirectory(Path("own")))
    assert {key: Path(each["path"]).name for key, each in inputs.items()} == {"data.numbers": "numbers.txt"}
    Path("numbers.txt").write_text("1 2 3 4 5 6 7 9")
    assert train(*own) == 1
    assert "data.numbers=numbers.txt: other content" in capfd.readouterr().err
    Path("numbers.txt").write_text("1 2 three")
    assert train(*own[:-1], "hydra.run.dir=other") == 1
    assert "data: could not convert string to float: 'three'" in capfd.readouterr().err
    assert not Path("other").exists()


@pytest.mark.parametrize("inputs", [[], {"data.path": 3}, {"seed": {}, "a[": {}, "seed.x": {}, "data": {"path": "x"}}])
def test_what_is_recorded_of_them_may_be_anything(short_run, inputs):
    directory = RunDirectory(short_run)
    directory.write_json("provenance.json", directory.provenance | {"inputs": inputs})
    assert load_recorded(directory, False).seed == 0


def test_a_recorded_path_that_leads_elsewhere_is_refused(first):
    directory = RunDirectory(first)
    inputs = {"data.path": {"path": "/dev/zero", "sha256": ""}}
    directory.write_json("provenance.json", directory.provenance | {"inputs": inputs})
    Path("points.csv").unlink()
    config = load_recorded(directory, False)
    with pytest.raises(ConfigurationError, match="is no file"):
        check_inputs(config, ["data.path"])
