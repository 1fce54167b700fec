"""Graphs of tensor operations, compiled where there is a compiler."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from experiment.vectorized.attributes import describe
from experiment.vectorized.step import TrainingResult

COMPILE_SECONDS = 8.0  # that to compile a step may take, with the import of the compiler
SAVED = 0.6  # of the time of a step, where it is compiled
MOST_NODES = 2000  # of a graph: larger ones are not compiled
NARROW = 16  # columns

log = logging.getLogger("run")
_compiled: dict[str, Callable[..., Any]] = {}  # by the text of a graph: the batches of a sweep have the same


@dataclass(frozen=True)
class Compiling:
    """Whether the step of runs that are trained together is compiled.

    Attributes:
        choice: of the user, ``None`` for where it pays.
        batches: of runs of this structure that a process trains one after the other.
    """

    choice: bool | None = None
    batches: float = 1

    def pays(self, seconds: float) -> bool:
        """Return whether to compile a step, given the seconds that the steps of a batch take that are left."""
        saves = SAVED * seconds * self.batches > COMPILE_SECONDS
        return saves if self.choice is None else self.choice


def find_compiled(graph: GraphModule) -> Callable[..., Any]:
    """Return what such a graph was compiled to in this process, the graph itself if it was not."""
    return _compiled.get(_text(graph), graph)


@torch.no_grad()
def compile_graph(graph: GraphModule, *inputs: Any) -> Callable[..., Any]:
    """Compile the graph of a training step for inputs of these shapes; return the graph itself if that fails."""
    compiled: Callable[..., Any] = graph
    try:
        if len(graph.graph.nodes) > MOST_NODES:
            raise ArithmeticError(f"it has more than {MOST_NODES} operations")
        compiled = torch.compile(make_fx(graph, FUSED)(*inputs), dynamic=False)
        if not _result(graph(*inputs)).agrees(_result(compiled(*inputs))):
            raise ArithmeticError("it comes to something else")
        log.info("The training step is compiled.")
    except Exception as error:  # whatever the compiler raises
        log.info(f"The training step is not compiled: {str(error).strip().partition(chr(10))[0]}")
        compiled = graph
    _compiled[_text(graph)] = compiled
    return compiled


def _text(graph: GraphModule) -> str:
    """Return what two graphs have in common that do the same."""
    constants = [getattr(graph, str(node.target)) for node in graph.graph.nodes if node.op == "get_attr"]
    return f"{graph.code} {[describe(each) for each in constants]}"


def _result(outputs: Any) -> TrainingResult:
    losses, scores, gradients = outputs
    return TrainingResult(losses, scores, {}, {}, gradients)


def _multiply(left: Tensor, right: Tensor) -> Tensor:
    """Multiply stacked matrices: narrow ones as sums, which are compiled together with the operations around them."""
    is_narrow = left.shape[2] <= NARROW or left.shape[1] * right.shape[2] <= NARROW**2
    product: Tensor = (left.unsqueeze(3) * right.unsqueeze(1)).sum(2) if is_narrow else NotImplemented
    return product


FUSED = {torch.ops.aten.bmm.default: _multiply}
