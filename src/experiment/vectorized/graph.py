"""The training step of several runs as a graph of tensor operations: recorded once, and replayed from then on.

To replay it takes less time than to call the module through ``torch.func`` again, and it can be compiled.
"""

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import torch
from torch import Tensor
from torch._decomp import get_decompositions
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten

from experiment.vectorized.attributes import has_hidden_state
from experiment.vectorized.compiling import compile_graph, find_compiled
from experiment.vectorized.recorder import Rule
from experiment.vectorized.refusal import NotVectorizable, explain
from experiment.vectorized.step import MappedStep, TrainingResult
from experiment.vectorized.trainer_view import TrainerView

MOST_GRAPHS = 4  # one for each shape of a batch
COMPARED = 2  # the step that is computed both ways
MEASURED = 10  # uses of a graph, before it is decided whether to compile it
log = logging.getLogger("run")

# torch's one operation takes the logarithms of this loss one by one, which takes longer than operations of their own.
# It raises an error for what is no probability; these return NaN, so that the run is left to another engine,
# which raises it.
FASTER: dict[Any, Callable[..., Any]] = get_decompositions([torch.ops.aten.binary_cross_entropy])


@dataclass
class StepGraph:
    """A training step, recorded for batches of one kind.

    Attributes:
        graph: computes losses, scores and gradients from parameters, buffers and a batch.
        sizes, rules: of what it logs, as in ``StepResult``.
        compute: the graph, or what it was compiled to.
        uses: how often it was replayed.
        seconds: that this took.
    """

    graph: GraphModule
    sizes: dict[str, int]
    rules: dict[str, Rule]
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
        return TrainingResult(losses, scores, self.sizes, self.rules, gradients)


class ReplayedStep:
    """Computes the training step of several runs from a graph, where that comes to the same.

    It does not where a step depends on something that the graph does not hold, as the number of the batch or of the
    epoch. So modules whose attributes may hide a state are not recorded; the second step is computed both ways and
    compared, and so is the newest one before a state is saved.

    Args:
        step: of one module, mapped over the runs.
        pays: whether to compile a graph pays, given the seconds that it takes of a step, on average over all steps.
    """

    def __init__(self, step: MappedStep, pays: Callable[[float], bool]) -> None:
        self.step, self.pays = step, pays
        self.graphs: dict[Hashable, StepGraph | None] = {}  # by the kind of a batch
        self.is_recordable = not step.draws and not has_hidden_state(step.model)
        self.newest: tuple[Any, ...] = ()  # the batch that was replayed last, its kind and its number
        self.steps = 0

    def compute_gradients(
        self, parameters: Sequence[Tensor], buffers: Sequence[Tensor], batch: Any, batch_idx: int
    ) -> TrainingResult:
        """Compute the training step of all runs as ``MappedStep.compute_gradients`` does."""
        self.steps += 1
        inputs = parameters, buffers, batch
        leaves, structure = tree_flatten(batch)
        kind = structure, *((leaf.shape, leaf.dtype) for leaf in leaves)
        if kind not in self.graphs:
            self.graphs[kind] = self._record(*inputs)
        graph = self.graphs[kind]
        replayed = self._replay(graph, *inputs) if graph else None
        if graph and replayed and graph.uses != COMPARED:
            self.newest = kind, batch, batch_idx
            return replayed
        result = self.step.compute_gradients(*inputs, batch_idx)
        if replayed is None or not result.agrees(replayed):
            self.graphs[kind] = None
        return result

    def check(self, parameters: Sequence[Tensor], buffers: Sequence[Tensor]) -> None:
        """Compute the newest step that was replayed both ways.

        Raises:
            NotVectorizable: that does not come to the same.
        """
        if not self.newest:
            return
        kind, batch, batch_idx = self.newest
        self.newest = ()
        graph, inputs = self.graphs[kind], (parameters, buffers, batch)
        if graph and not self.step.compute_gradients(*inputs, batch_idx).agrees(graph.replay(*inputs)):
            raise NotVectorizable("its step depends on something that changes while it is trained")

    def _record(self, parameters: Sequence[Tensor], buffers: Sequence[Tensor], batch: Any) -> StepGraph | None:
        """Return the graph of a step, or nothing if it has to be computed anew each time."""
        if not self.is_recordable or len(self.graphs) >= MOST_GRAPHS:
            return None
        recorded: list[TrainingResult] = []

        def step(parameters: Sequence[Tensor], buffers: Sequence[Tensor], batch: Any) -> Any:
            result = self.step.compute_gradients(parameters, buffers, batch, batch_idx)
            recorded.append(result)
            return result.losses, result.scores, result.gradients

        batch_idx = _Unread()
        copies = [each.detach().clone().requires_grad_(each.requires_grad) for each in parameters]
        copied_buffers = [each.clone() for each in buffers]
        try:
            with cast(TrainerView, self.step.model.trainer).hidden():
                graph = make_fx(step, FASTER)(copies, copied_buffers, batch)
            batch_idx.check()
        except Exception as error:  # whatever somebody's step makes torch raise
            log.debug(f"The step is not recorded, since {explain(error)}.")
            return None
        if any(each._version for each in (*copies, *copied_buffers)):  # the step changes them in place
            return None
        return StepGraph(graph, recorded[0].sizes, recorded[0].rules, find_compiled(graph))

    def _replay(self, graph: StepGraph, *inputs: Any) -> TrainingResult | None:
        """Return the result of a graph, or nothing where an operation refuses its input: the step may handle that."""
        if graph.uses == MEASURED and graph.compute is graph.graph and self.pays(graph.seconds / self.steps):
            graph.compute = compile_graph(graph.graph, *inputs)
        try:
            return graph.replay(*inputs)
        except Exception:
            return None


class _Unread:
    """Stands for the number of a batch, and refuses to be read."""

    was_read = False

    def _refuse(self, *_: Any) -> NoReturn:
        self.was_read = True
        self.check()
        raise AssertionError

    def check(self) -> None:
        """Check that it was not read: a module may have caught the error.

        Raises:
            NotVectorizable: it was.
        """
        if self.was_read:
            raise NotVectorizable("its step uses batch_idx")

    # Other operations raise by themselves.
    __bool__ = __eq__ = __ne__ = __hash__ = __repr__ = __str__ = __format__ = _refuse
    __class__ = property(_refuse)  # asked by isinstance
