"""What a run's directory holds for the page."""

from pathlib import Path

import numpy as np
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_INT32, DT_STRING

from experiment.play.recording import Recording
from experiment.play.tags import PLUGIN
from experiment.runs.events import read_events


class RunLog:
    """The tensors and the scalars of the log in a run's directory, all of them in memory.

    Attributes:
        recording: what it holds for the page.
        scalars: steps and values, by tag.
    """

    def __init__(self, directory: Path, name: str) -> None:
        tensors: dict[str, np.ndarray] = {}
        self.scalars: dict[str, list[tuple[int, float]]] = {}
        for event in read_events(directory):
            for value in event.summary.value:
                if value.tag.startswith(f"{PLUGIN}/"):
                    tensors[value.tag] = _to_array(value.tensor)
                elif value.HasField("simple_value"):
                    self.scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
        newest = {tag: curve[-1][0] for tag, curve in self.scalars.items()}
        self.recording = Recording(name, tensors, tensors.__getitem__, newest)


def _to_array(tensor: TensorProto) -> np.ndarray:
    """Return a tensor as a recorder logs it: of any other, what is not there is empty.

    TensorBoard's own function repeats a number as often as a shape says, which in a stranger's file may be any number.
    """
    if tensor.dtype == DT_STRING:
        return np.array(b"".join(tensor.string_val), object)
    dtype = {DT_FLOAT: "<f4", DT_INT32: "<i4"}.get(tensor.dtype, "u1")
    shape = [each.size for each in tensor.tensor_shape.dim]
    numbers = np.frombuffer(tensor.tensor_content, dtype)
    return numbers.reshape(shape) if numbers.size == np.prod(shape, dtype=float) else numbers
