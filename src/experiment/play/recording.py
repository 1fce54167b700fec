"""What the page shows of a run, out of what its log holds, whoever reads it.

Imports neither torch nor this project's heavy parts: TensorBoard imports it when it starts.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from experiment.play.tags import CHUNK, FACTS, POINTS, SCALARS, STEPS, chunk_tag, points_tag

Array = np.ndarray
NOTHING = (
    "{name} has recorded nothing for this page: it has not completed a step yet, or its callback play is switched off, "
    "or hydra/launcher=vectorized trained it, which leaves the views to the other launchers."
)


class NotRecorded(Exception):
    """A run has not recorded what was asked for; the message is for the user."""


class Chunk(NamedTuple):
    """Consecutive steps that were logged together, and the first of them that no chunk before it has."""

    first: int
    last: int
    begin: int


class Recording:
    """What a run has recorded.

    Args:
        name: of the run.
        tags: of its tensors.
        read: returns the newest tensor of a tag.
        newest_steps: of its scalars, by tag.
    """

    def __init__(
        self, name: str, tags: Iterable[str], read: Callable[[str], Array], newest_steps: Mapping[str, int]
    ) -> None:
        self.name, self.tags, self.read = name, {*tags}, read
        self.newest_steps = {tag: step for tag, step in newest_steps.items() if SCALARS.fullmatch(tag)}
        self.chunks = list(chain_chunks(self.tags))

    @property
    def steps(self) -> int:
        """The number of steps that can be shown, counted from step 0."""
        if points_tag("training") in self.tags:  # its weights are recorded
            return self.chunks[-1].last + 1 if self.chunks else 0
        return 1 + max((step for tag, step in self.newest_steps.items() if not tag.startswith("val/")), default=-1)

    @property
    def _reason(self) -> str:
        return NOTHING.format(name=self.name)

    def summary(self) -> dict[str, Any]:
        """Return the run as it is listed."""
        return {"name": self.name, "steps": self.steps, "reason": None if FACTS in self.tags else self._reason}

    def manifest(self) -> dict[str, Any]:
        """Return what does not change from step to step, and how far the run has come.

        Raises:
            NotRecorded: the run has recorded nothing, or it is damaged.
        """
        if FACTS not in self.tags:
            raise NotRecorded(self._reason)
        try:
            facts = json.loads(self.read(FACTS).item())
            assert facts["format"] == 1
        except (ValueError, TypeError, KeyError, AssertionError):
            raise NotRecorded(f"What {self.name} recorded for this page is damaged, or of another version.") from None
        progress = {"first": self.chunks[0].first if self.chunks else 0, "steps": self.steps}
        return {**facts, **progress, "name": self.name, "series": sorted(self.newest_steps)}

    def blob(self, name: str, start: int | None = None) -> bytes:
        """Return points, or weights or batches from a step on, little-endian.

        Weights are a row before each step, and one after the last. Raises ``NotRecorded`` where there is no such blob.
        """
        if name in POINTS and points_tag(name) in self.tags:
            return _to_bytes(self.read(points_tag(name)), "<f4")
        if name == "weights":
            return _to_bytes(self._weights(start or 0), "<f4")
        if name == "batches" and any(chunk_tag("batches", *chunk[:2]) in self.tags for chunk in self.chunks):
            return _to_bytes(self._batches(start or 0), "<u4")
        names = ", ".join([*POINTS, *STEPS])
        raise NotRecorded(f"{self.name} has recorded no {name}; a run on points has {names}.")

    def _from(self, start: int) -> Iterator[tuple[Chunk, int]]:
        """Yield the chunks from a step on, each with its first step that is to be shown."""
        for chunk in self.chunks:
            if chunk.last >= start:
                yield chunk, max(chunk.begin, start)

    def _weights(self, start: int) -> Array:
        """Return the weights before each step from ``start`` on, and after the last, ``[steps + 1, size]``."""
        parts, after = [], np.empty((0, 0))
        for chunk, begin in self._from(start):
            rows = self.read(chunk_tag("weights", chunk.first, chunk.last))
            if rows.ndim != 2 or len(rows) != chunk.last - chunk.first + 2:
                raise NotRecorded(f"The weights of the steps {chunk.first} to {chunk.last} of {self.name} are damaged.")
            parts.append(rows[begin - chunk.first : -1])
            after = rows[-1:]
        return np.concatenate([*parts, after])

    def _batches(self, start: int) -> Array:
        parts: list[Array] = []
        for chunk, begin in self._from(start):
            numbers = self.read(chunk_tag("batches", chunk.first, chunk.last)).astype(np.uint32)
            parts += list(split_batches(numbers))[begin - chunk.first :]
        return np.concatenate(parts) if parts else np.empty(0)


def chain_chunks(tags: Iterable[str]) -> Iterator[Chunk]:
    """Yield chunks whose steps follow each other without a gap.

    A server that reads while a run is killed and resumed also has chunks that were logged after the last checkpoint.
    Their steps are those of the resumed run, which is exact.
    """
    end = None
    spans = sorted((int(match[1]), int(match[2])) for match in map(CHUNK.fullmatch, tags) if match)
    for first, last in spans:
        end = first if end is None else end
        if first <= end <= last:
            yield Chunk(first, last, end)
            end = last + 1


def split_batches(numbers: Array) -> Iterator[Array]:
    """Yield what belongs to each step.

    Raises:
        NotRecorded: the numbers are damaged.
    """
    start = 0
    while start < len(numbers):
        end = start + 1
        for _ in range(min(int(numbers[start]), len(numbers))):
            end += 1 + int(numbers[end]) if end < len(numbers) else 1
        if not start + 1 < end <= len(numbers):
            raise NotRecorded("The batches of the steps are damaged.")
        yield numbers[start:end]
        start = end


def pack_series(points: Iterable[tuple[int, float]]) -> bytes:
    """Return the steps and values of a scalar: all steps, uint32, then all values, float32, little-endian."""
    pairs = list(points)
    return _to_bytes([step for step, _ in pairs], "<u4") + _to_bytes([value for _, value in pairs], "<f4")


def _to_bytes(values: Any, dtype: str) -> bytes:
    return np.asarray(values).astype(dtype).tobytes()
