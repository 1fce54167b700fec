"""The Graph tab, from TensorBoard's own server and reader; what is expected is read off the modules."""

import copy
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from google.protobuf import text_format
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.graph_pb2 import GraphDef
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from experiment.backprop.graph import Graph
from tests import faults
from tests.runs.test_tensorboard import eventually, server

Edges = dict[str, list[str]]


def edges_of(graph: GraphDef) -> Edges:
    """What each node takes, less the numbers of outputs; every edge comes from a node, and each has its own name."""
    edges = {node.name: [each.partition(":")[0] for each in node.input] for node in graph.node}
    assert len(edges) == len(graph.node)
    assert {each for inputs in edges.values() for each in inputs} <= edges.keys()
    return edges


def read(directory: Path) -> Edges:
    return edges_of(EventAccumulator(str(directory)).Reload().Graph())


def linear(name: str, taken: str, number: str = "") -> Edges:
    return {f"{name}/Addmm{number}": [f"{name}/bias", taken, f"{name}/weight"]}


def check(edges: Edges, parameters: set[str], expected: Edges) -> None:
    """No more and no less than the parameters, the data and these operations, whatever the order of what they take."""
    assert {name for name, inputs in edges.items() if not inputs} == {"input"} | parameters
    assert {name: sorted(inputs) for name, inputs in edges.items() if inputs} == {
        name: sorted(inputs) for name, inputs in expected.items()
    }


SIMPLE_NET = {
    **linear("net/fc1", "input"),
    "net/Relu": ["net/fc1/Addmm"],
    **linear("net/fc2", "net/Relu"),
    **{"Sigmoid": ["net/fc2/Addmm"], "BinaryCrossEntropy": ["Sigmoid"], "loss": ["BinaryCrossEntropy"]},
}


def both(*layers: str) -> set[str]:
    return {f"{layer}/{each}" for layer in layers for each in ("weight", "bias")}


@pytest.mark.parametrize("fast", [True, False])
def test_the_server_shows_the_net_of_every_run(train, fast):
    assert train("-m", "seed=0,1", "trainer.max_epochs=2", "hydra.sweep.dir=s") == 0
    with server("s", fast) as ask:
        info = eventually(lambda: ask("plugin/graphs/info"), lambda found: len(found) == 2)
        assert {run: each["run_graph"] for run, each in info.items()} == {"seed=0": True, "seed=1": True}
        for run in info:
            text = ask(f"plugin/graphs/graph?run={run}&conceptual=false&limit_attr_size=1024&large_attrs_key=_large")
            graph = text_format.Parse(text, GraphDef())
            check(edges_of(graph), both("net/fc1", "net/fc2"), SIMPLE_NET)
            sizes = {
                node.name: [each.size for each in node.attr["_output_shapes"].list.shape[0].dim] for node in graph.node
            }
            assert [sizes[name] for name in ("input", "net/Relu", "Sigmoid")] == [[100, 2], [100, 4], [100, 1]]
            assert (sizes["net/fc1/weight"], sizes["loss"]) == ([4, 2], [])


def test_the_digits(run):
    directory = run("--config-dir", str(faults.ROOT / "examples/digits"), "experiment=digits", "trainer.max_epochs=1")
    expected = linear("net/0", "input") | {"net/1/Relu": ["net/0/Addmm"], "net/2/Mul": ["net/1/Relu"]}
    expected |= linear("net/3", "net/2/Mul") | {"LogSoftmax": ["net/3/Addmm"], "NllLoss": ["LogSoftmax"]}
    check(read(directory), both("net/0", "net/3"), expected | {"loss": ["NllLoss"]})


def test_a_resumed_run_keeps_its_one_graph(run, caplog):
    def graphs(directory: Path) -> list[float]:
        found = (e for path in directory.glob("events*") for e in LegacyEventFileLoader(str(path)).Load())
        return [event.wall_time for event in found if event.HasField("graph_def")]

    (first,) = graphs(run("trainer.max_epochs=2"))
    directory = run("trainer.max_epochs=3")
    assert graphs(directory) == [first]
    check(read(directory), both("net/fc1", "net/fc2"), SIMPLE_NET)
    assert "graph" not in caplog.text


class Module(LightningModule):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.losses: list[float] = []

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor | dict[str, Tensor]:
        loss = self.net(batch[0]).mean()
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(module: LightningModule, directory: str = "log", shown: bool = True, **arguments: Any) -> None:
    """Two steps; nothing is left on the module, and nothing is kept."""
    torch.manual_seed(0)
    graph = Graph()
    trainer = Trainer(
        **{"accelerator": "cpu", "max_epochs": 1, "callbacks": [graph] if shown else []} | arguments,
        **{"logger": TensorBoardLogger(directory, name="", version=""), "enable_model_summary": False},
        **{"enable_checkpointing": False, "enable_progress_bar": False},
    )
    trainer.fit(module, DataLoader(TensorDataset(torch.rand(6, 4), torch.rand(6, 1)), batch_size=3))
    assert (graph.hooks, graph.tracer) == ([], None)
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in module.modules())


