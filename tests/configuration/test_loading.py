"""Loading: a dictionary of another class replaces one, a model brings its search space, keys of one's own."""

from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

import experiment
from experiment.configuration.compose import hydra_initialized
from experiment.configuration.errors import ConfigurationError
from tests.conftest import ROOT, metrics

STRANGER = ROOT / "tests/stranger"
PARTS = ["--config-dir", str(STRANGER), "experiment=parts"]


def write_experiment(text: str) -> Path:
    path = Path("mine/experiment/mine.yaml")
    path.parent.mkdir(parents=True)
    path.write_text(f"# @package _global_\n{text}")
    return Path("mine")


def compose(text: str, *overrides: str) -> dict:
    with hydra_initialized(write_experiment(text)) as hydra:
        loader = hydra.config_loader
        config = loader.load_configuration("config", ["experiment=mine", *overrides], run_mode=None)
    return OmegaConf.to_container(config)


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("data: {_target_: a.B, size: 3}", "data", {"_target_": "a.B", "size": 3}),
        ("data: {_target_: a.B}", "data", {"_target_": "a.B"}),
        ("model: {_target_: a.B, hidden: 3}", "model", {"_target_": "a.B", "hidden": 3}),
        ("callbacks: {graph: {_target_: a.B}}", "callbacks.graph", {"_target_": "a.B"}),
        ("callbacks: {backprop: {_target_: a.B, depth: 2}}", "callbacks.backprop", {"_target_": "a.B", "depth": 2}),
        ("optimizer: {_target_: a.B, _partial_: true}", "optimizer", {"_target_": "a.B", "_partial_": True}),
    ],
)
def test_a_dictionary_that_names_another_class_replaces_the_one_before(text, key, expected):
    node = compose(text)
    for name in key.split("."):
        node = node[name]
    assert node == expected


def test_a_dictionary_within_another_is_replaced_and_one_of_the_same_class_is_merged():
    text = "model: {_target_: a.B, part: {_target_: c.D, x: 1, deep: {_target_: e.F, y: 1}}}"
    same = compose(text, "model.part={_target_:c.D,z:2,deep:{_target_:g.H}}")
    assert same["model"]["part"] == {"_target_": "c.D", "x": 1, "z": 2, "deep": {"_target_": "g.H"}}


def test_a_dictionary_on_the_command_line_replaces_one_and_a_class_alone_does_not():
    text = "model: {_target_: a.B, part: {_target_: c.D, x: 1}}"
    config = compose(text, "model.part={_target_:e.F,y:2}", "data={_target_:a.B}", "optimizer._target_=a.B")
    assert (config["model"]["part"], config["data"]) == ({"_target_": "e.F", "y": 2}, {"_target_": "a.B"})
    assert config["optimizer"] == {"_target_": "a.B", "_partial_": True, "lr": 0.1}


def test_what_hydra_does_not_load_is_merged_as_ever():
    experiment.compose()
    merged = OmegaConf.merge({"a": {"_target_": "x", "b": 1}}, {"a": {"_target_": "y"}})
    assert merged == {"a": {"_target_": "y", "b": 1}}


def test_a_project_of_parts_trains_resumes_and_is_searched(train, capfd):
    assert train(*PARTS, "hydra.run.dir=run") == 0
    assert train(*PARTS, "hydra.run.dir=run", "trainer.max_epochs=6") == 0
    assert (metrics(Path("run"))["step"], metrics(Path("run"))["status"]) == (18, "finished")
    assert yaml.safe_load(Path("run/.hydra/config.yaml").read_text())["optimizer"] == {}
    capfd.readouterr()
    assert train("-m", *PARTS, "search=optuna", "search.trials=2", "hydra.sweep.dir=s") == 0
    assert {path.parent.name for path in Path("s").glob("*/metrics.json")} <= {
        "experiment=parts,model.rate=0.01",
        "experiment=parts,model.rate=0.1",
    }


def test_another_search_space_in_the_yaml_is_the_same_run(train):
    assert train(*PARTS, "hydra.run.dir=run") == 0
    before = metrics(Path("run"))
    assert train(*PARTS, "hydra.run.dir=run", "search.space.model.rate=1,2") == 1  # a sweep
    assert train(*PARTS, "hydra.run.dir=run", "search.space.model.rate='1,2'") == 0
    assert metrics(Path("run")) == before


def test_an_empty_search_space_is_one_message(train, capfd, elsewhere):
    assert train("-m", *PARTS, "search=optuna", "~search.space.model") == 1
    assert "There is nothing to search: sweep a key on the command line" in capfd.readouterr().err
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"optimizer": {"lr": "tag(log, interval(0.001, 10))"}, "model": {"hidden": "[4],[8],[16],[8,8]"}}),
        (["--own-space"], {"model": {"width": "1,2"}}),
        (["--own-space", "search/space=PointsClassifier"], None),
    ],
)
def test_a_search_space_belongs_to_the_class_of_the_model(arguments, expected):
    """A user's own is found by the same name, in a folder of theirs."""
    directory = Path("mine/search/space")
    directory.mkdir(parents=True)
    (directory / "Net.yaml").write_text('model: {width: "1,2"}')
    own = "--own-space" in arguments
    overrides = ["search=optuna", *(["model={_target_:parts.Net}"] if own else []), *arguments[own:]]
    with hydra_initialized(Path("mine")) as hydra:
        OverridesParser.create().parse_overrides(overrides)
        config = hydra.config_loader.load_configuration("config", overrides, run_mode=None)
    space = OmegaConf.to_container(config.search.space)
    assert space == expected or (expected is None and "optimizer" in space)


def test_an_optimizer_that_a_model_needs_cannot_be_null(train, capfd, elsewhere):
    mine = write_experiment("defaults: [override /optimizer: null]")
    before = {*elsewhere.iterdir()}
    assert train("--config-dir", str(mine), "experiment=mine") == 1
    assert "model.optimizer=${optimizer} ({}): a group of keys" in capfd.readouterr().err
    assert {*elsewhere.iterdir()} == before


def test_arguments_of_no_optimizer_are_one_message():
    with pytest.raises(ConfigurationError, match=r"optimizer\._target_ is missing"):
        experiment.compose(["experiment=parts", "optimizer.lr=0.1"], STRANGER)


def test_keys_of_ones_own_make_another_run(train, capfd):
    assert train(*PARTS, "hydra.run.dir=run") == 0
    assert train(*PARTS, "hydra.run.dir=run", "extras.scale=0.2", "extras.note=new") == 1
    assert "extras.scale: 0.1 there, 0.2 here" in capfd.readouterr().err
