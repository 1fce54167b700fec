"""The callback that records the weights of every step of a run."""

import json
import logging
import time
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_INT32, DT_STRING
from torch import Tensor
from typing_extensions import override

from experiment.play.description import Description, describe_layers
from experiment.play.tags import FACTS, PLUGIN, chunk_tag, points_tag
from experiment.runs.callback import View
from experiment.runs.events import FLUSH_SECONDS
from experiment.runs.logger import tensorboard_loggers

log = logging.getLogger("run")  # of the run's log file alone

CHUNK_NUMBERS = 2**16  # weights of a chunk at most


class Recorder(View):
    """Records a run for TensorBoard's tab *Backpropagation* and for ``experiment.play``: the layers of any module.

    If a subclass describes parameters, their values before and after each step are recorded too, as float32. They are
    logged in chunks; one ends wherever a checkpoint is saved, so that a run that resumes there logs each step once.

    Args:
        max_numbers: a run with more weights × steps than that records none, and logs the reason.

    Raises:
        ValueError: it is not a whole number ≥ 0.
    """

    def __init__(self, max_numbers: int) -> None:
        if isinstance(max_numbers, bool) or not isinstance(max_numbers, int) or max_numbers < 0:
            raise ValueError(f"max_numbers={max_numbers}: a whole number ≥ 0")
        self.max_numbers = max_numbers
        self.logged_facts: str | None = None  # what the log has of them, in JSON
        self.description: Description | None = None  # None: nothing more is recorded
        self.is_begun = False  # a batch of this start has ended
        self.size = 1  # weights before a step
        self.max_steps = 0  # that can be recorded
        self.first = 0  # the first step of the open chunk
        self.chunk_steps = 0  # that it can hold
        self.vectors: list[Tensor] = []  # views of the parameters: making one takes longer than a copy
        self.rows: list[Tensor] = []  # the weights before it, and after each step of the chunk
        self.batches: list[list[np.ndarray]] = []  # of each step of the chunk: the rows of its batches
        self.step_batches: list[np.ndarray] = []  # those of the step that is not complete
        self.due_at = 0.0

    def describe(self, trainer: Trainer, module: LightningModule) -> Description:
        """Return what is recorded of a run: its layers alone."""
        return describe_layers(trainer, module, f"{type(module).__name__} is no classifier of points of a plane.")

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not tensorboard_loggers(trainer):
            return
        self.first = trainer.global_step
        self.description = self.describe(trainer, pl_module)
        if self.description.parameters:
            self._limit(trainer, pl_module, self.description)
        self._begin_chunk(self.description)
        self.is_begun = False

    def _limit(self, trainer: Trainer, module: LightningModule, description: Description) -> None:
        """Determine how many steps can be recorded, and record the weights of none if the run has more."""
        self.size = sum(parameter.numel() for parameter in description.parameters)
        points = sum(each.size for each in description.points.values())
        self.max_steps = (self.max_numbers - points) // (self.size + description.batch_size)
        steps = count_steps(trainer) or self.first + 1
        if steps <= self.max_steps:
            return
        limit = f"callbacks.play.max_numbers={self.max_numbers}"
        reason = f"{self.size} weights × {steps} steps, and the points, are more than {limit}"
        log.info(f"The weights of the steps are not recorded from step {self.first} on: {reason}.")
        if self.first == 0:
            self.description = describe_layers(trainer, module, f"The weights were not recorded: {reason}.")
        else:  # those before may be in the log
            note = f"The weights are not recorded from step {self.first} on: {reason}."
            self.description = Description(description.facts | {"note": note}, description.points)

    def _begin_chunk(self, description: Description) -> None:
        self.vectors = [parameter.detach().view(-1) for parameter in description.parameters]
        self.rows = [torch.cat(self.vectors)] if self.vectors else []
        self.batches = []
        self.chunk_steps = min(max(1, CHUNK_NUMBERS // self.size), self.max_steps - self.first)
        self.due_at = time.monotonic() + FLUSH_SECONDS

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        description = self.description
        if description is None:
            return
        if not self.is_begun:  # now, and not before: a log that resumes is muted until here
            self.is_begun = True
            self._log_facts(trainer, description)
        if not description.parameters:
            self.description = None
        elif self._completes_step(trainer, description, batch_idx):
            self.rows.append(torch.cat(self.vectors))
            if len(self.rows) > self.chunk_steps or time.monotonic() > self.due_at:
                self._log_chunk(trainer)
                if self.first >= self.max_steps:
                    self._stop(trainer, description)

    def _completes_step(self, trainer: Trainer, description: Description, batch_idx: int) -> bool:
        """Whether a step ends with a batch, whose rows are recorded."""
        if description.batch_rows is None:
            return True
        self.step_batches.append(description.batch_rows(batch_idx))
        if (batch_idx + 1) % trainer.accumulate_grad_batches and not trainer.is_last_batch:
            return False
        self.batches.append(self.step_batches)
        self.step_batches = []
        return True

    def _stop(self, trainer: Trainer, description: Description) -> None:
        """Record nothing more: how many steps there will be was not known."""
        note = f"The weights are not recorded from step {self.first} on: callbacks.play.max_numbers={self.max_numbers}."
        log.info(note)
        self._log_facts(trainer, Description(description.facts | {"note": note}))
        self.description = None

    def _log_facts(self, trainer: Trainer, description: Description) -> None:
        """Log the facts, unless the log has them, and the points when the first facts are logged."""
        facts = json.dumps(description.facts, ensure_ascii=False)
        if facts == self.logged_facts:
            return
        if self.logged_facts is None:
            for name, points in description.points.items():
                _log_array(trainer, points_tag(name), points, self.first)
        self.logged_facts = facts
        _log_tensor(trainer, FACTS, {"dtype": DT_STRING, "string_val": [facts.encode()]}, self.first)

    def _log_chunk(self, trainer: Trainer) -> None:
        """Log the steps of the open chunk, if there are any, and begin the next one."""
        if self.description is None or len(self.rows) < 2:
            return
        last = self.first + len(self.rows) - 2
        weights = torch.stack(self.rows).float().cpu().numpy()
        _log_array(trainer, chunk_tag("weights", self.first, last), weights, self.first)
        if self.batches:
            _log_array(trainer, chunk_tag("batches", self.first, last), _pack(self.batches), self.first)
        self.first = last + 1
        self._begin_chunk(self.description)

    @override
    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._log_chunk(trainer)  # before the log is marked: what comes after the mark is logged anew by a resumed run

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log_chunk(trainer)

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._log_chunk(trainer)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"logged_facts": self.logged_facts}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.logged_facts = state_dict["logged_facts"]


def count_steps(trainer: Trainer) -> int | None:
    """Return after how many steps training ends; ``None`` where that is not known."""
    loop = trainer.fit_loop
    limits = [loop.max_steps] if loop.max_steps >= 0 else []
    batches = loop.max_batches
    if loop.max_epochs is not None and loop.max_epochs >= 0 and batches < float("inf"):
        limits.append(loop.max_epochs * -(-int(batches) // trainer.accumulate_grad_batches))
    return min(limits, default=None)


def _pack(batches: list[list[np.ndarray]]) -> np.ndarray:
    """Return for each step the number of its batches, then for each batch the number of its rows, and its rows."""
    numbers: list[int] = []
    for step in batches:
        numbers.append(len(step))
        for rows in step:
            numbers += [len(rows), *rows.tolist()]
    return np.array(numbers, np.int32)


def _log_array(trainer: Trainer, tag: str, array: np.ndarray, step: int) -> None:
    dtype = DT_INT32 if array.dtype == np.int32 else DT_FLOAT
    content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    shape = {"dim": [{"size": size} for size in array.shape]}
    _log_tensor(trainer, tag, {"dtype": dtype, "tensor_shape": shape, "tensor_content": content}, step)


def _log_tensor(trainer: Trainer, tag: str, tensor: dict[str, Any], step: int) -> None:
    metadata = {"plugin_data": {"plugin_name": PLUGIN}, "data_class": DATA_CLASS_TENSOR}
    summary = Summary(value=[{"tag": tag, "metadata": metadata, "tensor": tensor}])
    for logger in tensorboard_loggers(trainer):
        logger.experiment._get_file_writer().add_event(Event(step=step, summary=summary))