class Tied(nn.Module):
    """Two layers of one weight, the first called twice, in place; a tuple, a list and a dictionary come out."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.relu, self.b = nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 4)
        self.b.weight = self.a.weight

    def forward(self, *, x: Tensor) -> tuple[Tensor, dict[str, list[Tensor]]]:
        return self.b(self.relu(self.a(x))), {"again": [self.a(x)]}


class TiedModule(Module):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> dict[str, Tensor]:
        out, more = self.net(x=batch[0])
        return {"loss": (out + more["again"][0]).mean()}


def test_tied_weights_two_calls_and_a_step_of_several_batches():
    fit(TiedModule(Tied()), accumulate_grad_batches=2)
    expected = linear("net/a", "input") | linear("net/a", "input", "_1") | {"net/relu/Relu": ["net/a/Addmm"]}
    expected |= {"net/b/Addmm": ["net/b/bias", "net/relu/Relu", "net/a/weight"], "Mean": ["Add"], "loss": ["Mean"]}
    check(read(Path("log")), both("net/a") | {"net/b/bias"}, expected | {"Add": ["net/b/Addmm", "net/a/Addmm_1"]})


class Recurrent(nn.Module):
    """Its first layer learns nothing, and a copy is made and used while it works."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.embed = nn.Linear(4, 4).requires_grad_(False), nn.Embedding(2, 4)
        self.gru, self.out = nn.GRU(4, 3, 2, dropout=0.5), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(input=(self.frozen(x) > 0).long())
        copy.deepcopy(self.gru)(x)
        return self.out(functional.dropout(self.gru(x)[1][-1]))


def test_a_recurrent_net():
    module = Module(Recurrent())
    fit(module)
    edges = read(Path("log"))
    learning = {name.replace(".", "/") for name, each in module.named_parameters() if each.requires_grad}
    assert {name for name, inputs in edges.items() if not inputs} == {"input"} | learning
    scopes = {name.rpartition("/")[0] for name, inputs in edges.items() if inputs}
    assert scopes == {"", "net", "net/embed", "net/gru", "net/out"}
    assert [name for name, inputs in edges.items() if "input" in inputs] == ["net/embed/Embedding"]


class Own(Module):
    def __init__(self) -> None:
        super().__init__(nn.Identity())
        self.input = nn.Parameter(torch.ones(4, 1))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return functional.mse_loss(batch[0] @ self.input, batch[1])


def test_a_module_without_layers():
    fit(Own())
    check(read(Path("log")), {"input_1"}, {"Mm": ["input", "input_1"], "MseLoss": ["Mm"], "loss": ["MseLoss"]})


class Adversaries(Module):
    """Two optimizers, three losses: the second reaches nothing that the first did not."""

    def __init__(self) -> None:
        super().__init__(nn.ModuleDict({"g": nn.Linear(4, 4), "d": nn.Linear(4, 1)}))
        self.automatic_optimization = False

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        (g, d), net = self.optimizers(), self.net
        for optimizer, made in ((d, batch[0]), (d, net.g(batch[0]).detach()), (g, net.g(batch[0]))):
            optimizer.zero_grad()
            self.manual_backward(net.d(made).sum())
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.net[name].parameters(), lr=0.1) for name in "gd"]


def test_two_optimizers():
    fit(Adversaries())
    expected = linear("net/d", "input") | {"loss": ["net/d/Addmm"], "loss_1": ["net/d/Addmm_1"]}
    expected |= linear("net/g", "input") | linear("net/d", "net/g/Addmm", "_1")
    check(read(Path("log")), both("net/d", "net/g"), expected)


def test_the_run_is_the_same_with_and_without_it():
    losses = []
    for shown in (True, False):
        torch.manual_seed(0)
        module = Module(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 1)))
        fit(module, shown=shown)
        losses.append([*module.losses, torch.rand(1).item()])
    assert losses[0] == losses[1]


class Mark(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.kept = nn.Module()
        return x.clone()

    @staticmethod
    def backward(ctx: Any, error: Tensor) -> Tensor:
        return error


class Marked(Module):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        marked = Mark.apply(self.net(batch[0]))
        gc.collect()
        if batch_idx == 0:
            self.first = weakref.ref(marked.grad_fn.kept)
        assert (self.first() is None) == (batch_idx == 1)
        return marked.mean()


def test_nothing_of_the_step_is_kept():
    fit(Marked(nn.Linear(4, 1)))


def test_no_hook_is_left_by_a_step_that_fails():
    module = Module(nn.Linear(3, 1))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        fit(module)
    assert not module.net._forward_hooks
    assert not module.net._forward_pre_hooks


class Refuses(nn.Module):
    def forward(self, x: Tensor) -> None:
        raise ValueError


class Odd(Module):
    """A slope that is learnt from, rows of different lengths, attention, an error that is caught, a compiled layer."""

    def __init__(self) -> None:
        nets = {"a": nn.Linear(4, 4), "attention": nn.MultiheadAttention(4, 1), "refuses": Refuses()}
        super().__init__(nn.ModuleDict(nets | {"scripted": torch.jit.script(nn.Linear(4, 4))}))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        x, net = batch[0].clone().requires_grad_(), self.net
        (slope,) = torch.autograd.grad(net.a(x).sigmoid().sum(), x, create_graph=True)
        rows = net.a(torch.nested.nested_tensor([x[:2].detach(), x.detach()]))[0]
        try:
            net.refuses(slope)
        except ValueError:
            slope = slope.tanh()
        return (slope + net.scripted(x) + net.attention(*[batch[0]] * 3)[0]).sum() + rows.sum()


@pytest.mark.filterwarnings("ignore")  # torch's, of what is used here
def test_the_oddest_module():
    module = Odd()
    fit(module)
    edges = read(Path("log"))
    parameters = {name.replace(".", "/") for name, _ in module.named_parameters()}
    assert {name for name, inputs in edges.items() if not inputs} == {"input"} | parameters
    assert (edges["Tanh"], edges["SigmoidBackward"]) == (["Mm"], ["Sigmoid"])
    assert {"net/a/Addmm", "net/a/Linear", "net/attention/Addmm"} <= {n for n in edges if edges[n].count("input") == 1}


def test_a_compiled_net():
    torch._dynamo.reset()
    fit(Module(torch.compile(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), backend="eager", fullgraph=True)))
    assert {"net/Addmm", "net/Relu"} < read(Path("log")).keys()
