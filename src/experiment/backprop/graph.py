"""The net, in TensorBoard's Graph tab: the way along which the error is passed back."""

import re
from collections import Counter
from collections.abc import Container
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils._pytree import tree_leaves

from experiment.runs.callback import LeanCallback
from experiment.runs.logger import tensorboard_loggers

Shape = tuple[int, ...] | None


class Graph(LeanCallback):
    """Logs the autograd graph of a run's first step: nothing is computed for it, and no random number drawn.

    Its nodes are operations and parameters, in the scopes of the modules: ``torch.relu`` in the ``forward`` of ``net``
    is ``net/Relu``. They lie between ``input``, the data that modules are given, and ``loss``. Where a step passes
    several losses back, each is shown that reaches further parameters.
    """

    def __init__(self) -> None:
        self.due = False
        self.hooks: list[Any] = []
        self.trace: _Trace | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Be ready for the first step; a run that goes on has its graph."""
        self.due = trainer.global_step == 0 and bool(tensorboard_loggers(trainer))

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
                self.trace.enter(scope, _tensors((args, kwargs)))

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            if not torch.compiler.is_compiling() and self.trace:
                self.trace.leave(_tensors(output))

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
        if self.trace and self.trace.names:
            event = Event(graph_def=self.trace.graph.SerializeToString())
            for logger in tensorboard_loggers(trainer):
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
        self.running = [("", _data(_tensors(batch)[:1]))]  # the modules, innermost last, and the data they are given
        self.scopes: dict[Node, str] = {}
        self.fed: dict[Node, list[Shape]] = {}  # what data leads to, and the data that it takes itself
        self.names: dict[Node, str] = {}
        self.used: Counter[str] = Counter(["input"])
        self.graph = GraphDef()
        self.graph.node.add(name="input", op="Placeholder")
        self.data: list[Shape] = []

    def enter(self, scope: str, inputs: list[Tensor]) -> None:
        self._claim(inputs)  # before the module changes them in place
        self.running.append((scope, _data(inputs)))

    def leave(self, outputs: list[Tensor]) -> None:
        self._claim(outputs)
        self.running.pop()

    def _claim(self, tensors: list[Tensor]) -> None:
        """Take what led to these tensors, and is nobody's yet, for the module that is running."""
        scope, data = self.running[-1]
        for node in _forward([tensor.grad_fn for tensor in tensors], self.scopes):
            self.scopes[node] = scope
            inputs = [each for each, _ in node.next_functions]
            if _op(node) == "Data" or any(each in self.fed for each in inputs):
                self.fed[node] = []
            elif None in inputs or _op(node) == "Embedding":  # no error is passed back to data
                self.fed[node] = data

    def end(self, loss: Tensor) -> None:
        """Add what led to a loss, if there is a parameter that is not there yet."""
        self._claim([loss])
        nodes = _forward([loss.grad_fn], self.names)
        if any(_op(node) == "Parameter" for node in nodes):
            for node in nodes:
                self._add(node, _op(node), "loss" if node is loss.grad_fn else self.scopes[node] + _op(node))

    def _add(self, node: Node, op: str, name: str) -> None:
        inputs = [(each, index) for each, index in node.next_functions if each]
        shapes = [_shape(each, each.is_nested_tensor) for each in node._input_metadata]  # of what it computes
        if op == "Data":
            self.names[node] = self._input(shapes[0])
        elif op == "T" and _op(inputs[0][0]) == "Parameter":  # every linear layer turns its weight
            self.names[node] = self.names[inputs[0][0]]
        else:
            if op == "Parameter":
                name = self.parameters.get(id(node.variable), name)  # type: ignore[attr-defined]
            name = name.replace(".", "/")
            self.names[node] = f"{name}_{self.used[name]}" if self.used[name] else name
            self.used[name] += 1
            edges = [_output(self.names[each], index) for each, index in inputs]
            edges += dict.fromkeys(self._input(shape) for shape in self.fed.get(node, []))
            _label(self.graph.node.add(name=self.names[node], op=op, input=edges), shapes)

    def _input(self, shape: Shape) -> str:
        if shape not in self.data:
            self.data.append(shape)
            _label(self.graph.node[0], [shape])
        return _output("input", self.data.index(shape))


def _forward(roots: list[Node | None], known: Container[Node]) -> list[Node]:
    """Return the nodes that lead to these, less those known, in an order in which they can be computed."""
    ordered: dict[Node, None] = {}
    pending = [(root, False) for root in roots]
    while pending:
        node, ready = pending.pop()
        if node and ready:
            ordered[node] = None
        elif node and node not in ordered and node not in known:
            pending += [(node, True), *((each, False) for each, _ in reversed(node.next_functions))]
    return list(ordered)


def _op(node: Node) -> str:
    name = re.sub(r"Backward\d*$", "", node.name().rpartition("::")[2])
    if name == "AccumulateGrad":
        return "Parameter" if isinstance(node.variable, nn.Parameter) else "Data"  # type: ignore[attr-defined]
    return name


def _tensors(values: Any) -> list[Tensor]:
    return [each for each in tree_leaves(values) if isinstance(each, Tensor)]


def _data(tensors: list[Tensor]) -> list[Shape]:
    return [_shape(tensor, tensor.is_nested) for tensor in tensors if not tensor.requires_grad]


def _shape(of: Any, nested: bool) -> Shape:
    return None if nested else tuple(size if isinstance(size, int) else -1 for size in of.shape)


def _output(name: str, index: int) -> str:
    return f"{name}:{index}" if index else name


def _label(node: Any, shapes: list[Shape]) -> None:
    for shape in shapes:
        sizes = [{"size": size} for size in shape or ()]
        node.attr["_output_shapes"].list.shape.add(unknown_rank=shape is None, dim=sizes)
