"""A training step that is replayed from a graph, or compiled, comes to the same as the step itself."""

import collections
import itertools
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch._inductor import config as inductor
from torch._inductor.utils import fresh_cache
from torch.nn import functional

from experiment.vectorized import compiling
from experiment.vectorized.graph import FASTER, ReplayedStep
from experiment.vectorized.refusal import NotVectorizable
from experiment.vectorized.step import MappedStep
from experiment.vectorized.streams import Streams
from experiment.vectorized.trainer_view import TrainerView

RUNS, STEPS = 3, 18


class Module(LightningModule):
    """Each of the others differs from it in one thing."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        self.register_buffer("scale", torch.ones(1))

    def outputs(self, batch: Tensor) -> Tensor:
        return cast(Tensor, self.net(batch * self.scale))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = self.outputs(batch).square().mean()
        self.log("half", loss / 2)
        self.log("constant", 0.25)
        return loss


class Entropy(Module):
    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return functional.binary_cross_entropy(self.outputs(1000 * batch).sigmoid(), (batch[:, :1] > 0).float())


class Constants(Module):
    """Has a tensor that is no buffer, and a parameter that has no part in the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.shift, self.unused = torch.tensor([0.1, 0.2, 0.3]), nn.Parameter(torch.ones(2))
        self.net[0].weight.requires_grad_(False)

    def outputs(self, batch: Tensor) -> Tensor:
        return super().outputs(batch + self.shift)


class Handles(Module):
    """Handles the error of an operation that refuses its input."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        try:
            return self.outputs(torch.cholesky_inverse(torch.linalg.cholesky(batch[:3].T @ batch[:3]))).mean()
        except RuntimeError:
            return self.outputs(batch).mean()


class Counts(Module):
    """Changes a buffer in place."""

    def outputs(self, batch: Tensor) -> Tensor:
        self.scale.mul_(0.9)
        return super().outputs(batch)


class ReadsIndex(Module):
    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * (2 if batch_idx == 3 else 1)


class FormatsIndex(Module):
    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * len(f"{batch_idx}")


class ReadsEpoch(Module):
    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * (1 + self.current_epoch)


class CountsItself(Module):
    def __init__(self) -> None:
        super().__init__()
        self.counter = itertools.count()

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * (1 + next(self.counter))


class CatchesRefusals(Module):
    """Reads what it must not, and handles every error."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        try:
            return super().training_step(batch, batch_idx) * (1 + self.current_epoch)
        except Exception:
            return super().training_step(batch, batch_idx)


class AsksForTheType(Module):
    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * (2 if isinstance(batch_idx, int) else 1)


class ShrinksWeights(Module):
    """Changes a parameter in place."""

    def outputs(self, batch: Tensor) -> Tensor:
        with torch.no_grad():
            self.net[0].bias.mul_(0.9)
        return super().outputs(batch)


class HidesState(Module):
    """Its second step is the same as its first one."""

    def __init__(self) -> None:
        super().__init__()
        self.factors = itertools.chain([1] * 9, itertools.repeat(2))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * next(self.factors)


class LogsLargeNumbers(CountsItself):
    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.log("large", 1e6)
        return super().training_step(batch, batch_idx)


class Global(Module):
    factor = 1

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * Global.factor


REPLAYED = [Module, Entropy, Constants, Handles]
COMPUTED_ANEW = [Counts, ReadsIndex, FormatsIndex, AsksForTheType, ReadsEpoch, CatchesRefusals, CountsItself]
COMPUTED_ANEW += [LogsLargeNumbers, HidesState, ShrinksWeights]


class Steps:
    """Training steps of several runs, each with parameters of its own, on batches of two sizes."""

    def __init__(self, kind: type[Module]) -> None:
        torch.manual_seed(0)
        models = [kind() for _ in range(RUNS)]
        self.trainer = SimpleNamespace(current_epoch=0)
        models[0].trainer = cast(Any, TrainerView(cast(Any, self.trainer), LightningDataModule()))
        self.step = MappedStep(models[0], Streams([*range(RUNS)]))
        self.parameters = [
            torch.stack([each.detach() for each in rows]).requires_grad_(rows[0].requires_grad)
            for rows in zip(*(model.parameters() for model in models), strict=True)
        ]
        self.buffers = [torch.ones(RUNS, 1)]

    def results(self, compute: Any) -> list[dict[str, Tensor]]:
        """Compute steps, each followed by an update."""
        results = []
        for number in range(STEPS):
            torch.manual_seed(number)
            batch = torch.randn(RUNS, 5 if number % 3 else 4, 3)
            self.trainer.current_epoch = number // 3
            result = compute(self.parameters, self.buffers, batch, number % 3)
            gradients = iter(result.gradients)
            with torch.no_grad():
                for parameter in self.parameters:
                    if parameter.requires_grad and (gradient := next(gradients)) is not None:
                        parameter -= 0.1 * gradient
            results.append({"loss": result.losses, **result.scores})
        return results


