"""The network and its LightningModule, beside the same thing written out."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier
from torch import nn

from experiment.points import shapes
from experiment.points.classifier import LOSSES, PointsClassifier
from experiment.points.net import SimpleNet
from tests.conftest import Reference, checkpoint, plain_loop


def test_the_initial_weights_are_the_references():
    torch.manual_seed(4)
    ours = SimpleNet([4], "relu").state_dict()
    torch.manual_seed(4)
    theirs = Reference().state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("hidden", [[], [4], [8, 3], [5, 5, 5]])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "linear"])
def test_the_layers_are_those_of_a_sequential(hidden, activation):
    net = SimpleNet(hidden, activation)
    between = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "linear": nn.Identity}[activation]
    layers = [net.get_submodule(f"fc{i + 1}") for i in range(len(hidden) + 1)]
    sequential = nn.Sequential(*(part for layer in layers[:-1] for part in (layer, between())), layers[-1])
    x = torch.randn(7, 2)
    assert torch.equal(net(x), sequential(x))
    assert [layer.out_features for layer in layers] == [*hidden, 1]


def test_the_two_losses_are_binary_cross_entropy():
    z, y = torch.randn(50, 1), torch.randint(2, (50, 1)).float()
    p = 1 / (1 + np.exp(-z.double().numpy()))
    expected = -np.mean(np.where(y.numpy() == 1, np.log(p), np.log(1 - p)))
    assert LOSSES["bce"](z, y).item() == pytest.approx(expected, rel=1e-6)
    assert LOSSES["bce_with_logits"](z, y).item() == pytest.approx(expected, rel=1e-6)
    assert torch.equal(LOSSES["bce"](z, y), nn.BCELoss()(torch.sigmoid(z), y))


def test_a_loss_of_what_is_not_a_number_is_not_a_number():
    assert LOSSES["bce"](torch.tensor([[float("nan")]]), torch.ones(1, 1)).isnan()


def test_the_module_gives_probabilities():
    model = PointsClassifier([4], "relu", "bce", torch.optim.SGD)
    x = torch.randn(9, 2)
    assert torch.equal(model(x), torch.sigmoid(model.net(x)))


def test_scikit_learns_network_reaches_the_same_accuracy():
    x, y = next(shapes.training_points("line", 100, 0.0, 0, line=(1, 1, 0)))
    test_x, test_y = next(shapes.held_out_points("line", 1000, shapes.TEST, 0, line=(1, 1, 0)))
    theirs = MLPClassifier(
        (4,),
        solver="sgd",
        learning_rate_init=0.1,
        momentum=0,
        alpha=0,
        batch_size=100,
        max_iter=1000,
        random_state=1,
        tol=0,
    )
    with pytest.warns(match="Maximum iterations"):
        theirs.fit(x, y)
    _, ours = plain_loop()
    accuracy = ((ours(torch.FloatTensor(test_x)) > 0.5).numpy()[:, 0] == test_y).mean()
    assert theirs.score(test_x, test_y) == pytest.approx(accuracy, abs=0.03)


def test_a_checkpoint_is_loaded_as_lightning_does(run):
    directory = run("model.hidden=[8]", "model.activation=tanh", "trainer.max_epochs=5")
    saved = checkpoint(directory)
    assert saved["hyper_parameters"] == {"hidden": [8], "activation": "tanh", "loss": "bce", "inputs": 2}
    code = """
from experiment.points.classifier import PointsClassifier
print(PointsClassifier.load_from_checkpoint("run/checkpoints/last.ckpt").net.fc2.weight.tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{saved['state_dict']['net.fc2.weight'].tolist()}\n"
