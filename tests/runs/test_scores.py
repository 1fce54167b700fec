"""Every score of a module counts, whatever its name, and the objective says which of them compares states and runs."""

import json
import math
import re
from pathlib import Path

import pytest
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from experiment.runs import checkpoints
from experiment.runs.events import read_events
from experiment.runs.pictures import draw_pictures
from tests import faults
from tests.conftest import checkpoint, metrics
from tests.runs.test_other_modules import arguments
from tests.runs.test_run import curve

pytestmark = pytest.mark.draws

R2 = "objective={metric:val/r2,mode:max}"
OFTEN = "trainer.check_val_every_n_epoch=1"


@pytest.fixture(autouse=True)
def saves_whenever_it_can(monkeypatch):
    monkeypatch.setattr(checkpoints, "SAVING_SHARE", math.inf)


def columns(directory: Path) -> list[str]:
    """The scores in the table of hyperparameters."""
    (table,) = (
        HParamsPluginData.FromString(value.metadata.plugin_data.content).experiment
        for event in read_events(directory)
        for value in event.summary.value
        if value.tag == metadata.EXPERIMENT_TAG
    )
    return [info.name.tag for info in table.metric_infos]


def test_every_score_is_in_the_metrics_the_report_and_the_table(train, capfd):
    assert train(*arguments("Rising", OFTEN), "hydra.run.dir=run") == 0
    content = metrics(Path("run"))
    assert content["val/r2"] == pytest.approx(1 - 15**2 / 1000 - 1 / 8)
    assert content["test/calibration"] == 0.25
    assert content["val/accuracy"] is None
    scores = re.search(r"^train/loss .*$", capfd.readouterr().out, re.MULTILINE)[0]
    assert re.findall(r"(\S+) \S+(?:   |$)", scores) == [
        *("train/loss", "val/loss", "test/loss", "val/r2", "test/calibration")
    ]
    assert columns(Path("run")) == ["train/loss", "val/loss", "test/loss", "val/r2", "test/calibration"]


def test_the_default_objective_is_the_lowest_validation_loss(run):
    directory = run("optimizer.lr=30", "trainer.max_epochs=60", OFTEN, "seed=1")
    step, best = min(curve(directory, "val/loss"), key=lambda point: point[1])
    assert (metrics(directory)["best"], metrics(directory)["best_step"]) == (best, step + 1)
    assert checkpoint(directory, "best")["global_step"] == step + 1


@pytest.mark.parametrize(("objective", "step"), [(R2, 15), ("objective=val/r2", 30), ("objective=val/loss", None)])
def test_the_best_checkpoint_follows_the_objective(train, objective, step):
    assert train(*arguments("Rising", OFTEN, objective), "hydra.run.dir=run") == 0
    content = metrics(Path("run"))
    step = step or min(curve(Path("run"), "val/loss"), key=lambda point: point[1])[0] + 1
    assert content["best_step"] == checkpoint(Path("run"), "best")["global_step"] == step
    tag = "val/loss" if objective.endswith("loss") else "val/r2"
    assert content["best"] == dict(curve(Path("run"), tag))[step - 1]


def test_an_objective_without_a_stage_in_its_name_is_a_score(train, capfd):
    start = arguments("Rising", "model.name=perplexity", "objective=perplexity", OFTEN)
    assert train(*start, "hydra.run.dir=run") == 0
    content = metrics(Path("run"))
    assert content["best"] < content["perplexity"] + 0.2
    assert "perplexity 0.65" in capfd.readouterr().out
    assert "perplexity" in columns(Path("run"))


def test_a_killed_and_extended_run_keeps_its_best_value(elsewhere, monkeypatch):
    start = arguments("Rising", OFTEN, R2)
    assert faults.start(start, elsewhere / "straight") == 0
    for batch in (12, 22):
        monkeypatch.setenv("DIE_AT", str(batch))
        assert faults.start(start, elsewhere / "run") == 9
    monkeypatch.delenv("DIE_AT")
    assert faults.start([*start, "trainer.max_epochs=5"], elsewhere / "run") == 0
    assert faults.start(start, elsewhere / "run") == 0
    assert faults.result(elsewhere / "run") == faults.result(elsewhere / "straight")
    assert metrics(elsewhere / "run")["best_step"] == 15


