"""How the coordinates and the classes of points become numbers, and how that is recorded."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from experiment.configuration.errors import ConfigurationError

MORE = "of more than two classes, examples/digits shows how"


@dataclass(frozen=True)
class Encoding:
    """What the numbers that a network sees stand for.

    Attributes:
        columns: the names of the coordinates.
        center, scale: of each coordinate: the network sees (x − center) / scale.
        labels: the names of class 0 and class 1.
    """

    columns: list[str]
    center: list[float]
    scale: list[float]
    labels: list[str]

    @classmethod
    def fit(cls, columns: Sequence[str], points: np.ndarray, labels: Sequence[str]) -> Self:
        """Return the encoding in which points, ``[n, columns]``, fill [-1, 1]; a constant coordinate becomes 0."""
        low, high = points.min(axis=0), points.max(axis=0)
        scale = np.where(high > low, (high - low) / 2, 1.0)
        return cls([*columns], ((low + high) / 2).tolist(), scale.tolist(), [*labels])

    @classmethod
    def read(cls, state: Any) -> Self:
        """Return the encoding that a checkpoint holds, which may be a stranger's.

        Raises:
            ConfigurationError: it is damaged.
        """
        fields: dict[str, Any] = {}
        if isinstance(state, dict):
            fields = {name: state.get(name) for name in cls.__annotations__}
        kinds = {"columns": str, "center": float, "scale": float, "labels": str}
        if not all(_is_list_of(fields.get(name), kind) for name, kind in kinds.items()):
            raise ConfigurationError("The checkpoint's scales of the data are damaged.")
        encoding = cls(**fields)
        if not len(encoding.columns) == len(encoding.center) == len(encoding.scale) or len(encoding.labels) != 2:
            raise ConfigurationError("The checkpoint's scales of the data are damaged.")
        return encoding

    def state(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def encode(self, points: np.ndarray) -> Tensor:
        """Return points, ``[n, columns]``, as float32 as the network sees them."""
        return torch.from_numpy(((points - self.center) / self.scale).astype(np.float32))


# Of the points that shapes draw.
PLANE = Encoding(["x", "y"], [0.0, 0.0], [1.0, 1.0], ["0", "1"])


class Labels:
    """The two labels of a column, as they are found; numbers that are equal are one label, however written.

    Attributes:
        texts: as they were first written, stripped.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.values: list[float | str] = []
        self.codes: dict[str, int] = {}

    def code(self, text: str) -> int:
        """Return 0 for the label that was found first and 1 for the other one.

        Raises:
            ValueError: there is no label, or it is a third one.
        """
        if text not in self.codes:
            self.codes[text] = self._find(text.strip())
        return self.codes[text]

    def _find(self, text: str) -> int:
        value = label_value(text)
        if value in ("", "nan"):
            raise ValueError("no class, but an empty cell" if not text else f"{text!r} is no class")
        if value not in self.values:
            if len(self.values) == 2:
                raise ValueError(f"{text!r} is a third class, beside {self.texts[0]!r} and {self.texts[1]!r}: {MORE}")
            self.texts.append(text)
            self.values.append(value)
        return self.values.index(value)

    @property
    def in_order(self) -> bool:
        """Whether the label that was found first is class 0: the smaller number or the earlier text."""
        first, second = self.values
        if isinstance(first, float) and isinstance(second, float):
            return first < second
        return self.texts[0] < self.texts[1]


def label_value(text: str) -> float | str:
    """Return what a label is compared by: its number, if it is one."""
    try:
        number = float(text)
    except ValueError:
        return text
    return text if "_" in text else number if number == number else "nan"


def same_labels(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether labels are the same, one by one."""
    return [*map(label_value, some)] == [*map(label_value, others)]


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)
