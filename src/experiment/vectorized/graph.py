"""The training step of several runs as a graph of tensor operations: recorded once, and replayed from then on.

To replay it takes less time than to call the module through ``torch.func`` again, and it can be compiled.
"""

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, cast

import torch
from torch import Tensor
from torch._decomp import get_decompositions
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_leaves

from experiment.vectorized.compiling import compiled, is_compiled
from experiment.vectorized.refusal import NotVectorizable, explain
from experiment.vectorized.step import MappedStep, TrainingResult
from experiment.vectorized.trainer_view import TrainerView

MOST_GRAPHS = 4  # one for each shape of a batch
COMPARED = 2  # the step that is computed both ways
MEASURED = 10  # uses of a graph, before it is decided whether to compile it
# torch's own operation takes the logarithms of this loss one by one, three times as long as operations of their own.
FASTER: dict[Any, Callable[..., Any]] = get_decompositions([torch.ops.aten.binary_cross_entropy])

log = logging.getLogger("run")


@dataclass
class StepGraph:
    """A training step, recorded for batches of one shape.

    Attributes:
        graph: computes losses, scores and gradients from parameters, buffers and a batch.
        recorded: the result of the step that was recorded.
        compute: the graph, or what it was compiled to.
        uses: how often it was replayed.
        seconds: that this took.
    """

    graph: GraphModule
    recorded: TrainingResult
    compute: Callable[..., Any]
    uses: int = 0
    seconds: float = 0.0

    @torch.no_grad()
    def replay(self, *inputs: Any) -> TrainingResult:
        """Compute the step for other parameters, buffers and another batch."""
        start = time.perf_counter()
        losses, scores, gradients = self.compute(*inputs)
        self.seconds += time.perf_counter() - start
        self.uses += 1
        return replace(self.recorded, losses=losses, scores=scores, gradients=gradients)


class ReplayedStep:
    """Computes the training step of several runs from a graph, where that comes to the same.

    It does not where a step depends on something that the graph does not hold: the number of the batch or of the
    epoch, random numbers, a counter of its own. So the second step is computed both ways and compared.

    Args:
        step: of one module, mapped over the runs.
        pays: whether to compile a graph pays, given the seconds that it takes of a step, on average over all steps.
    """

    def __init__(self, step: MappedStep, pays: Callable[[float], bool]) -> None:
        self.step, self.pays = step, pays
        self.graphs: dict[Hashable, StepGraph | None] = {}  # by the shape of a batch
        self.steps = 0

    def compute_gradients(
        self, parameters: Sequence[Tensor], buffers: Sequence[Tensor], batch: Any, batch_idx: int
    ) -> TrainingResult:
        """Compute the training step of all runs as ``MappedStep.compute_gradients`` does."""
        self.steps += 1
        inputs = parameters, buffers, batch
        shape = tuple((leaf.shape, leaf.dtype) for leaf in tree_leaves(batch))
        if shape not in self.graphs:
            self.graphs[shape] = self._record(*inputs)
        graph = self.graphs[shape]
        replayed = self._replay(graph, *inputs) if graph else None
        if graph and replayed and graph.uses != COMPARED:
            return replayed
        result = self.step.compute_gradients(*inputs, batch_idx)
        if replayed is None or not result.agrees(replayed):
            self.graphs[shape] = None
        return result

    def _record(self, parameters: Sequence[Tensor], buffers: Sequence[Tensor], batch: Any) -> StepGraph | None:
        """Return the graph of a step, or nothing if it has to be computed anew each time."""
        if self.step.draws or len(self.graphs) == MOST_GRAPHS:
            return None
        results: list[TrainingResult] = []

        def step(parameters: Sequence[Tensor], buffers: Sequence[Tensor], batch: Any) -> Any:
            results.append(self.step.compute_gradients(parameters, buffers, batch, _Unread()))
            return results[0].losses, results[0].scores, results[0].gradients

        own = [each.detach().clone().requires_grad_(each.requires_grad) for each in parameters]
        changed = [each.clone() for each in buffers]
        try:
            with cast(TrainerView, self.step.model.trainer).hidden():
                graph = make_fx(step, FASTER)(own, changed, batch)
        except Exception as error:  # whatever somebody's step makes torch raise
            log.debug(f"The step is not recorded, since {explain(error)}.")
            return None
        if any(each._version for each in changed):  # the graph would change copies
            return None
        compute = compiled(graph, parameters, buffers, batch) if is_compiled(graph) else graph
        return StepGraph(graph, results[0], compute)

    def _replay(self, graph: StepGraph, *inputs: Any) -> TrainingResult | None:
        """Return the result of a graph, or nothing where an operation refuses its input: the step may handle that."""
        if graph.uses == MEASURED and graph.compute is graph.graph and self.pays(graph.seconds / self.steps):
            graph.compute = compiled(graph.graph, *inputs)
        try:
            return graph.replay(*inputs)
        except Exception:
            return None


class _Unread:
    """Stands for the number of a batch, and refuses to be read."""

    def _refuse(self, *_: Any) -> NoReturn:
        raise NotVectorizable("its step uses batch_idx")

    # Other operations raise by themselves.
    __bool__ = __eq__ = __ne__ = __hash__ = __repr__ = __str__ = __format__ = _refuse
