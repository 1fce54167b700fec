"""Whether what a configuration names can be made here: its classes with their arguments, its accelerator."""

import functools
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    DeviceStatsMonitor,
    LearningRateFinder,
    LearningRateMonitor,
    ProgressBar,
)
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import Container, DictConfig, OmegaConf
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from experiment.configuration import targets
from experiment.configuration.descriptions import format_value
from experiment.configuration.errors import ConfigurationError
from experiment.configuration.plain import raw_data, resolved_data
from experiment.configuration.references import ResolvedConfig
from experiment.runs import quiet  # noqa: F401
from experiment.runs.environment import explain_failure
from experiment.runs.horizon_trainer import HorizonTrainer
from experiment.runs.loggers import check_logger, named_loggers

FINDERS = {LearningRateFinder: "optimizer.lr", BatchSizeFinder: "data.batch_size"}
NEED_LOGGER = (LearningRateMonitor, DeviceStatsMonitor)
PLAIN: dict[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_progress_bar": False,
}  # works everywhere


def _optimizer_problems(config: DictConfig) -> Iterator[str]:
    if not config.optimizer:
        return
    weights = [torch.nn.Parameter(torch.zeros(1))]
    yield from _problems("optimizer", lambda: targets.instantiate(config, "optimizer")(weights))


def _scheduler_problems(config: DictConfig) -> Iterator[str]:
    if not config.get("scheduler"):
        return
    if "${scheduler" not in repr(raw_data(config.model)):
        yield "scheduler: the model is not given it; model.scheduler=${scheduler} gives it to one that takes it"
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    made: list[LRScheduler] = []
    yield from _problems("scheduler", lambda: made.append(targets.instantiate(config, "scheduler")(optimizer)))
    if made and isinstance(made[0], ReduceLROnPlateau):
        for key, off in (("limit_val_batches", 0), ("check_val_every_n_epoch", None)):
            if config.trainer.get(key, 1) == off:
                value = format_value(off)
                yield f"trainer.{key}={value}: ReduceLROnPlateau needs a validation after every n-th epoch"


def _callback_problems(config: DictConfig) -> Iterator[str]:
    callbacks: dict[str, Callback] = {}
    for name, node in config.callbacks.items():
        if node is not None:
            make = functools.partial(_make, config, "callbacks", name)
            yield from _problems(f"callbacks.{name}", lambda: callbacks.update({name: make()}))  # noqa: B023
    for name, callback in callbacks.items():
        yield from (f"callbacks.{name}: {problem}" for problem in _misfits(callback, config))
    bars = [f"callbacks.{name}" for name, callback in callbacks.items() if isinstance(callback, ProgressBar)]
    if len(bars) > 1:
        yield f"{' and '.join(bars)}: there can be one progress bar"
    with_state: dict[str, str] = {}
    for name, callback in callbacks.items():
        if is_overridden("state_dict", callback, Callback):
            other = with_state.setdefault(callback.state_key, name)
            if other != name:
                kind = type(callback).__name__
                yield f"callbacks.{other} and callbacks.{name}: no checkpoint can hold two {kind} with equal arguments"


def _logger_problems(config: DictConfig) -> Iterator[str]:
    for name in named_loggers(config):
        with tempfile.TemporaryDirectory() as directory:
            yield from _problems(f"loggers.{name}", functools.partial(check_logger, config, name, directory))


def _misfits(callback: Callback, config: DictConfig) -> Iterator[str]:
    """Yield why a run cannot have a callback."""
    kind = type(callback).__name__
    for finder, key in FINDERS.items():
        if isinstance(callback, finder):
            yield f"{kind} changes the run before it starts, which a resume could not repeat: sweep {key} instead"
    if isinstance(callback, NEED_LOGGER) and config.trainer.get("logger") is False and not named_loggers(config):
        yield f"{kind} needs a log, and trainer.logger=false switches it off"


