"""A run's directory may be a stranger's: what it holds is data, and runs, opens and writes nothing elsewhere."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import torch
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from experiment.sweeps.study import open_journal
from tests import conftest
from tests.conftest import ROOT, checkpoint, snapshot

COMMANDS = {"draw": [], "explain": [], "repeat": ["again"]}
SHORT = "trainer.max_epochs=5"
EVIL = """
from pathlib import Path
Path("{ran}").touch()
from experiment.points.classifier import PointsClassifier as Evil
"""


def command(name: str, *options: str) -> int | str:
    """``python -m experiment.<name> run …``, in this process: its exit status, or the message that it ends with."""
    return conftest.command(name, "run", *COMMANDS[name], *options)


def edit(directory: Path, key: str, value: object, name: str = "config") -> None:
    path = directory / f".hydra/{name}.yaml"
    config = OmegaConf.load(path)
    OmegaConf.update(config, key, value, force_add=True)
    path.write_text(OmegaConf.to_yaml(config))


def redirect(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target.absolute(), target_is_directory=target.is_dir())


@pytest.mark.parametrize("name", COMMANDS)
def test_code_in_the_directory_is_not_imported(short_run, name):
    (short_run / "evil.py").write_text(EVIL.format(ran=Path("ran").absolute()))
    edit(short_run, "model._target_", "evil.Evil")
    sources = [{"path": str(short_run.absolute()), "schema": "file", "provider": "command-line"}]
    edit(short_run, "hydra.runtime.config_sources", sources, "hydra")
    message = command(name)
    assert "model._target_=evil.Evil: cannot be imported" in str(message)
    assert "--config-dir" in str(message)
    assert not Path("ran").exists()
    assert command(name, "--config-dir", str(short_run)) != 2  # which the user may name
    assert Path("ran").exists()
    sys.modules.pop("evil", None)


@pytest.mark.parametrize("arguments", [["draw", "."], ["repeat", ".", "../again"], ["explain", "."]])
def test_the_current_directory_is_not_imported_from(short_run, arguments):
    for name in ("json", "yaml", "torch", "digits", "hydra_plugins/evil"):
        (short_run / name).parent.mkdir(exist_ok=True)
        (short_run / f"{name}.py").write_text(EVIL.format(ran=Path("ran").absolute()))
    edit(short_run, "model._target_", "digits.Evil")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    name, *rest = arguments
    done = subprocess.run(
        [sys.executable, "-m", f"experiment.{name}", *rest],
        **{"cwd": short_run, "env": environment, "capture_output": True, "text": True, "check": False},
    )
    assert not Path("ran").exists()
    assert done.returncode == 1
    assert done.stderr.startswith("The configuration cannot be run:\n  model._target_=digits.Evil: cannot be imported")


WRITTEN = (
    *(".lock", "train.log", "metrics.json", "provenance.json"),
    *("metrics.json.partial", ".events.partial", "events.out.tfevents.9999999999.x"),
    *(".hydra/config.yaml", ".hydra/config.yaml.partial", ".hydra/overrides.yaml", "other/events.out.tfevents.1.x"),
    *("checkpoints/next.ckpt", "checkpoints/next.partial", "checkpoints/next_best.ckpt", "checkpoints/previous.ckpt"),
    *("checkpoints/last.ckpt", "checkpoints/best.ckpt", "checkpoints/runner_up.ckpt"),
    *(
        pytest.param(name, marks=pytest.mark.draws)
        for name in ("loss.png", "loss.png.partial", "decision_boundary.png", "training.png")
    ),
)


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("exists", [True, False])
def test_nothing_is_written_through_a_link(short_run, train, name, exists):
    kept = Path("kept")
    if exists:
        kept.write_text("mine")
    (short_run / name).parent.mkdir(exist_ok=True)
    redirect(short_run / name, kept)
    train("trainer.max_epochs=7", "hydra.run.dir=run")
    command("draw")
    command("repeat")
    assert kept.exists() == exists
    assert not exists or kept.read_text() == "mine"


@pytest.mark.parametrize("name", [".hydra", "checkpoints"])
def test_nothing_is_written_into_a_linked_directory(run, short_run, train, capfd, name):
    other = run(SHORT, "seed=1", name="other")
    redirect(Path("run") / name, other / name)
    before = snapshot(other)
    assert train("trainer.max_epochs=7", "hydra.run.dir=run") == 1
    assert "symbolic link" in capfd.readouterr().err
    command("draw")
    assert snapshot(other) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(
    "name",
    ["metrics.json", ".hydra/config.yaml", ".hydra/hydra.yaml", "checkpoints/last.ckpt", "events.out.tfevents.1"],
)
def test_a_named_pipe_is_not_opened(short_run, train, name):
    (short_run / name).unlink(missing_ok=True)
    os.mkfifo(short_run / name)
    train("trainer.max_epochs=7", "hydra.run.dir=run")
    for each in COMMANDS:
        command(each)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    "value",
    [
        *("${oc.env:SECRET}", "${ oc.env:SECRET }", "${help:}", "${hydra:run.dir}", "${now:%Y}", "${${seed}:x}"),
        *("${oc.decode:seed}", "${oc.create:{a:1}}"),
    ],
)
def test_a_recorded_interpolation_reads_keys_alone(short_run, monkeypatch, name, value):
    monkeypatch.setenv("SECRET", "swordfish")
    path = short_run / ".hydra/config.yaml"
    path.write_text(path.read_text().replace("activation: relu", f"activation: {json.dumps(value)}"))
    message = str(command(name))
    assert "model.activation=" in message
    assert "--trust" in message
    assert "swordfish" not in message


def test_an_interpolation_put_together_from_keys_is_not_resolved(run, monkeypatch):
    monkeypatch.setenv("SECRET", "swordfish")
    directory = run(SHORT, "+callbacks.x={_target_:lightning.pytorch.callbacks.LearningRateMonitor}")
    edit(directory, "callbacks.x.logging_interval", "${callbacks.x.dollar}{oc.env:SECRET}")
    edit(directory, "callbacks.x.dollar", "$")
    assert "${oc.env:SECRET}" in str(command("draw"))


def test_a_run_of_ones_own_may_read_the_environment(run, monkeypatch):
    monkeypatch.setenv("ACTIVATION", "tanh")
    directory = run(SHORT, "model.activation=${oc.env:ACTIVATION}")
    assert command("draw") == 0  # what a run records does not depend on the environment
    file = directory / ".hydra/config.yaml"
    file.write_text(file.read_text().replace("activation: tanh", "activation: ${oc.env:ACTIVATION}"))
    assert "model.activation=${oc.env:ACTIVATION}" in str(command("draw"))
    for name in COMMANDS:
        assert command(name, "--trust") == 0


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("key", "node"),
    [
        ("callbacks.x", {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": "taken"}),
        ("callbacks.x", {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "_args_": ["taken"]}),
        ("callbacks.x", {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "filename": "../../taken"}),
        ("callbacks.x", {"_target_": "lightning.pytorch.callbacks.OnExceptionCheckpoint", "dirpath": "taken"}),
        ("trainer.profiler", {"_target_": "lightning.pytorch.profilers.SimpleProfiler", "dirpath": "taken"}),
        ("trainer.profiler", {"_target_": "lightning.pytorch.profilers.SimpleProfiler", "filename": "/tmp/taken"}),
    ],
)
def test_a_recorded_object_writes_nowhere_else(short_run, name, key, node):
    edit(short_run, key, node)
    message = str(command(name))
    assert f"{key}." in message
    assert "--trust" in message
    assert not Path("taken").exists()
    assert not Path("again").exists()


def laughs(depth: int = 40) -> str:
    lines = ["l0: &l0 [ha]", *(f"l{n}: &l{n} [*l{n - 1}, *l{n - 1}]" for n in range(1, depth))]
    return "\n".join(lines)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    "text",
    [laughs(), json.dumps(laughs()), "[" * 100_000, "a" * 2_000_000, "\x00", "!!python/object/new:os.system [x]"],
)
def test_a_hostile_configuration_is_one_short_message(short_run, name, text):
    (short_run / ".hydra/config.yaml").write_text(text)
    message = command(name)
    assert str(message).startswith("run/.hydra/config.yaml is no configuration: ")
    assert len(str(message)) < 500


@pytest.mark.parametrize(
    "text", ["[]", "[1]", "3", '"x"', "null", '{"status": 3}', "[" * 100_000, '{"epoch": "x"}', ""]
)
@pytest.mark.parametrize("name", ["metrics.json", "provenance.json"])
def test_a_document_of_another_shape_is_one_message(short_run, train, capfd, name, text):
    (short_run / name).write_text(text)
    capfd.readouterr()
    status = train("trainer.max_epochs=7", "hydra.run.dir=run")
    error = capfd.readouterr().err
    assert "Traceback" not in error
    assert status == 0 or f"run/{name} is damaged" in error
    assert all("Error" not in str(command(each)) for each in COMMANDS)


@pytest.mark.parametrize("starts", [{}, 3, "x", [3], None])
def test_recorded_starts_of_another_shape_do_no_harm(run, short_run, capfd, starts):
    (short_run / "provenance.json").write_text(json.dumps({"starts": starts}))
    run("trainer.max_epochs=7")
    assert json.loads((short_run / "provenance.json").read_text())["starts"][-1]["step"] == 5


@pytest.mark.parametrize("content", [{}, {"state_dict": 3}, {"state_dict": {}, "epoch": "x"}, [1], None])
def test_a_checkpoint_of_another_shape_is_damaged(short_run, content):
    for path in short_run.glob("checkpoints/*.ckpt"):
        torch.save(content, path)
    assert "damaged" in str(command("draw"))


@pytest.mark.parametrize("key", ["decision_boundary", "other"])
def test_states_of_callbacks_of_another_shape_are_one_message(short_run, key):
    content = checkpoint(short_run)
    content["callbacks"] = {name: {key: 3} for name in content["callbacks"]}
    torch.save(content, short_run / "checkpoints/last.ckpt")
    assert "checkpoint" in str(command("draw"))


def test_a_message_does_not_command_the_terminal(short_run):
    edit(short_run, "model._target_", "x\x1b]0;owned\x07")
    message = str(command("draw"))
    assert "\x1b" not in message
    assert "\\x1b]0;owned\\x07" in message


def test_recorded_overrides_are_text(short_run, monkeypatch):
    monkeypatch.setenv("SECRET", "swordfish")
    edit(short_run, "hydra.overrides.task", ["seed=${oc.env:SECRET}"], "hydra")
    edit(short_run, "hydra.sweeper.callbacks", {"x": {"_target_": "os.system", "command": "touch ran"}}, "hydra")
    assert command("repeat") == 0
    assert not Path("ran").exists()
    for path in Path("again").rglob("*"):
        assert path.is_dir() or b"swordfish" not in path.read_bytes()


@pytest.mark.parametrize("name", ["multirun.yaml", "sweep.csv", "sweep.png", "sweep.csv.partial", "study.journal"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_sweep_writes_nothing_through_a_link(train, name, exists):
    kept = Path("kept")
    if exists:
        kept.write_text("mine")
    Path("sweep").mkdir()
    redirect(Path("sweep") / name, kept)
    search = ["search=optuna", "search.trials=1"] if name == "study.journal" else ["seed=0"]
    train("-m", *search, SHORT, "hydra.sweep.dir=sweep")
    assert kept.exists() == exists
    assert not exists or kept.read_text() == "mine"


def test_a_recorded_trial_chooses_no_other_key(train, capfd):
    search = ["search=optuna", "search.trials=3", "optimizer.lr=interval(0.1,0.2)", SHORT, "hydra.sweep.dir=sweep"]
    assert train("-m", *search) == 0
    study = optuna.load_study(study_name=None, storage=open_journal(Path("sweep/study.journal")))
    hostile = {"hydra.job_logging.handlers.x": "{(): os.system}"}
    study.add_trial(
        optuna.create_trial(
            **{"state": TrialState.RUNNING, "params": hostile},
            distributions={key: CategoricalDistribution([value]) for key, value in hostile.items()},
        )
    )
    assert train("-m", *search) == 1
    assert "hydra.job_logging.handlers.x: was {(): os.system}, is not searched" in capfd.readouterr().err
