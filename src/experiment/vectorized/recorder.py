"""What a module logs in its step, for all runs at once: ``self.log`` where one step is computed for many runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.data import extract_batch_size
from torch import Tensor

from experiment.vectorized.refusal import NotVectorizable

METHODS = ("log", "log_dict")


@dataclass(frozen=True)
class Rule:
    """How a name is logged.

    Attributes:
        on_step: after each step.
        on_epoch: as a mean over an epoch, weighted by the sizes of the batches.
        to_logger: whether it is logged, or only a score.
    """

    on_step: bool
    on_epoch: bool
    to_logger: bool

    def step_name(self, name: str) -> str:
        """Return the name of the value of a step, as Lightning chooses it."""
        return f"{name}_step" if self.on_epoch else name

    def epoch_name(self, name: str) -> str:
        """Return the name of the mean over an epoch."""
        return f"{name}_epoch" if self.on_step else name


@dataclass
class Recorder:
    """Takes the place of a module's ``log`` and ``log_dict``.

    Args:
        stage: ``training``, ``validation`` or ``test``: it decides when a value is logged by default.
        batch: of one run.

    Attributes:
        values: by name, what was logged in this step.
        sizes: by name, the size of the batch.
        rules: by name.
    """

    stage: str
    batch: Any
    values: dict[str, Tensor] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    rules: dict[str, Rule] = field(default_factory=dict)

    def log(
        self,
        name: str,
        value: Any,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: Any = "mean",
        batch_size: int | None = None,
        **others: Any,
    ) -> None:
        """Record a value as ``LightningModule.log`` does.

        Raises:
            NotVectorizable: it is no number, no mean over an epoch, or logged in another way that one run alone knows.
        """
        if reduce_fx not in ("mean", torch.mean):
            raise NotVectorizable(f"it logs {name} with another reduce_fx than the mean")
        if not isinstance(value, Tensor | int | float):
            raise NotVectorizable(f"it logs {name}, a {type(value).__name__}")
        in_training = self.stage == "training"
        on_step = in_training if on_step is None else on_step
        on_epoch = not in_training if on_epoch is None else on_epoch
        if on_step and not in_training:
            raise NotVectorizable(f"it logs {name} after each batch of {self.stage}")
        if name == "step":
            raise NotVectorizable("it logs its own axis, 'step'")
        if name in self.values:
            raise NotVectorizable(f"it logs {name} more than once in a step")
        value = torch.as_tensor(value).detach().clone()  # a parameter is changed after the step
        if value.numel() != 1:
            raise NotVectorizable(f"it logs {name}, which is more than one number")
        value = value.reshape(())
        self.values[name] = value if value.is_floating_point() else value.to(torch.get_default_dtype())
        self.sizes[name] = batch_size or extract_batch_size(self.batch)
        self.rules[name] = Rule(on_step, on_epoch, logger is not False)

    def log_dict(self, dictionary: Mapping[str, Any], **arguments: Any) -> None:
        """Record several values as ``LightningModule.log_dict`` does."""
        for name, value in dictionary.items():
            self.log(name, value, **arguments)

    @contextmanager
    def replacing_log(self, module: LightningModule) -> Iterator[None]:
        """Record what a module logs meanwhile."""
        for method in METHODS:
            object.__setattr__(module, method, getattr(self, method))
        try:
            yield
        finally:
            for method in METHODS:
                object.__delattr__(module, method)


class Means:
    """The means of what is logged over an epoch, for all runs, as Lightning computes them."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.sizes: dict[str, int] = {}
        self.rules: dict[str, Rule] = {}

    def add(self, name: str, values: Tensor, size: int, rule: Rule) -> None:
        """Add the values of a batch, one for each run."""
        self.sums[name] = self.sums[name] + values * size if name in self.sums else values * size
        self.sizes[name] = self.sizes.get(name, 0) + size
        self.rules[name] = rule

    def take(self) -> dict[str, Tensor]:
        """Return the means, and begin anew."""
        means = {name: total / self.sizes[name] for name, total in self.sums.items()}
        self.sums, self.sizes = {}, {}
        return means
