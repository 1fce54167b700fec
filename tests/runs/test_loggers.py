"""The loggers that a configuration names: each has the run's configuration, all its scalars, and its end."""

import csv
import json
import signal
from pathlib import Path

import pytest
import yaml

from experiment.runs.directory import RunDirectory
from experiment.runs.logger import read_scalars
from tests import faults
from tests.conftest import ROOT, checkpoint, command, metrics, snapshot

LOGGERS = "lightning.pytorch.loggers"
CSV = f"loggers.csv._target_={LOGGERS}.CSVLogger"
TENSORBOARD = f"loggers.board._target_={LOGGERS}.TensorBoardLogger"
STRANGER = ["--config-dir", str(ROOT / "tests/stranger")]
RECORDER = [*STRANGER, "loggers.own._target_=recorder.Recorder", "loggers.own.path=calls"]
SHORT = ["trainer.max_epochs=20", "trainer.check_val_every_n_epoch=7"]


def rows(directory, version=0):
    with open(directory / f"lightning_logs/version_{version}/metrics.csv", newline="") as file:
        return [*csv.DictReader(file)]


def file(directory):
    return (directory / "lightning_logs/version_0/metrics.csv").read_bytes()


def calls(*kinds, path="calls"):
    made = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return [each for each in made if each[1] in kinds]


def configurations():
    """Those of runs; Lightning logs the hyperparameters of the module too."""
    return [call for call in calls("configuration") if "trainer" in call[2]]


def in_pairs(rows):
    return sorted((tag, int(row["step"]), float(row[tag])) for row in rows for tag in row if row[tag] and "/" in tag)


def test_every_scalar_of_tensorboard_is_in_every_logger(run):
    directory = run(*RECORDER, CSV, TENSORBOARD, *SHORT)
    expected = sorted((tag, *pair) for tag, curve in read_scalars(directory).items() for pair in curve)
    assert {"train/loss", "val/loss", "test/accuracy", "error/fc1"} <= {tag for tag, _, _ in expected}
    assert in_pairs(rows(directory)) == expected
    recorded = [{**content, "step": step} for _, _, content, step in calls("metrics")]
    assert in_pairs([{tag: str(value) for tag, value in row.items()} for row in recorded]) == expected
    curves = read_scalars(directory / "lightning_logs/version_1")
    assert sorted((tag, *pair) for tag in curves if "/" in tag for pair in curves[tag]) == expected


def test_a_logger_has_the_configuration_without_that_of_loggers(run):
    directory = run(*RECORDER, CSV, *SHORT, "optimizer.lr=0.2")
    ((_, _, content, _),) = configurations()
    assert content["optimizer"]["lr"] == content["model"]["optimizer"]["lr"] == 0.2
    assert "loggers" not in content
    written = yaml.safe_load((directory / "lightning_logs/version_0/hparams.yaml").read_text())
    assert {key: written[key] for key in content} == content


KILLED = {
    "points": ["trainer.max_epochs=600", "checkpoint.every_n_seconds=0.1", "trainer.log_every_n_steps=90"],
    "a rate that float32 cannot hold": [
        *STRANGER,
        "experiment=stranger",
        "callbacks.rate._target_=lightning.pytorch.callbacks.LearningRateMonitor",
    ],
}


@pytest.mark.parametrize("name", KILLED)
def test_a_killed_run_has_the_files_of_one_that_was_never_killed(elsewhere, name):
    arguments = [*KILLED[name], CSV, TENSORBOARD, "loggers.csv.flush_logs_every_n_steps=7"]
    straight = elsewhere / "straight"
    assert faults.start(arguments, straight) == 0
    for moment in (0.3, 0.5, 0.2, 0.8, 0.4, 1.2):
        killed = elsewhere / f"killed after {moment}"
        for _ in range(3):
            faults.start(arguments, killed, moment, training=True)
        assert faults.start(arguments, killed) == 0
        if any(0 < step < metrics(killed)["step"] for step in faults.steps(killed)):
            break
    else:
        pytest.fail("No kill came between a checkpoint and the end of training.")
    assert file(killed) == file(straight)
    assert faults.result(killed) == faults.result(straight)  # the second TensorBoard log too
    assert [path.name for path in sorted(killed.glob("lightning_logs/*"))] == ["version_0", "version_1"]


