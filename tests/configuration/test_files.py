"""The configuration files: every one composes, trains, and fits the JSON schema that editors check it with."""

import json
import re

import jsonschema
import pytest
import yaml

from experiment.configuration.editor_schemas import editor_schemas
from experiment.points.shapes import SHAPES
from tests.conftest import ROOT, metrics
from tests.points.test_csv_data import write

FILES = {
    "callbacks/default.yaml": ["callbacks=default"],
    "callbacks/early_stopping.yaml": ["callbacks=early_stopping", "callbacks.early_stopping.patience=1"],
    "data/csv.yaml": ["data=csv", "data.path=points.csv"],
    **{f"data/{shape}.yaml": [f"data={shape}", "data.noise=0.2"] for shape in SHAPES},
    "experiment/mini_batches.yaml": ["experiment=mini_batches", "trainer.max_epochs=2"],
    "experiment/vanishing_gradient.yaml": ["experiment=vanishing_gradient", "trainer.max_epochs=2"],
    "hydra/job_logging/experiment.yaml": ["hydra/job_logging=experiment"],
    "model/simple_net.yaml": ["model=simple_net"],
    "optimizer/adam.yaml": ["optimizer=adam", "optimizer.betas=[0.8,0.9]"],
    "optimizer/adamw.yaml": ["optimizer=adamw", "optimizer.lr=0.01"],
    "optimizer/rmsprop.yaml": ["optimizer=rmsprop", "optimizer.momentum=0.5"],
    "optimizer/sgd.yaml": ["optimizer=sgd", "optimizer.nesterov=true", "optimizer.momentum=0.9"],
    "scheduler/cosine.yaml": ["scheduler=cosine", "scheduler.eta_min=0.01"],
    "scheduler/none.yaml": ["scheduler=none"],
    "scheduler/plateau.yaml": ["scheduler=plateau", "scheduler.min_lr=0.001"],
    "scheduler/step.yaml": ["scheduler=step", "scheduler.gamma=0.5"],
    "trainer/ddp.yaml": ["trainer=ddp"],
    "trainer/default.yaml": ["trainer=default"],
}


def test_every_file_is_listed_here():
    files = {str(path.relative_to(ROOT / "conf")) for path in (ROOT / "conf").rglob("*.yaml")}
    of_sweeps = {"search/optuna.yaml", "search/space/PointsClassifier.yaml"}  # tests/sweeps
    assert files == {*FILES, *of_sweeps, "config.yaml"}


@pytest.mark.parametrize("file", FILES)
def test_every_file_composes_and_trains(run, file):
    overrides = FILES[file]
    write(path="points.csv")
    short = [] if any("max_epochs" in each for each in overrides) else ["trainer.max_epochs=3"]
    assert metrics(run(*short, *overrides))["status"] == "finished"


def test_the_editor_schemas_follow_from_the_models():
    schemas = json.loads(json.dumps(editor_schemas()))
    assert schemas == {name: json.loads((ROOT / f"conf/{name}.schema.json").read_text()) for name in schemas}


@pytest.mark.parametrize("file", [*FILES, "config.yaml", "../examples/digits/experiment/digits.yaml"])
def test_every_file_is_valid_by_the_editor_schema_that_it_names(file):
    path = ROOT / "conf" / file
    if file.startswith("hydra/"):
        return
    (named,) = re.findall(r"^# yaml-language-server: \$schema=(\S+)$", path.read_text(), re.MULTILINE)
    content = json.loads((path.parent / named).read_text())
    jsonschema.Draft202012Validator.check_schema(content)
    jsonschema.validate(yaml.safe_load(path.read_text()), content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("optimizer", {"_target_": "torch.optim.SGD", "lr": -1}),
        ("optimizer", {"_target_": "torch.optim.SGD", "rate": 1}),
        ("data", {"_target_": "experiment.points.datamodule.PointsDataModule", "noise": 3}),
        ("trainer", {"max_epoch": 3}),
        ("config", {"optimizer": {"lr": "fast"}}),
        ("config", {"sed": 1}),
    ],
)
def test_an_editor_schema_rejects_wrong_content(name, content):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, json.loads((ROOT / f"conf/{name}.schema.json").read_text()))
