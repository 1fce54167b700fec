"""The table of hyperparameters: TensorBoard sorts every column of it, whatever the runs of a log directory say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from experiment.runs.hyperparameters import hyperparameters
from experiment.runs.report import SCORES
from tests.conftest import OF_THE_LINE
from tests.runs.test_tensorboard import eventually, server

ROWS = {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS"], "startIndex": 0, "sliceSize": 100}

MODULE = """
import torch
from lightning import LightningDataModule, LightningModule

class Data(LightningDataModule):
    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(2, 1))

class Module(LightningModule):
    def __init__(self, width=None, extra=None):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)
"""


@pytest.fixture
def module(elsewhere: Path) -> list[str]:
    """The arguments that train a module whose arguments may be anything."""
    name = f"anything_{elsewhere.name.replace('-', '_')}"
    (elsewhere / "mine/experiment").mkdir(parents=True)
    (elsewhere / f"mine/{name}.py").write_text(MODULE)
    (elsewhere / "mine/experiment/anything.yaml").write_text(
        "# @package _global_\n"
        "defaults: [override /data: null, override /model: null]\n"
        f"data: {{_target_: {name}.Data}}\nmodel: {{_target_: {name}.Module, width: null}}\n"
        "trainer: {max_epochs: 1}\n"
    )
    return ["--config-dir", "mine", "experiment=anything"]


def sort(ask: Callable[..., Any], columns: list[dict[str, Any]], column: dict[str, Any], order: str) -> list[Any]:
    """Return the groups of runs as the server sorts them by a column: an error of its is raised."""
    parameters = [each | ({"order": order} if each == column else {}) for each in columns]
    return ask("plugin/hparams/session_groups", json.dumps(ROWS | {"colParams": parameters}).encode())["sessionGroups"]


def test_every_column_sorts_up_and_down(train, module):
    """Null, numbers, words, lists and truth values in one column, and runs of other classes in the same directory."""
    widths = "model.width=null,10,9,0.5,wide,true,[1,2],'7'"
    assert train("-m", *module, widths, "hydra.sweep.dir=s/module") == 0
    assert train(*module, "+model.extra={a:{b:x},c:null}", "optimizer=adam", "hydra.run.dir=s/extra") == 0
    assert (
        train("-m", "optimizer=sgd,adam", "data.batch_size=null,50", "trainer.max_epochs=1", "hydra.sweep.dir=s") == 0
    )
    assert train("trainer.max_epochs=2", "optimizer.lr=1e37", "hydra.run.dir=s/diverged") == 0
    for fast in (True, False):
        with server("s", fast) as ask:
            assert_every_column_sorts(ask)


def assert_every_column_sorts(ask: Callable[..., Any]) -> None:
    found = eventually(lambda: sort(ask, [], {}, ""), lambda groups: len(groups) == 14)
    assert len(found) == 14
    infos = ask("plugin/hparams/experiment", b'{"experimentName": ""}')["hparamInfos"]
    keys = {each["name"] for each in infos} | {key for group in found for key in group["hparams"]}
    columns = [{"hparam": key} for key in sorted(keys)]
    columns += [{"metric": {"tag": tag, "group": ""}} for tag in (*SCORES, *OF_THE_LINE)]
    for column in columns:
        for order in ("ORDER_ASC", "ORDER_DESC"):
            assert len(sort(ask, columns, column, order)) == 14
    cells = [
        group["hparams"].get("model.width") for group in sort(ask, columns, {"hparam": "model.width"}, "ORDER_ASC")
    ]
    assert [cell for cell in cells if cell is not None] == [0.5, 9, 10]
    texts = {group["hparams"].get("model.width (text)") for group in found}
    assert texts == {None, "wide", "true", "[1, 2]", "7"}


def columns_and_row(*overrides: str, **model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The kinds of the columns and the cells of a run of somebody's module."""
    config = OmegaConf.create({"model": {"_target_": "some.Module", **model}, "optimizer": {"lr": 0.1}})
    table, row, _ = (
        HParamsPluginData.FromString(each.value[0].metadata.plugin_data.content)
        for each in hyperparameters(config, overrides)
    )
    kinds = {info.name: info.type for info in table.experiment.hparam_infos}
    cells = {key: getattr(value, value.WhichOneof("kind")) for key, value in row.session_start_info.hparams.items()}
    return kinds, cells


VALUES = [None, 1, 2.5, True, "word", [1, 2], 10**400, float("inf"), float("nan")]


@pytest.mark.parametrize("key", ["width", "hidden", "activation"])
def test_a_column_has_one_kind_whatever_the_value(key):
    tables = [columns_and_row(f"model.{key}=x", **{key: value}) for value in VALUES]
    assert all(table == tables[0][0] for table, _ in tables)
    kinds: dict[str, set[type]] = {}
    for _, cells in tables:
        for name, value in cells.items():
            kinds.setdefault(name, set()).add(type(value))
    assert all(len(each) == 1 for each in kinds.values())


def test_a_number_that_the_schema_expects_may_be_a_word_in_another_class():
    config = OmegaConf.create({"optimizer": {"_target_": "some.Optimizer", "lr": "auto", "nesterov": 1}})
    row = HParamsPluginData.FromString(hyperparameters(config, ())[1].value[0].metadata.plugin_data.content)
    cells = row.session_start_info.hparams
    assert cells["optimizer.lr (text)"].string_value == "auto"
    assert cells["optimizer.nesterov (text)"].string_value == "1"
    assert {"optimizer.lr", "optimizer.nesterov"}.isdisjoint(cells)