@pytest.mark.parametrize("log", ["true", "false"])
def test_an_extended_run_has_the_csv_of_a_longer_one(run, log):
    arguments = [CSV, "trainer.check_val_every_n_epoch=7", f"trainer.logger={log}"]
    run(*arguments, "trainer.max_epochs=20", name="extended")
    run(*arguments, "trainer.max_epochs=31", name="extended")
    run(*arguments, "trainer.max_epochs=31", name="straight")
    assert file(Path("extended")) == file(Path("straight"))
    assert metrics(Path("extended"))["step"] == 31


def test_a_csv_that_lost_rows_is_reported_and_continued(run, capfd):
    directory = run(CSV, "trainer.max_epochs=10")
    path = directory / "lightning_logs/version_0/metrics.csv"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    run(CSV, "trainer.max_epochs=12")
    assert f"{path} has 2 of the 11 rows up to the checkpoint." in (directory / "train.log").read_text()
    assert [row["step"] for row in rows(directory) if row["train/loss"]] == ["0", "10", "11"]


def test_a_logger_is_given_its_run_again_and_nothing_before_the_first_step(run, monkeypatch):
    from experiment.points.classifier import PointsClassifier
    from tests.stranger.recorder import Chatty

    monkeypatch.setattr(PointsClassifier, "on_train_start", Chatty.on_train_start, raising=False)
    directory = run(*RECORDER, "trainer.max_epochs=10")
    run(*RECORDER, "trainer.max_epochs=15")
    made = calls("metrics")
    assert {run_id for run_id, *_ in made} == {"run-0"}
    assert [step for _, _, content, step in made if "train/loss" in content] == [*range(15)]
    assert len([content for _, _, content, _ in made if "starts" in content]) == 1
    record = {"own": {"_target_": "recorder.Recorder", "version": "run-0"}}
    assert json.loads((directory / "loggers.json").read_text()) == record


def test_a_service_that_refuses_a_changed_configuration_keeps_the_first(run):
    directory = run(*RECORDER, "trainer.max_epochs=10")
    run(*RECORDER, "trainer.max_epochs=15")
    ((_, _, content, _),) = configurations()
    assert content["trainer"]["max_epochs"] == 10
    line = "loggers.own keeps the configuration of its first start: a configuration is for ever\n"
    assert line in (directory / "train.log").read_text()


def test_an_id_of_the_users_stands_and_another_class_has_a_run_of_its_own(run):
    own = [*RECORDER, "loggers.own.run_id=mine"]
    directory = run(*own, "trainer.max_epochs=5")
    run(*own, "trainer.max_epochs=6")
    assert {run_id for run_id, *_ in calls("metrics")} == {"mine"}
    run(CSV.replace("csv", "own"), "trainer.max_epochs=7")
    assert json.loads((directory / "loggers.json").read_text())["own"]["version"] == 0
    assert "loggers.own begins with this start, and has no step before it." in (directory / "train.log").read_text()


def test_in_a_directory_of_the_users_no_record_chooses_a_version(run):
    arguments = [CSV, "loggers.csv.save_dir=mine"]
    run(*arguments, "trainer.max_epochs=5")
    before = snapshot(Path("mine"))
    directory = run(*arguments, "trainer.max_epochs=6")
    assert before.items() <= snapshot(Path("mine")).items()
    assert [row["step"] for row in rows(Path("mine"), 1) if row["train/loss"]] == ["5"]
    assert "loggers.csv begins with this start, and has no step before it." in (directory / "train.log").read_text()


@pytest.mark.draws
def test_each_logger_ends_once_as_the_run_does(run, train, elsewhere, monkeypatch):
    run(*RECORDER, "trainer.max_epochs=5")
    assert [call[1:3] for call in calls("finalize", "finish")] == [["finalize", "success"], ["finish", 0]]
    from experiment.points.decision_boundary import DecisionBoundary

    def fail(*_):
        raise RuntimeError("no picture")

    Path("calls").unlink()
    monkeypatch.setattr(DecisionBoundary, "draw", fail)  # after Lightning has fitted, validated and tested
    assert train(*RECORDER, "trainer.max_epochs=5", "hydra.run.dir=fails") == 1
    assert [call[1:3] for call in calls("finalize", "finish")] == [["finalize", "failed"], ["finish", 1]]


def test_a_logger_ends_as_failed_where_a_signal_ends_the_run(elsewhere):
    assert faults.start([*RECORDER, "trainer.max_epochs=100000"], elsewhere / "run", 0.5, signal.SIGTERM, True) == 143
    assert [call[1:3] for call in calls("finalize", "finish")] == [["finalize", "failed"], ["finish", 1]]
    steps = [step for _, _, content, step in calls("metrics") if "train/loss" in content]
    assert len(steps) >= checkpoint(elsewhere / "run")["global_step"]


