"""The checkpoints of several runs: each is written as that of a run alone, in the directory of its run."""

import copy
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from typing_extensions import override

from experiment.runs.checkpoint_places import CheckpointPlaces, place_together
from experiment.runs.checkpoints import SAVING_SHARE, Checkpoints
from experiment.runs.files import sync_files
from experiment.runs.loss import LossMonitor
from experiment.runs.randomness import Randomness
from experiment.runs.resumability import is_stateful
from experiment.runs.signals import SignalHandler
from experiment.vectorized.attributes import describe_state
from experiment.vectorized.callbacks import StackedLossMonitor
from experiment.vectorized.log import StateMark
from experiment.vectorized.member import Member, hyper_parameters
from experiment.vectorized.module import StackedModule
from experiment.vectorized.optimizers import StackedOptimizer
from experiment.vectorized.refusal import NotVectorizable

SAVE_SECONDS = 1e-3  # that a checkpoint of a small network takes


class StackedPlaces(CheckpointPlaces):
    """Moves the checkpoint files of several runs, whose names are those of the first run."""

    def __init__(self, members: Sequence[Member]) -> None:
        first = members[0].places
        super().__init__(first.directory, [])
        self.members = members

    @property
    def _kept(self) -> list[CheckpointPlaces]:
        return [member.places for member in self.members if not member.is_dropped]

    @override
    def begin(self) -> None:
        for places in self._kept:
            places.begin()

    @override
    def place(self, name: str) -> None:
        place_together(self._kept, name)


class StackedCheckpoints(Checkpoints):
    """Saves the states of several runs, each in the directory of its run.

    The best states are kept in memory until the next ``last.ckpt``, which they move into their places with.
    """

    state_key = Checkpoints.__qualname__

    def __init__(
        self,
        members: Sequence[Member],
        stack: StackedModule,
        loss: StackedLossMonitor,
        every_n_seconds: float,
        signals: SignalHandler,
    ) -> None:
        super().__init__(StackedPlaces(members), every_n_seconds, signals, members[0].best_score)
        self.members, self.stack, self.loss = members, stack, loss
        self.best_states: dict[int, StackedState] = {}  # by the index of the run
        self.attributes = describe_state(members[0].model)

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        # Not at once, as a single run saves.
        self.due_at = time.monotonic() + max(self.every_n_seconds, len(self.members) * SAVE_SECONDS / SAVING_SHARE)

    @override
    def _is_exact_within_epoch(self, trainer: Trainer) -> bool:
        return not self.stack.training_means.sums and is_stateful(trainer) and super()._is_exact_within_epoch(trainer)

    @property
    def kept(self) -> list[Member]:
        """The runs that are not dropped."""
        return [member for member in self.members if not member.is_dropped]

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        self.validated_step = trainer.global_step
        columns = {name: values.tolist() for name, values in self.stack.scores.items()}
        for member in self.members:
            scores = {name: values[member.index] for name, values in columns.items()}
            member.is_best = not member.is_dropped and member.best_score.update(scores, trainer.global_step)
        self.is_best = any(member.is_best for member in self.members)

    @override
    def _save_best(self, trainer: Trainer, is_resumable: bool) -> None:
        self.is_best = False
        best = [member for member in self.kept if member.is_best]
        for member in best:
            member.is_best = False
        state = self._capture(trainer, is_resumable)
        if is_resumable:
            state.mark = self.loss.stacked_log.mark(self.name)
        self.best_states |= dict.fromkeys((member.index for member in best), state)

    @override
    def _write(self, trainer: Trainer, path: Path, is_resumable: bool) -> str:
        state = self._capture(trainer, is_resumable)
        for member in self.kept:
            best = self.best_states.get(member.index)
            if best and not member.is_best:  # else it is replaced as soon as training has ended
                best.write(member, member.places.next_best)
            state.write(member, member.places.next)
        self.best_states = {}
        self.stack.streams.watch_global()  # to write states has set them
        return self.name

    def _capture(self, trainer: Trainer, is_resumable: bool) -> "StackedState":
        if describe_state(self.stack.models[0]) != self.attributes:  # no checkpoint holds them
            raise NotVectorizable("a step changes an attribute of the module")
        self.stack.check_steps()
        self.stack.streams.check_global()
        self.is_resumable = is_resumable
        state = StackedState(trainer, self)
        self.is_resumable = False
        return state

    @override
    def finish(self, is_scheduled: bool) -> None:
        for member in self.kept:
            member.places.use_last_as_best(member.is_best or member.best_score.value is None, is_scheduled)
        sync_files([each for member in self.kept if (each := member.places.directory).exists()])

    def seconds_of(self, member: Member) -> float:
        """Return how long a run was trained: its earlier starts, and its share of this one."""
        return member.earlier_seconds + self.seconds / len(self.members)

    def state_of(self, member: Member) -> dict[str, Any]:
        """Return the state that a checkpoint of a run holds."""
        own = {"is_best": member.is_best, "seconds": self.seconds_of(member)}
        return {"validated_step": self.validated_step, **own, "best_score": member.best_score.state_dict()}

    @override
    def state_dict(self) -> dict[str, Any]:
        return {}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validated_step = state_dict["validated_step"]
        self.is_best = any(member.is_best for member in self.members)


class StackedState:
    """The state of several runs at one moment, from which the checkpoint of each can be written."""

    def __init__(self, trainer: Trainer, checkpoints: StackedCheckpoints) -> None:
        stack, optimizer = checkpoints.stack, trainer.optimizers[0]
        assert isinstance(optimizer, StackedOptimizer)
        self.common = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        self.io = trainer.strategy.checkpoint_io
        self.tensors, self.optimizer, self.states = stack.copy_tensors(), optimizer, optimizer.copy_states()
        self.streams = stack.streams.copy()
        self.callbacks = [checkpoints.state_of(member) for member in checkpoints.members]
        self.losses = checkpoints.loss.states()
        self.data = [copy.deepcopy(member.data.state_dict()) for member in checkpoints.members]
        self.mark: StateMark | None = None  # in the logs of the runs that write it

    def write(self, member: Member, path: Path) -> None:
        """Write the checkpoint of a run."""
        run = member.index
        if self.mark:
            self.mark.runs.add(run)
        names = [*member.model.state_dict()]
        own = {
            "state_dict": OrderedDict((name, self.tensors[name][run].clone()) for name in names),
            "optimizer_states": [self.optimizer.state_of(run, self.states)],
            "callbacks": {
                **member.other_states,
                Randomness.__qualname__: self.streams.state(run),
                LossMonitor.__qualname__: self.losses[run],
                Checkpoints.__qualname__: self.callbacks[run],
            },
        }
        if self.data[run]:
            own[type(member.data).__qualname__] = self.data[run]
        self.io.save_checkpoint({**self.common, **own, **hyper_parameters(member.model, member.data)}, path)