def compare(kind: type[Module], pays: bool = False) -> ReplayedStep:
    plain, steps = Steps(kind), Steps(kind)
    replayed = ReplayedStep(steps.step, lambda seconds: pays)
    torch.testing.assert_close(
        steps.results(replayed.compute_gradients), plain.results(plain.step.compute_gradients), rtol=1e-5, atol=1e-7
    )
    torch.testing.assert_close(steps.buffers, plain.buffers)
    torch.testing.assert_close(steps.parameters, plain.parameters, rtol=1e-4, atol=1e-5)
    return replayed


@pytest.mark.parametrize("kind", REPLAYED)
def test_a_step_is_replayed(kind):
    replayed = compare(kind)
    assert [graph.uses for graph in replayed.graphs.values() if graph] == [6, 12]


@pytest.mark.parametrize("kind", COMPUTED_ANEW)
def test_a_step_that_depends_on_something_else_is_computed_anew(kind):
    replayed = compare(kind)
    assert [*replayed.graphs.values()] == [None, None]


def test_batches_of_two_kinds_have_two_graphs():
    first, second = (collections.namedtuple(name, "rows") for name in ("First", "Second"))

    class Kinds(Module):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return super().training_step(batch.rows, batch_idx) * (2 if isinstance(batch, second) else 1)

    steps = Steps(Kinds)
    replayed = ReplayedStep(steps.step, lambda seconds: False)
    for number in range(8):
        batch = (second if number % 2 else first)(torch.ones(RUNS, 4, 3))
        ours = replayed.compute_gradients(steps.parameters, steps.buffers, batch, 0)
        theirs = steps.step.compute_gradients(steps.parameters, steps.buffers, batch, 0)
        torch.testing.assert_close(ours.losses, theirs.losses)
    assert [graph.uses for graph in replayed.graphs.values() if graph] == [4, 4]


def test_the_entropy_of_what_is_no_probability_is_no_number():
    outputs, classes = torch.tensor([0.2, 1.0, 1.5, -0.5, float("nan")]), torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0])
    losses = FASTER[torch.ops.aten.binary_cross_entropy.default](outputs, classes, None, 0)
    torch.testing.assert_close(losses[:2], functional.binary_cross_entropy(outputs[:2], classes[:2], reduction="none"))
    assert losses[2:].isnan().all()


def test_a_step_that_has_changed_is_found_before_a_state_is_saved(monkeypatch):
    steps = Steps(Global)
    replayed = ReplayedStep(steps.step, lambda seconds: False)
    steps.results(replayed.compute_gradients)
    replayed.check(steps.parameters, steps.buffers)
    steps.results(replayed.compute_gradients)
    monkeypatch.setattr(Global, "factor", 2)
    with pytest.raises(NotVectorizable, match="changes while it is trained"):
        replayed.check(steps.parameters, steps.buffers)


def test_an_operation_that_refuses_its_input_is_left_to_the_step():
    plain, steps = Steps(Handles), Steps(Handles)
    replayed = ReplayedStep(steps.step, lambda seconds: False)
    batches = [torch.eye(4, 3).repeat(RUNS, 1, 1)] * 3 + [torch.zeros(RUNS, 4, 3)] * 2
    for batch in batches:
        ours = replayed.compute_gradients(steps.parameters, steps.buffers, batch, 0)
        theirs = plain.step.compute_gradients(plain.parameters, plain.buffers, batch, 0)
        torch.testing.assert_close(ours.losses, theirs.losses)
    assert [*replayed.graphs.values()] == [None]


@pytest.mark.filterwarnings("ignore")  # the compiler uses what torch deprecates
def test_a_graph_is_compiled_once_for_all_batches_of_a_sweep(monkeypatch):
    monkeypatch.setattr(compiling, "_compiled", {})
    graphs = compare(Entropy, pays=True).graphs.values()
    assert [graph.compute is graph.graph for graph in graphs if graph] == [True, False]  # the one that was used often
    assert len(compiling._compiled) == 1
    again = [graph.compute is graph.graph for graph in compare(Entropy).graphs.values() if graph]
    assert again == [True, False]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", ["no compiler", "another result", "too large"])
def test_a_step_that_cannot_be_compiled_is_replayed(monkeypatch, caplog, fault):
    monkeypatch.setattr(compiling, "_compiled", {})
    if fault == "another result":
        monkeypatch.setattr(torch, "compile", lambda graph, **_: lambda *inputs: 2 * graph(*inputs)[0])
    if fault == "too large":
        monkeypatch.setattr(compiling, "MOST_NODES", 10)
    with fresh_cache(), inductor.patch({"cpp.cxx": ("missing",)}), caplog.at_level("INFO", logger="run"):
        graphs = compare(Module, pays=True).graphs.values()
    assert [graph.compute is graph.graph for graph in graphs if graph] == [True, True]
    assert "The training step is not compiled: " in caplog.text