def test_the_objective_is_part_of_what_the_run_is(train, capfd):
    assert train(*arguments("Rising"), "hydra.run.dir=run") == 0
    assert train(*arguments("Rising"), "objective=val/r2", "hydra.run.dir=run") == 1
    assert "objective: val/loss there, val/r2 here" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("module", "names", "lines"),
    [
        (
            "LightningNames",
            "train/loss, train_loss, train_loss_step, val_acc, val_loss",
            "objective=val_loss",
        ),
        (
            "Rewarded",
            "train/loss, val/reward",
            "objective=val/reward, or if higher is better 'objective={metric:val/reward,mode:max}'",
        ),
        ("Nameless", "train/loss", "objective=train/loss"),
    ],
)
def test_a_run_without_its_objective_says_so_once_and_names_what_there_is(train, capfd, module, names, lines):
    start = arguments(module, OFTEN)
    for epochs in (3, 6):
        assert train(*start, "hydra.run.dir=run", f"trainer.max_epochs={epochs}") == 0
        captured = capfd.readouterr()
        message = "objective=val/loss: validation logs no such score, so best.ckpt will be the last state."
        assert (captured.out + captured.err).count(message) == 1
        assert f"What is logged: {names}. To choose one: {lines}" in captured.err
        content = metrics(Path("run"))
        assert (content["status"], content["best"], content["best_step"]) == ("finished", None, None)
        assert checkpoint(Path("run"), "best")["global_step"] == content["step"] == 5 * epochs
    assert Path("run/train.log").read_text().count(message) == 2  # one a start


def test_lightnings_own_names_are_scores_and_losses(train, capfd):
    assert train(*arguments("LightningNames", "objective=val_loss"), "hydra.run.dir=run") == 0
    assert capfd.readouterr().err == ""
    content = metrics(Path("run"))
    assert content["best"] <= content["val_loss"]
    assert {"train_loss_epoch", "val_acc", "test_loss"} < content.keys()


def test_a_start_that_finds_nothing_left_to_train_has_the_same_scores(elsewhere):
    start = arguments("LightningNames", "objective=train_loss", OFTEN)
    assert faults.start(start, elsewhere / "run") == 0
    result = faults.result(elsewhere / "run")
    assert "train_loss" in result["metrics"]
    (elsewhere / "run/metrics.json").unlink()
    assert faults.start(start, elsewhere / "run") == 0
    assert faults.result(elsewhere / "run") == result


def test_the_last_state_is_the_best_where_validation_never_gives_the_objective(train):
    assert train(*arguments("Regression", "objective=test/loss"), "hydra.run.dir=run") == 0
    content = metrics(Path("run"))
    assert (content["best"], content["best_step"]) == (content["test/loss"], content["step"])
    assert checkpoint(Path("run"), "best")["global_step"] == content["step"]


def test_several_validation_loaders_are_scores_of_their_own(train):
    start = [*arguments("OfTwoValidations"), "data._target_=others.TwoValidations"]
    assert train(*start, "objective=val/loss/dataloader_idx_1", "hydra.run.dir=run") == 0
    content = metrics(Path("run"))
    assert content["val/loss/dataloader_idx_1"] == pytest.approx(content["val/loss/dataloader_idx_0"] + 1)
    assert content["best"] >= 1
    assert columns(Path("run"))[1:] == ["test/loss", "val/loss/dataloader_idx_0", "val/loss/dataloader_idx_1"]


def test_every_loss_is_drawn_and_nothing_empty(train, monkeypatch):
    drawn = {}

    def draw(curves):
        drawn["tags"] = sorted(curves)
        return original(curves)

    original = draw_pictures.__globals__["draw_losses"]
    monkeypatch.setitem(draw_pictures.__globals__, "draw_losses", draw)
    assert train(*arguments("LightningNames"), "hydra.run.dir=run") == 0
    assert drawn["tags"] == ["test_loss", "train/loss", "train_loss_epoch", "train_loss_step", "val_loss"]
    assert train(*arguments("NoLoss"), "hydra.run.dir=none") == 0
    assert not Path("none/loss.png").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("objective=3", "objective=3: a word such as val/loss or a group of keys"),
        ("objective=null", "objective=null: a word such as val/loss or a group of keys"),
        ("objective={metric:val/r2,mode:up}", "objective.mode=up: one of min, max"),
        ("objective={mode:max}", "objective.metric is missing"),
        ("objective=status", "objective=status: a word such as val/loss or a group of keys (metrics.json has another"),
        ("objective.mode=max", "objective.mode=max: there is no such key"),
    ],
)
def test_an_objective_that_is_none_is_one_message(train, capfd, elsewhere, override, message):
    assert train(override, "hydra.run.dir=run") == 1
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert list(elsewhere.iterdir()) == []


def test_a_damaged_score_is_reported(train, run, capfd):
    directory = run("trainer.max_epochs=2")
    content = metrics(directory) | {"val_loss": "low"}
    (directory / "metrics.json").write_text(json.dumps(content))
    assert train("trainer.max_epochs=2", "hydra.run.dir=run") == 1
    assert "is damaged: val_loss is no number" in capfd.readouterr().err
