"""A real notebook: its kernel composes, runs, sweeps and loads, with a class that a cell defines too."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import checkpoint, metrics, plain_loop
from tests.runs.test_run import curve

CELLS = [
    """
import experiment

short = experiment.run(experiment.compose(["trainer.max_epochs=5"]), "ours")
longer = experiment.run(experiment.compose(["trainer.max_epochs=9"]), "ours")
short["step"], longer["step"]
""",
    """
from lightning import LightningModule
from torch import nn

class Net(LightningModule):
    def __init__(self, width, optimizer):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))
        self.optimizer = optimizer

    def training_step(self, batch, batch_idx):
        points, classes = batch
        return nn.functional.binary_cross_entropy_with_logits(self.net(points), classes)

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self):
        return self.optimizer(self.parameters())
""",
    """
config = experiment.compose(["trainer.max_epochs=5", "callbacks.decision_boundary=null"])
config.model = {"_target_": "__main__.Net", "width": 3, "optimizer": "${optimizer}"}
experiment.run(config, "mine")["status"]
""",
    """
model, data = experiment.load("mine", "best")
type(model) is Net, sum(weights.numel() for weights in model.parameters()), model.training
""",
    """
rows = experiment.sweep(["optimizer.lr=0.01,1", "trainer.max_epochs=5", "hydra.sweep.dir=sweep"])
[row["optimizer.lr"] for row in rows]
""",
]


@pytest.mark.filterwarnings("ignore")  # what Jupyter's packages warn of is not ours
def test_a_notebook_does_what_the_commands_do(elsewhere, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(elsewhere / "ipython"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in CELLS])
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    results = [
        [output.data["text/plain"] for output in cell.outputs if output.output_type == "execute_result"]
        for cell in notebook.cells
    ]
    assert results == [["(5, 9)"], [], ["'finished'"], ["(True, 13, False)"], ["[0.01, 1]"]]
    assert [loss for _, loss in curve(Path("ours"))] == plain_loop(epochs=9)[0]
    assert len(curve(Path("mine"))) == 5
    assert checkpoint(Path("mine"))["state_dict"]["net.0.weight"].shape == (3, 2)
    rates = {path.parent.name: metrics(path.parent)["train/loss"] for path in Path("sweep").glob("*/metrics.json")}
    assert rates["optimizer.lr=1"] < rates["optimizer.lr=0.01"]
