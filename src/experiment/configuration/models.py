"""What a configuration may be: every key with its type, its range and its meaning.

Validation, ``--help`` and the JSON schemas that editors use on the YAML all follow from the models here.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from experiment.configuration.numbers import FLOAT32, MAX_INPUTS, Count, Interval, Seed
from experiment.configuration.objective import COUNTS, TEXTS
from experiment.configuration.problems import PROBLEMS
from experiment.configuration.signatures import add_arguments
from experiment.configuration.unions import CustomClass, StrictModel, known_or_custom


def _check_metric(metric: str) -> str:
    if metric in (*TEXTS, *COUNTS):
        raise ValueError("metrics.json has another value under that name")
    return metric


Metric = Annotated[str, Field(min_length=1, examples=["val/loss"]), AfterValidator(_check_metric)]


class PointsClassifierConfig(StrictModel):
    """The network that separates the classes of points."""

    target: Literal["experiment.points.classifier.PointsClassifier"] = Field(
        alias="_target_", description="the LightningModule"
    )
    inputs: Annotated[int, Field(ge=1, le=MAX_INPUTS)] = Field(
        default=2, description="coordinates of a point: by default as many as the columns of the data"
    )
    hidden: list[Annotated[int, Field(ge=1, le=65536)]] = Field(
        max_length=100, description="the widths of the hidden layers"
    )
    activation: Literal["relu", "tanh", "sigmoid", "linear"] = Field(description="the activation of the hidden layers")
    loss: Literal["bce", "bce_with_logits"] = Field(
        description="bce: BCELoss on probabilities; bce_with_logits: the numerically stable form"
    )
    optimizer: dict[str, Any] = Field(min_length=1, description="by default that of the run")
    scheduler: dict[str, Any] = Field(default={}, description="by default that of the run")
    from_run: str | None = Field(
        default=None, description="a run directory, or a checkpoint in one, whose weights training starts from"
    )


class OptimizerConfig(StrictModel):
    """What all of torch's optimizers share."""

    partial: Literal[True] = Field(alias="_partial_", description="the model calls it with the parameters to optimize")
    lr: Annotated[float, Field(ge=0, le=FLOAT32)] = Field(default_factory=float, description="the learning rate")


def _optimizer(name: str) -> type[StrictModel]:
    return add_arguments(
        OptimizerConfig,
        f"torch.optim.{name.lower()}",
        name,
        description="as in torch",
        excluded=["params"],
        target=(Literal[f"torch.optim.{name}"], Field(alias="_target_", description="the optimizer")),
    )


OPTIMIZERS = [_optimizer(name) for name in ("SGD", "Adam", "AdamW", "RMSprop")]


class SchedulerConfig(StrictModel):
    """What all of torch's schedules of the learning rate share."""

    partial: Literal[True] = Field(alias="_partial_", description="the model calls it with its optimizer")


def _scheduler(name: str, **more: Any) -> type[StrictModel]:
    return add_arguments(
        SchedulerConfig,
        "torch.optim.lr_scheduler",
        name,
        description="as in torch",
        excluded=["optimizer", "last_epoch", *more],
        target=(Literal[f"torch.optim.lr_scheduler.{name}"], Field(alias="_target_", description="the schedule")),
        **more,
    )


SCHEDULERS = [
    _scheduler("StepLR", step_size=(Count, Field(description="epochs from one change of the rate to the next"))),
    _scheduler("CosineAnnealingLR", T_max=(Count, Field(description="epochs until the rate is at its lowest"))),
    _scheduler("ReduceLROnPlateau"),
]