def test_loggers_make_no_other_run(run):
    directory = run(CSV, *SHORT)
    before = snapshot(directory)
    run(*SHORT)
    run(*RECORDER, *SHORT)
    assert snapshot(directory) == before
    assert not Path("calls").exists()


def test_each_run_of_a_sweep_has_loggers_of_its_own(train):
    sweep = [*RECORDER, CSV, "optimizer.lr=0.1,0.2", "trainer.max_epochs=5", "hydra.sweep.dir=sweep"]
    assert train("-m", *sweep) == 0
    for lr, run_id in (("0.1", "run-0"), ("0.2", "run-1")):
        directory = Path(f"sweep/optimizer.lr={lr}")
        assert len([row for row in rows(directory) if row["train/loss"]]) == 5
        assert [call[1:3] for call in calls("finish") if call[0] == run_id] == [["finish", 0]]
        (content,) = (call[2] for call in configurations() if call[0] == run_id)
        assert str(content["optimizer"]["lr"]) == lr


def test_a_dry_run_starts_no_logger(run, elsewhere):
    before = {*elsewhere.iterdir()}
    run(*RECORDER, CSV, "trainer.fast_dev_run=true")
    assert {*elsewhere.iterdir()} == before


WRONG = {
    "loggers.x._target_=torch.nn.Linear": "loggers.x._target_=torch.nn.Linear: must be a class, a kind of Logger",
    f"loggers.x._target_={LOGGERS}.WandbLogger": "loggers.x: ",  # not among what the tests install
    f"loggers.x={{_target_:{LOGGERS}.CSVLogger,nam:a}}": "got an unexpected keyword argument 'nam'",
    "loggers.x={_target_:recorder.Recorder,path:calls,broken:true}": "loggers.x: this logger is broken",
    "loggers.x={_target_:recorder.Recorder}": "missing a required argument: 'path'",
}


@pytest.mark.parametrize("override", WRONG)
def test_a_logger_that_cannot_be_made_is_one_message_and_nothing_is_left(train, capfd, elsewhere, override):
    assert train(*STRANGER, override, "hydra.run.dir=run") == 1
    error = capfd.readouterr().err
    assert WRONG[override] in error
    assert "Traceback" not in error
    assert not [*elsewhere.iterdir()]


def test_no_command_that_reads_a_run_starts_its_loggers(run):
    from experiment import draw, evaluate, load, repeat

    directory = run(*RECORDER, CSV, *SHORT)
    before, calls_before = snapshot(directory / "lightning_logs"), Path("calls").read_bytes()
    draw.redraw(RunDirectory(directory))
    evaluate.evaluate(RunDirectory(directory))
    load(directory)
    assert repeat.repeat(RunDirectory(directory), RunDirectory(Path("again"))) == []
    assert command("explain", str(directory)) == 0
    assert snapshot(directory / "lightning_logs") == before
    assert Path("calls").read_bytes() == calls_before
    assert not [*Path("again").glob("lightning_logs")]


@pytest.mark.parametrize("version", ['"../../taken"', '"/taken"', "[0]"])
def test_a_recorded_version_chooses_no_place(run, train, capfd, version):
    directory = run(CSV, "trainer.max_epochs=5")
    record = directory / "loggers.json"
    record.write_text(record.read_text().replace('"version": 0', f'"version": {version}'))
    assert train(CSV, "trainer.max_epochs=6", "hydra.run.dir=run") == 1
    assert "loggers.json is damaged: csv has no version." in capfd.readouterr().err
    assert not Path("taken").exists()


@pytest.mark.parametrize("link", ["lightning_logs", "lightning_logs/version_0", "lightning_logs/version_0/metrics.csv"])
def test_a_logger_writes_through_no_link(run, train, capfd, link):
    directory = run(CSV, "trainer.max_epochs=5")
    (directory / link).rename("elsewhere")
    (directory / link).symlink_to(Path("elsewhere").absolute())
    before = Path("elsewhere").read_bytes() if Path("elsewhere").is_file() else snapshot(Path("elsewhere"))
    assert train(CSV, "trainer.max_epochs=6", "hydra.run.dir=run") == 1
    assert f"{link} is a symbolic link" in capfd.readouterr().err
    assert (Path("elsewhere").read_bytes() if Path("elsewhere").is_file() else snapshot(Path("elsewhere"))) == before
