"""The net, in TensorBoard's Graph tab: the way along which the error is passed back."""

import re
from collections import Counter
from collections.abc import Container, Iterable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils._pytree import tree_leaves

from experiment.logger import tensorboards


class Graph(Callback):
    """Shows the autograd graph of a run's first step: nothing is computed for it, and no random number drawn.

    Its nodes are operations and parameters, in the scopes of the modules: ``torch.relu`` in the ``forward`` of ``net``
    is ``net/Relu``. They lie between ``input``, the data that modules are given, and ``loss``. Where a step passes
    several losses back, each is shown that reaches further parameters.
    """

    def __init__(self) -> None:
        self.due = False
        self.trace: _Trace | None = None
        self.hooks: list[Any] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Be ready for the first step; a run that goes on has its graph."""
        self.due = trainer.global_step == 0 and bool(tensorboards(trainer))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Listen to the modules: which of them computes what."""
        if self.due:
            self.due = False
            self.trace = _Trace(pl_module, batch)
            for name, module in pl_module.named_modules():
                if name and not isinstance(module, torch.jit.ScriptModule):  # that takes no hooks
                    self._listen(f"{name}/", module)

    def _listen(self, scope: str, module: nn.Module) -> None:
        # Functions, not methods: a copy that the step makes of a module then shares them, and copies no graph.
        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            if not torch.compiler.is_compiling() and self.trace:
                self.trace.enter(scope, (args, kwargs))

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            if not torch.compiler.is_compiling() and self.trace:
                self.trace.leave(output)

        self.hooks.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        self.hooks.append(module.register_forward_hook(leave, always_call=True))

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """See the way that the error of this loss is about to take."""
        if self.trace:
            self.trace.end(loss)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the graph."""
        if self.trace and self.trace.nodes:
            event = Event(graph_def=self.trace.graph().SerializeToString())
            for logger in tensorboards(trainer):
                logger.experiment._get_file_writer().add_event(event)
        self._forget()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the module as it was."""
        self._forget()

    def _forget(self) -> None:
        for hook in self.hooks:
            hook.remove()
        self.hooks, self.trace = [], None


class _Trace:
    """What a step computes, and which module does."""

    def __init__(self, module: LightningModule, batch: Any) -> None:
        self.parameters = {id(parameter): name for name, parameter in module.named_parameters()}
        self.running = [("", _data(batch))]  # the modules, from the outermost to the innermost, and their data
        self.scopes: dict[Node, str] = {}
        self.fed: dict[Node, list[TensorShapeProto]] = {}  # what data leads to, and the data it takes itself
        self.data: list[TensorShapeProto] = []
        self.names: dict[Node, str] = {}
        self.used: Counter[str] = Counter(["input"])
        self.nodes: list[NodeDef] = []

    def enter(self, scope: str, inputs: Any) -> None:
        """A module begins; what was computed for it is its caller's, and may be changed in place from now on."""
        self._claim(inputs)
        self.running.append((scope, _data(inputs)))

    def leave(self, output: Any) -> None:
        """The module ends."""
        self._claim(output)
        self.running.pop()

    def _claim(self, computed: Any) -> None:
        """Give what led to these tensors, and is not given yet, to the module that is running."""
        scope, data = self.running[-1]
        for node in _forward((tensor.grad_fn for tensor in _tensors(computed)), self.scopes):
            self.scopes[node] = scope
            inputs = [each for each, _ in node.next_functions]
            if any(each in self.fed for each in inputs):
                self.fed[node] = []
            elif data and (None in inputs or _op(node) == "Embedding"):  # no error is passed back to data
                self.fed[node] = data

    def end(self, loss: Tensor) -> None:
        """Add what led to a loss, if there is a parameter that is not there yet."""
        self._claim(loss)
        nodes = _forward([loss.grad_fn], self.names)
        if any(_op(node) == "Parameter" for node in nodes):
            for node in nodes:
                self._add(node, "loss" if node is loss.grad_fn else self.scopes[node] + _op(node))

    def _add(self, node: Node, name: str) -> None:
        inputs = [(each, index) for each, index in node.next_functions if each]
        if _op(node) == "T" and _op(inputs[0][0]) == "Parameter":  # every linear layer turns its weight
            self.names[node] = self.names[inputs[0][0]]
            return
        if _op(node) == "Parameter":
            name = self.parameters.get(id(node.variable), name)  # type: ignore[attr-defined]
        name = name.replace(".", "/")
        self.used[name] += 1
        self.names[node] = name if self.used[name] == 1 else f"{name}_{self.used[name] - 1}"
        edges = [_edge(self.names[each], index) for each, index in inputs]
        for shape in self.fed.get(node, []):
            if shape not in self.data:
                self.data.append(shape)
            edges.append(_edge("input", self.data.index(shape)))
        shapes = [_shape(each, each.is_nested_tensor) for each in node._input_metadata]  # of the outputs: backward
        self.nodes.append(_node(self.names[node], _op(node), edges, shapes))

    def graph(self) -> GraphDef:
        """Return what was added, and the data."""
        return GraphDef(node=[_node("input", "Placeholder", [], self.data), *self.nodes])


def _forward(roots: Iterable[Node | None], known: Container[Node]) -> list[Node]:
    """Return the nodes that lead to these, less those known, in an order in which they can be computed."""
    ordered: dict[Node, None] = {}
    pending = [(root, False) for root in roots]
    while pending:
        node, ready = pending.pop()
        if ready and node:
            ordered[node] = None
        elif node and node not in ordered and node not in known:
            pending += [(node, True), *((each, False) for each, _ in node.next_functions)]
    return list(ordered)


def _op(node: Node) -> str:
    name = re.sub(r"Backward\d*$", "", node.name().rpartition("::")[2])
    return "Parameter" if name == "AccumulateGrad" else name


def _tensors(values: Any) -> list[Tensor]:
    return [each for each in tree_leaves(values) if isinstance(each, Tensor)]


def _data(values: Any) -> list[TensorShapeProto]:
    """Return the shapes of the tensors that no error is passed back to."""
    return [_shape(tensor, tensor.is_nested) for tensor in _tensors(values) if not tensor.requires_grad]


def _shape(of: Any, nested: bool) -> TensorShapeProto:
    if nested:
        return TensorShapeProto(unknown_rank=True)
    sizes = (size if isinstance(size, int) else -1 for size in of.shape)  # not all are known
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])


def _edge(name: str, output: int) -> str:
    return f"{name}:{output}" if output else name


def _node(name: str, op: str, edges: list[str], shapes: list[TensorShapeProto]) -> NodeDef:
    attributes = {"_output_shapes": AttrValue(list=AttrValue.ListValue(shape=shapes))}
    return NodeDef(name=name, op=op, input=edges, attr=attributes)