class TrainerConfig(StrictModel):
    """The arguments of Lightning's ``Trainer`` whose range or meaning is stated here; the others are Lightning's."""

    max_epochs: Annotated[int, Field(ge=1, le=10**12)] | Literal[-1] | None = Field(
        description="passes over the training points; -1 or null: no limit, if max_steps or max_time is set"
    )
    max_steps: Annotated[int, Field(ge=1, le=10**15)] | Literal[-1] = Field(default=-1, description="optimizer steps")
    accelerator: str = Field(description="the Lightning accelerator: cpu, gpu, mps, …; auto: the best there is")
    devices: int | str | list[int] = Field(
        default=1, description="one device, however many the machine has; of several, each has a process"
    )
    log_every_n_steps: Interval = Field(description="how often train/loss is logged")
    check_val_every_n_epoch: Interval | None = Field(
        description="how often the validation points are scored; 1 if val_check_interval is set and this key is not"
    )
    logger: bool = Field(default=True, description="false: no TensorBoard log")


_Trainer = add_arguments(
    TrainerConfig,
    "lightning.pytorch.trainer.trainer",
    "Trainer",
    description="as in Lightning",
    # The run sets these: callbacks are a group of the configuration, files and checkpoints lie in the run's directory.
    excluded=["callbacks", "default_root_dir", "enable_checkpointing", "barebones", "model_registry"],
)


class CheckpointConfig(StrictModel):
    """When a run saves its state."""

    every_n_seconds: float = Field(
        ge=0,
        le=1e9,
        description="how much training a kill can lose; up to an epoch where a state within one cannot be resumed",
    )


class BackpropConfig(StrictModel):
    """How often a run logs backpropagation."""

    every_n_steps: Interval | None = Field(
        description="how often the scalars of backpropagation are logged: at steps 0, n, 2n, …; null: never"
    )
    histogram_every_n_steps: Interval | None = Field(
        description="how often its histograms are logged: at steps 0, n, 2n, …; null: never"
    )


class ObjectiveConfig(StrictModel):
    """A score, and which of its values are the better ones."""

    metric: Metric = Field(description="the name under which it is logged")
    mode: Literal["min", "max"] = Field(default="min", description="min: lower is better; max: higher is better")


Objective = Annotated[
    Annotated[Metric, Tag("@name")] | Annotated[ObjectiveConfig, Tag("@group")],
    Discriminator(lambda value: "@group" if isinstance(value, dict) else "@name"),
]


class SearchConfig(StrictModel):
    """How a sweep searches; a search space alone, as an experiment may have, does not start a search."""

    trials: Count = Field(default_factory=int, description="how many runs are tried")
    pruning: bool = Field(
        default=False, description="true: a trial that is worse than the median of those before it is stopped"
    )
    space: dict[str, Any] = Field(
        default={}, description="what each key may be, as Hydra sweeps it: tag(log, interval(0.001, 10)), or 4,8,16"
    )


class RunConfig(StrictModel):
    """One run."""

    seed: Seed = Field(description="seeds the points (NumPy) and the initial weights (torch)")
    data: known_or_custom(*PROBLEMS) = Field(description="the problem")  # type: ignore[valid-type]
    model: known_or_custom(PointsClassifierConfig) = Field(  # type: ignore[valid-type]
        description="the network, its loss, its optimizer"
    )
    optimizer: known_or_custom(*OPTIMIZERS, optional=True) = Field(  # type: ignore[valid-type]
        description="how the weights are adjusted; null where the model makes an optimizer of its own"
    )
    scheduler: known_or_custom(*SCHEDULERS, optional=True) = Field(  # type: ignore[valid-type]
        default={}, description="how the learning rate changes in training; null: it does not"
    )
    trainer: _Trainer = Field(description="the arguments of Lightning's Trainer")  # type: ignore[valid-type]
    objective: Objective = Field(
        description="the score by which runs are compared: its name, if lower is better, or {metric: val/r2, mode: max}"
    )
    checkpoint: CheckpointConfig = Field(description="when the state is saved")
    backprop: BackpropConfig = Field(description="how often backpropagation is logged")
    search: SearchConfig | None = Field(default=None, description="optuna: a sweep is a search for the best objective")
    callbacks: dict[str, CustomClass | None] = Field(description="Lightning callbacks by name; null switches one off")
    loggers: dict[str, CustomClass | None] = Field(
        default={}, description="Lightning loggers by name, beside TensorBoard; null switches one off"
    )
    extras: dict[str, Any] = Field(default={}, description="keys of your own, for interpolation")
