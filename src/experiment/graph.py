"""The network's graph, for TensorBoard."""

import io
import logging
import warnings
from contextlib import redirect_stdout
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from experiment.randomness import kept

log = logging.getLogger(__name__)


class Graph(Callback):
    """Logs the graph of the network within a LightningModule: the largest child that the first batch goes through."""

    def __init__(self) -> None:
        self.calls: dict[nn.Module, tuple[Tensor, ...]] = {}
        self.hooks: list[Any] = []
        self.logged = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """See what the children are called with."""
        if not self.logged:
            self.hooks = [child.register_forward_pre_hook(self._called) for child in pl_module.children()]

    def _called(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and all(isinstance(each, Tensor) for each in inputs):
            self.calls[module] = tuple(each.detach() for each in inputs)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Trace the network, as it is when it is evaluated."""
        for hook in self.hooks:
            hook.remove()
        if self.logged or not self.calls or not trainer.is_global_zero:
            return
        network, inputs = max(self.calls.items(), key=lambda call: sum(each.numel() for each in call[0].parameters()))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                try:
                    # torch prints its errors, and warns of what TensorBoard's graphs are made with.
                    with kept(), redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
                        logger.experiment.add_graph(network, inputs)
                except Exception as error:  # whatever somebody's network does while it is traced
                    log.info(f"TensorBoard shows no graph: {str(error).splitlines()[0]}")
        self.logged, self.calls = True, {}
