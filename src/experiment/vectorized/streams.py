"""Random numbers of runs that are trained together: each run draws from streams of its own, as if it were alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from experiment.runs.randomness import get_streams, seed_epoch, set_streams
from experiment.vectorized.attributes import describe
from experiment.vectorized.refusal import NotVectorizable

Result = TypeVar("Result")


class Streams:
    """The random streams of several runs; one is made only when something draws from it.

    Args:
        seeds: of the runs.
        states: of the streams at first.
    """

    def __init__(self, seeds: Sequence[int], states: Sequence[dict[str, Any]] = ()) -> None:
        self.seeds, self.epoch = seeds, 0
        self.states: dict[int, dict[str, Any]] = dict(enumerate(states))
        self.newest: dict[str, Any] = {}  # what Python, NumPy and torch draw from outside of these streams

    def begin_epoch(self, epoch: int) -> None:
        """Let all streams begin where they begin in an epoch."""
        self.epoch, self.states = epoch, {}

    def copy(self) -> "Streams":
        """Return the streams as they are now."""
        copied = Streams(self.seeds)
        copied.epoch, copied.states = self.epoch, {**self.states}
        return copied

    def state(self, run: int) -> dict[str, Any]:
        """Return the state of a run's streams."""
        with self.of(run):
            pass
        return self.states[run]

    def watch_global(self) -> None:
        """Let ``of`` and ``check_global`` look at what is drawn from now on."""
        self.newest = get_streams()

    def check_global(self) -> None:
        """Check that no step has drawn from Python or NumPy: ``torch.func.vmap`` refuses all draws of torch's.

        Raises:
            NotVectorizable: one has.
        """
        now = get_streams()
        if self.newest and any(describe(now[name]) != describe(self.newest[name]) for name in ("python", "numpy")):
            raise NotVectorizable("a step draws random numbers otherwise than by nn.Dropout")

    @contextmanager
    def of(self, run: int) -> Iterator[None]:
        """Let Python, NumPy and torch draw from the streams of a run, given by its index."""
        if run == 0:  # once for all runs, since it takes 0.1 ms
            self.check_global()
        if run in self.states:
            set_streams(self.states[run])
        else:
            seed_epoch(self.seeds[run], self.epoch)
        try:
            yield
        finally:
            self.states[run] = get_streams()
            self.newest = self.newest and self.states[run]

    def call_each(self, functions: Iterable[Callable[[], Result]]) -> list[Result]:
        """Call functions, one of each run, with its streams.

        That of the first run shows whether the others draw random numbers too: to set the streams of a run takes time.

        Raises:
            NotVectorizable: others do, and that of the first does not.
        """
        first, *others = functions
        before = describe(self.state(0))
        with self.of(0):
            results = [first()]
        draws, now = describe(self.states[0]) != before, describe(get_streams())
        for run, function in enumerate(others, 1):
            with self.of(run) if draws else nullcontext():
                results.append(function())
        if not draws and describe(get_streams()) != now:
            raise NotVectorizable("some of them draw random numbers where the first does not")
        return results


class DropoutFromStreams(TorchFunctionMode):
    """Lets dropout within ``vmap`` keep, in each run, the very elements that it keeps where the run is alone."""

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self.streams = streams

    @override
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.dropout:
            return self._dropout(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or p == 0:
            return input
        kept: Tensor = _Kept.apply(input.detach(), 1 - p, self.streams)  # type: ignore[no-untyped-call]
        return input * kept


class _Kept(torch.autograd.Function):
    """1 / probability where an element is kept, else 0, drawn as torch's dropout draws on a CPU."""

    @staticmethod
    @override
    def forward(like: Tensor, probability: float, streams: Streams) -> Tensor:
        return torch.empty_like(like).bernoulli_(probability).div_(probability) if probability else like * 0

    @staticmethod
    @override
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Any) -> Any:
        return None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, like: Tensor, probability: float, streams: Streams) -> tuple[Tensor, int]:
        rows = like.movedim(in_dims[0], 0) if in_dims[0] is not None else like.expand(info.batch_size, *like.shape)
        kept = []
        for run, row in enumerate(rows):
            with streams.of(run):
                kept.append(_Kept.forward(row, probability, streams))
        return torch.stack(kept), 0
