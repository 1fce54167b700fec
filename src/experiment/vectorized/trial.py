"""A trial before runs are trained together: do their steps, computed together, come to what each comes to alone?"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from experiment.vectorized.loaders import StackedData
from experiment.vectorized.member import Member
from experiment.vectorized.module import StackedModule, count_arguments
from experiment.vectorized.recorder import Recorder
from experiment.vectorized.refusal import NotVectorizable
from experiment.vectorized.streams import Streams

COMPARED = 2  # runs
TOLERANCE = 1e-4  # relative: rounding makes less, an error in what belongs to which run makes more
REASONS = {  # what torch says, in words
    ".item()": "its step depends on values, by .item() or if",
    "data-dependent control flow": "its step depends on values, by .item() or if",
    "randomness": "its step draws random numbers otherwise than by nn.Dropout",
    "in-place": "its step changes a tensor of the module in place",
}


def try_together(members: Sequence[Member]) -> None:
    """Compute one training step of several runs together, and compare it with those of some alone.

    Raises:
        NotVectorizable: that fails, or comes to something else.
    """
    streams = Streams([member.config.seed for member in members])
    data = StackedData([member.data for member in members], streams)
    try:
        stack = StackedModule([member.model for member in members], [member.optimizer for member in members], streams)
        stack.configure_optimizers()
        data.prepare_data()
        data.setup("fit")
        batch = next(iter(data.train_dataloader()))
        attributes = _attributes(members[0])
        streams.begin_epoch(0)
        stack.training_step(batch, 0).backward()
        if _attributes(members[0]) != attributes:
            raise NotVectorizable("its step changes an attribute of the module")
        _compare(members[:COMPARED], batch, stack.losses, streams)
    except NotVectorizable:
        raise
    except Exception as error:  # whatever somebody's step makes torch raise
        raise NotVectorizable(_explain(error)) from error


def _attributes(member: Member) -> dict[str, int]:
    return {name: id(value) for name, value in vars(member.model).items()}


def _compare(members: Sequence[Member], batch: Any, losses: Tensor, streams: Streams) -> None:
    streams.begin_epoch(0)
    for member in members:
        own: Any = torch.utils._pytree.tree_map(lambda tensor, row=member.index: tensor[row], batch)
        member.model.train()
        with streams.of(member.index), Recorder("training", own).replacing_log(member.model):
            result = member.model.training_step(*(own, 0)[: count_arguments(member.model.training_step)])
        loss: Any = result["loss"] if isinstance(result, dict) else result
        if not torch.allclose(loss.detach(), losses[member.index], rtol=TOLERANCE, atol=1e-6, equal_nan=True):
            raise NotVectorizable("its step comes to another loss where runs are computed together")


def _explain(error: Exception) -> str:
    text = str(error)
    for part, reason in REASONS.items():
        if part in text:
            return reason
    return f"{type(error).__name__}: {next(iter(text.splitlines()), '')}"
