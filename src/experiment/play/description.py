"""What is recorded of a run, whatever its module."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn.parameter import is_lazy

from experiment.runs.layers import named_layers, tag_name


@dataclass
class Description:
    """What a recorder records of a run.

    Attributes:
        facts: what does not change from step to step, as JSON.
        points: the training and validation points, float32, ``[points, inputs + 1]``, the class last.
        parameters: whose values are recorded before and after each step, in this order; empty: none are.
        batch_rows: returns the rows of the training points in the batch of that index; ``None``: always all of them.
        batch_size: points of a batch, where its rows are recorded.
    """

    facts: dict[str, Any]
    points: dict[str, np.ndarray] = field(default_factory=dict)
    parameters: list[Tensor] = field(default_factory=list)
    batch_rows: Callable[[int], np.ndarray] | None = None
    batch_size: int = 0


def describe_layers(trainer: Trainer, module: LightningModule, reason: str) -> Description:
    """Return the modules that hold parameters themselves, by the names that tags have; ``reason``: why no more."""
    layers = [
        {
            "name": tag_name(name),
            "type": type(layer).__name__,
            "parameters": [
                {
                    "name": tag_name(f"{name}.{parameter}"),
                    "shape": [] if is_lazy(values) else list(values.shape),
                }
                for parameter, values in layer.named_parameters(recurse=False)
            ],
        }
        for name, layer in named_layers(module)
    ]
    model = {"kind": "layers", "reason": reason, "layers": layers}
    return Description({"format": 1, "model": model, "precision": str(trainer.precision), "note": None})
