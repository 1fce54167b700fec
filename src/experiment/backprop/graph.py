"""The network in TensorBoard's Graph tab: the operations through which the error is passed back."""

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
from typing_extensions import override

from experiment.runs.callback import View
from experiment.runs.logger import tensorboard_loggers

Shape = tuple[int, ...] | None  # None: of a nested tensor, whose rows differ in length


class Graph(View):
    """Logs the autograd graph of a run's first step, without computing anything or drawing a random number for it.

    Its nodes are operations and parameters, in the scopes of the modules: ``torch.relu`` in the ``forward`` of ``net``
    is ``net/Relu``. ``input`` stands for the data that modules are given, ``loss`` for the loss. Of a step with several
    backward passes, each loss is shown that depends on further parameters.
    """

    def __init__(self) -> None:
        self.pending = False
        self.hooks: list[Any] = []
        self.tracer: GraphTracer | None = None

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A resumed run has logged its graph.
        self.pending = trainer.global_step == 0 and bool(tensorboard_loggers(trainer))

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self.pending:
            self.pending = False
            self.tracer = GraphTracer(pl_module, batch)
            for name, module in pl_module.named_modules():
                if name and not isinstance(module, torch.jit.ScriptModule):  # which takes no hooks
                    self._add_hooks(f"{name}/", module)

    def _add_hooks(self, scope: str, module: nn.Module) -> None:
        # Functions, not methods: a copy that the step makes of a module then shares them, and copies no graph.
        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            if not torch.compiler.is_compiling() and self.tracer:
                self.tracer.enter_module(scope, _tensors((args, kwargs)))

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            if not torch.compiler.is_compiling() and self.tracer:
                self.tracer.leave_module(_tensors(output))

        self.hooks.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        self.hooks.append(module.register_forward_hook(leave, always_call=True))

    @override
    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        if self.tracer:
            self.tracer.add_loss(loss)

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.tracer and self.tracer.names:
            event = Event(graph_def=self.tracer.graph.SerializeToString())
            for logger in tensorboard_loggers(trainer):
                logger.experiment._get_file_writer().add_event(event)
        self._remove_hooks()

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._remove_hooks()

    def _remove_hooks(self) -> None:
        for hook in self.hooks:
            hook.remove()
        self.hooks, self.tracer = [], None


