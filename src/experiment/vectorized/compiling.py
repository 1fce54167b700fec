"""Graphs of tensor operations, compiled where there is a compiler."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_leaves

from experiment.vectorized.agreement import agree
from experiment.vectorized.attributes import describe

COMPILE_SECONDS = 8.0  # that to compile a step may take, with the import of the compiler
SAVED = 0.6  # of the time of a step, where it is compiled
MOST_NODES = 2000  # of a graph: to compile more takes minutes
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


def is_compiled(graph: GraphModule) -> bool:
    """Return whether such a graph has been compiled in this process."""
    return _text(graph) in _compiled


@torch.no_grad()
def compiled(graph: GraphModule, *inputs: Any) -> Callable[..., Any]:
    """Return a compiled function that does what a graph does for inputs of these shapes; the graph if there is none."""
    text = _text(graph)
    if text not in _compiled:
        try:
            if len(graph.graph.nodes) > MOST_NODES:
                raise ArithmeticError(f"it has more than {MOST_NODES} operations")
            _compiled[text] = torch.compile(make_fx(graph, FUSED)(*inputs), dynamic=False)
            if not agree(_named(graph(*inputs)), _named(_compiled[text](*inputs))):
                raise ArithmeticError("it comes to something else")
            log.info("The training step is compiled.")
        except Exception as error:  # whatever the compiler raises
            log.info(f"The training step is not compiled: {str(error).strip().partition(chr(10))[0]}")
            _compiled[text] = graph
    return _compiled[text]


def _text(graph: GraphModule) -> str:
    """Return what two graphs have in common that do the same."""
    constants = [getattr(graph, str(node.target)) for node in graph.graph.nodes if node.op == "get_attr"]
    return f"{graph.code} {[describe(each) for each in constants]}"


def _named(outputs: Any) -> dict[str, Tensor]:
    return {str(index): each for index, each in enumerate(tree_leaves(outputs)) if each is not None}


def _multiply(left: Tensor, right: Tensor) -> Tensor:
    """Multiply stacked matrices: narrow ones as sums, which are compiled together with the operations around them."""
    is_narrow = left.shape[2] <= NARROW or left.shape[1] * right.shape[2] <= NARROW**2
    product: Tensor = (left.unsqueeze(3) * right.unsqueeze(1)).sum(2) if is_narrow else NotImplemented
    return product


FUSED = {torch.ops.aten.bmm.default: _multiply}