def _trainer_problems(config: DictConfig) -> Iterator[str]:
    if reason := explain_failure(lambda: HorizonTrainer(**PLAIN)):
        yield reason
        return
    arguments: dict[str, Any] = {}
    for name in config.trainer:
        make = functools.partial(_make, config, "trainer", name)
        yield from _problems(f"trainer.{name}", lambda: arguments.update({name: make()}))  # noqa: B023
    if arguments.keys() != config.trainer.keys():
        return
    trainers: list[HorizonTrainer] = []
    if problems := list(_problems("trainer", lambda: trainers.append(_trainer(arguments)))):
        # name the one that is wrong, if it is wrong by itself
        alone = [
            problem
            for name, value in arguments.items()
            for problem in _problems(_format_argument(config, name, value), functools.partial(_trainer, {name: value}))
        ]
        yield from alone or problems
    else:
        yield from _strategy_problems(trainers[0], arguments)


def _strategy_problems(trainer: HorizonTrainer, arguments: dict[str, Any]) -> Iterator[str]:
    if trainer.num_nodes > 1:
        yield f"trainer.num_nodes={trainer.num_nodes}: training on several machines does not work yet"
    if not isinstance(trainer.strategy, DDPStrategy | SingleDeviceStrategy):
        strategy = arguments.get("strategy")
        name = strategy if isinstance(strategy, str) else type(trainer.strategy).__name__
        yield f"trainer.strategy={name}: auto or ddp: checkpoints of other strategies cannot be resumed exactly"


def _trainer(arguments: dict[str, Any]) -> HorizonTrainer:
    return HorizonTrainer(**arguments | {"enable_progress_bar": False})


def _make(config: DictConfig, group: str, name: Any) -> Any:
    """Make the value of a key, whose targets have been checked."""
    value = config[group][name]
    return targets.make(resolved_data(value)) if isinstance(value, Container) else value


def _format_argument(config: DictConfig, name: str, value: Any) -> str:
    raw = OmegaConf.to_container(config.trainer)[name]  # type: ignore[call-overload,index]
    if isinstance(raw, str) and "${" in raw:
        return f"trainer.{name}={raw} ({value})"
    return f"trainer.{name}={value}"


def _problems(what: str, attempt: Callable[[], object]) -> Iterator[str]:
    """Attempt something, and yield the line for its error."""
    try:
        attempt()
    except ConfigurationError:
        raise
    except Exception as error:
        yield f"{what}: {' '.join(str(error).split()) or type(error).__name__}"


# The sections of a configuration that each check depends on.
CHECKS: dict[Callable[[DictConfig], Iterator[str]], tuple[str, ...]] = {
    _optimizer_problems: ("optimizer",),
    _scheduler_problems: ("scheduler", "trainer", "model"),
    _callback_problems: ("callbacks", "trainer", "loggers"),
    _logger_problems: ("loggers",),
    _trainer_problems: ("trainer",),
}


class InstantiableCheck:
    """Checks that what configurations name can be made here; what several have in common is checked once.

    It is made for the configurations of one command: it does not notice that code or the environment has changed.
    """

    def __init__(self) -> None:
        self.known: dict[tuple[Any, ...], list[str]] = {}

    def __call__(self, run: ResolvedConfig) -> None:
        """Check a validated configuration.

        Raises:
            ConfigurationError: something cannot be made, with a line for each.
        """
        contents = {key: repr((run.raw[key], value)) for key, value in run.plain.items()}
        problems: list[str] = []
        for key, value in run.plain.items():
            problems += self._once((key, contents[key]), functools.partial(targets.target_problems, key, value))
        if not problems:
            for check, sections in CHECKS.items():
                content = (check, *(contents.get(section) for section in sections))
                problems += self._once(content, functools.partial(check, run.config))
        if problems:
            raise ConfigurationError.from_lines(problems)

    def _once(self, content: tuple[Any, ...], check: Callable[[], Iterator[str]]) -> list[str]:
        if content not in self.known:
            self.known[content] = [*check()]
        return self.known[content]


def check_instantiable(config: DictConfig) -> None:
    """Check one configuration, as ``InstantiableCheck`` does."""
    InstantiableCheck()(ResolvedConfig.of(config))