class GraphTracer:
    """Builds the graph of a step from the autograd nodes of the tensors that its modules take and return.

    Attributes:
        graph: of the losses added so far.
        names: of the autograd nodes that are in the graph.
    """

    def __init__(self, module: LightningModule, batch: Any) -> None:
        self.parameters = {id(parameter): name for name, parameter in module.named_parameters()}
        # The modules whose forward is running, innermost last: scope, and shapes of the data they were given.
        self.running = [("", _data_shapes(_tensors(batch)[:1]))]
        self.scopes: dict[Node, str] = {}
        # Of each node that depends on data: the shapes of the data that it takes directly.
        self.data_inputs: dict[Node, list[Shape]] = {}
        self.names: dict[Node, str] = {}
        self.name_counts: Counter[str] = Counter(["input"])
        self.graph = GraphDef()
        self.graph.node.add(name="input", op="Placeholder")
        self.data_shapes: list[Shape] = []  # the outputs of the node "input"

    def enter_module(self, scope: str, inputs: list[Tensor]) -> None:
        """Start a module's scope, with the tensors that it was given."""
        self._assign_scope(inputs)  # now, since the module may change them in place
        self.running.append((scope, _data_shapes(inputs)))

    def leave_module(self, outputs: list[Tensor]) -> None:
        """End the innermost scope, with the tensors that its module returns."""
        self._assign_scope(outputs)
        self.running.pop()

    def _assign_scope(self, tensors: list[Tensor]) -> None:
        """Assign the nodes that lead to tensors, and have no scope yet, to the module that is running."""
        scope, data = self.running[-1]
        for node in _sorted_nodes([tensor.grad_fn for tensor in tensors], self.scopes):
            self.scopes[node] = scope
            inputs = [input_node for input_node, _ in node.next_functions]
            if _operation(node) == "Data" or any(input_node in self.data_inputs for input_node in inputs):
                self.data_inputs[node] = []
            elif None in inputs or _operation(node) == "Embedding":  # autograd has no node for data
                self.data_inputs[node] = data

    def add_loss(self, loss: Tensor) -> None:
        """Add the nodes that lead to a loss, if there are parameters among them that are not in the graph yet."""
        self._assign_scope([loss])
        nodes = _sorted_nodes([loss.grad_fn], self.names)
        if any(_operation(node) == "Parameter" for node in nodes):
            for node in nodes:
                operation = _operation(node)
                self._add_node(node, operation, "loss" if node is loss.grad_fn else self.scopes[node] + operation)

    def _add_node(self, node: Node, operation: str, name: str) -> None:
        inputs = [(input_node, index) for input_node, index in node.next_functions if input_node]
        shapes = [_shape(output, output.is_nested_tensor) for output in node._input_metadata]
        if operation == "Data":
            self.names[node] = self._input_name(shapes[0])
        elif operation == "T" and _operation(inputs[0][0]) == "Parameter":  # every linear layer transposes its weight
            self.names[node] = self.names[inputs[0][0]]
        else:
            if operation == "Parameter":
                name = self.parameters.get(id(node.variable), name)  # type: ignore[attr-defined]
            name = name.replace(".", "/")
            self.names[node] = f"{name}_{self.name_counts[name]}" if self.name_counts[name] else name
            self.name_counts[name] += 1
            edges = [_output_name(self.names[input_node], index) for input_node, index in inputs]
            edges += dict.fromkeys(self._input_name(shape) for shape in self.data_inputs.get(node, []))
            _set_shapes(self.graph.node.add(name=self.names[node], op=operation, input=edges), shapes)

    def _input_name(self, shape: Shape) -> str:
        """Return the name of the output of ``input`` that has a shape, which is added if there is none."""
        if shape not in self.data_shapes:
            self.data_shapes.append(shape)
            _set_shapes(self.graph.node[0], [shape])
        return _output_name("input", self.data_shapes.index(shape))


def _sorted_nodes(roots: list[Node | None], known: Container[Node]) -> list[Node]:
    """Return the nodes that lead to ``roots``, less those known, in topological order: inputs first."""
    ordered: dict[Node, None] = {}
    pending = [(root, False) for root in roots]
    while pending:
        node, inputs_done = pending.pop()
        if node and inputs_done:
            ordered[node] = None
        elif node and node not in ordered and node not in known:
            pending += [(node, True), *((input_node, False) for input_node, _ in reversed(node.next_functions))]
    return list(ordered)


def _operation(node: Node) -> str:
    """Return ``Relu`` for ``ReluBackward0``, ``Parameter`` or ``Data`` for a leaf."""
    name = re.sub(r"Backward\d*$", "", node.name().rpartition("::")[2])
    if name == "AccumulateGrad":
        return "Parameter" if isinstance(node.variable, nn.Parameter) else "Data"  # type: ignore[attr-defined]
    return name


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _data_shapes(tensors: list[Tensor]) -> list[Shape]:
    return [_shape(tensor, tensor.is_nested) for tensor in tensors if not tensor.requires_grad]


def _shape(tensor: Any, nested: bool) -> Shape:
    """Return a shape, with -1 for a symbolic size."""
    return None if nested else tuple(size if isinstance(size, int) else -1 for size in tensor.shape)


def _output_name(name: str, index: int) -> str:
    """Return the name by which an edge refers to an output of a node, as TensorFlow's ``GraphDef`` has it."""
    return f"{name}:{index}" if index else name


def _set_shapes(node: Any, shapes: list[Shape]) -> None:
    for shape in shapes:
        sizes = [{"size": size} for size in shape or ()]
        node.attr["_output_shapes"].list.shape.add(unknown_rank=shape is None, dim=sizes)
