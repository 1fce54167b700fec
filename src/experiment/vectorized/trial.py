"""A trial before runs are trained together: do their steps, computed together, come to what each comes to alone?"""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.plugins import Precision
from omegaconf import DictConfig
from torch import Tensor

from experiment.runs.directory import RunDirectory
from experiment.vectorized.grouping import check_modules
from experiment.vectorized.loaders import StackedData
from experiment.vectorized.member import Member
from experiment.vectorized.module import StackedModule, count_arguments
from experiment.vectorized.recorder import Recorder
from experiment.vectorized.refusal import NotVectorizable
from experiment.vectorized.streams import Streams
from experiment.vectorized.training import make_trainer

TRIED, COMPARED = 4, 2  # runs
FEWEST, MOST = 16, 1024  # runs together
CACHE = 8 * 2**20  # bytes that a step of all runs may keep on a CPU: about a cache of the last level
MEMORY = 2**30  # on an accelerator that does not say how much it has
TOLERANCE = 1e-4  # relative: rounding makes less, an error in what belongs to which run makes more
REASONS = {  # what torch says, in words
    ".item()": "its step depends on values, by .item() or if",
    "data-dependent control flow": "its step depends on values, by .item() or if",
    "randomness": "its step draws random numbers otherwise than by nn.Dropout",
    "in-place": "its step changes a tensor of the module in place",
}


def choose_batch_size(runs: Sequence[tuple[RunDirectory, DictConfig]]) -> int:
    """Try a step of a few runs of one structure, and return how many are best trained together.

    Raises:
        NotVectorizable: they cannot be trained together.
    """
    trainer = make_trainer(runs[0][1])
    members = [Member.make(index, directory, config, trainer) for index, (directory, config) in enumerate(runs)]
    check_modules(members[0].model, members[0].data)
    size = _try_together(members, trainer.precision_plugin) / len(members)
    return int(min(max(_room(trainer.strategy.root_device) / size, FEWEST), MOST))


def _room(device: torch.device) -> float:
    """Return how many bytes a step of all runs may keep on a device."""
    if device.type == "cpu":
        return CACHE
    return torch.cuda.mem_get_info(device)[0] / 4 if device.type == "cuda" else MEMORY


def _try_together(members: Sequence[Member], precision: Precision) -> int:
    """Compute one training step of several runs together, and compare it with those of some alone.

    Returns:
        How many bytes the step keeps for its backward pass.

    Raises:
        NotVectorizable: that fails, or comes to something else.
    """
    streams = Streams([member.config.seed for member in members])
    data = StackedData([member.data for member in members], streams)
    sizes: dict[int, int] = {}

    def measure(tensor: Tensor) -> Tensor:
        sizes[tensor.data_ptr()] = tensor.nbytes
        return tensor

    try:
        stack = StackedModule([member.model for member in members], [member.optimizer for member in members], streams)
        stack.configure_optimizers()
        data.prepare_data()
        data.setup("fit")
        batch = precision.convert_input(next(iter(data.train_dataloader())))
        attributes = _attributes(members[0])
        streams.begin_epoch(0)
        saved = torch.autograd.graph.saved_tensors_hooks(measure, lambda tensor: tensor)
        with precision.train_step_context(), saved:
            loss = stack.training_step(batch, 0)
        loss.backward()
        if _attributes(members[0]) != attributes:
            raise NotVectorizable("its step changes an attribute of the module")
        with precision.train_step_context():
            _compare(members[:COMPARED], batch, stack.losses, streams)
    except NotVectorizable:
        raise
    except Exception as error:  # whatever somebody's step makes torch raise
        raise NotVectorizable(_explain(error)) from error
    return sum(sizes.values())


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
