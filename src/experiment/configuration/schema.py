"""What a configuration may be: every key with its type, its range and its meaning.

The errors, ``--help`` and the JSON schemas that editors use on the YAML all follow from the models here.
``python -m experiment.configuration.schema`` writes those JSON schemas beside the YAML files.
"""

import ast
import builtins
import difflib
import functools
import json
import sys
import textwrap
import typing
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from omegaconf import DictConfig, OmegaConf
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, create_model

from experiment.configuration.errors import ConfigurationError


class StrictModel(BaseModel):
    """A part of a configuration: its keys are known, and its values are of the very type that they should be."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class CustomClass(BaseModel):
    """A user's own class: what it takes is between its signature and the configuration."""

    model_config = ConfigDict(extra="allow")
    target: str = Field(
        alias="_target_",
        pattern=r"^\w+(\.\w+)+$",
        examples=["package.module.Class"],
        description="any importable class",
    )


def _choice(*known: type[StrictModel]) -> Any:
    """Return the union of ``known`` and ``CustomClass``, told apart by ``_meant``."""

    def tag(value: Any) -> str:
        model = _meant(known, value)
        return f"@{known.index(model) if model else 'own'}"

    members = [Annotated[model, Tag(f"@{index}")] for index, model in enumerate(known)]
    return Annotated[Union[*members, Annotated[CustomClass, Tag("@own")]], Discriminator(tag)]


def _meant(models: Sequence[type[StrictModel]], value: Any) -> type[StrictModel] | None:
    """Return the model whose ``_target_`` a value has; of several, the one of which it has the most constants."""
    given = value if isinstance(value, dict) else {}
    candidates = [model for model in models if _constants(model)["_target_"] == given.get("_target_")]
    return max(candidates, key=lambda model: len(_constants(model).items() & given.items()), default=None)


def _constants(model: type[BaseModel]) -> dict[str, Any]:
    """Return the keys of which a model knows one value alone, such as ``_target_`` and ``shape``."""
    kinds = {field.alias or name: typing.get_args(field.annotation) for name, field in model.model_fields.items()}
    return {key: values[0] for key, values in kinds.items() if len(values) == 1 and isinstance(values[0], str)}


def _arguments(module: str, name: str) -> dict[str, Any]:
    """Return the arguments of a class and their types, read from the source: an import would take a second.

    A type that is not made of plain data comes back as ``Any``.
    """
    package, *rest = module.split(".")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the package {package} is not installed")
    source = Path(spec.origin).parent.joinpath(*rest).with_suffix(".py").read_text(encoding="utf-8")
    cls = next(n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == name)
    init = next(n for n in cls.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")

    class Names(dict[str, Any]):
        def __missing__(self, key: str) -> Any:
            return Any

    names = Names({**vars(builtins), **vars(typing), "Tensor": float})
    arguments = init.args.args[1:] + init.args.kwonlyargs
    return {a.arg: eval(ast.unparse(a.annotation), {}, names) if a.annotation else Any for a in arguments}


FLOAT32 = 1e38  # numbers that become float32 end here
Finite = Annotated[float, Field(ge=-FLOAT32, le=FLOAT32)]
Count = Annotated[int, Field(ge=1, le=10**9)]


def _direction(line: list[float]) -> list[float]:
    if not any(line[:2]):
        raise ValueError("with a = b = 0 there is no line")
    return line


class PointsConfig(StrictModel):
    """Points of the plane, whatever their shape."""

    target: Literal["experiment.points.datamodule.PointsDataModule"] = Field(
        alias="_target_", description="the LightningDataModule"
    )
    num_points: Count = Field(description="training points")
    num_val: Count = Field(description="points to validate on, never trained on, never flipped")
    num_test: Count = Field(description="points to test on, likewise")
    batch_size: Count | None = Field(
        description="null: every step sees all points; a number: shuffled mini-batches of that size"
    )
    seed: int = Field(ge=0, lt=2**32, description="the seed of the points: that of the run")


class LineConfig(PointsConfig):
    """Points on both sides of a line."""

    shape: Literal["line"] = Field(description="the function of points.py that makes the points")
    line: Annotated[list[Finite], Field(min_length=3, max_length=3), AfterValidator(_direction)] = Field(
        description="[a, b, c]: class 1 is where a·x + b·y + c > 0, class 0 elsewhere; a and b are not both 0"
    )
    noise: float = Field(ge=0, le=1, description="the probability that a training label is flipped")


class PointsClassifierConfig(StrictModel):
    """The network that tells the classes of points apart."""

    target: Literal["experiment.points.classifier.PointsClassifier"] = Field(
        alias="_target_", description="the LightningModule"
    )
    hidden: list[Annotated[int, Field(ge=1, le=65536)]] = Field(
        max_length=100, description="the widths of the hidden layers"
    )
    activation: Literal["relu", "tanh", "sigmoid", "linear"] = Field(description="of the hidden layers")
    loss: Literal["bce", "bce_with_logits"] = Field(
        description="bce: BCELoss on probabilities; bce_with_logits: the numerically stable form"
    )
    optimizer: dict[str, Any] = Field(description="that of the run")


class OptimizerConfig(StrictModel):
    """One of torch's optimizers."""

    partial: Literal[True] = Field(alias="_partial_", description="the parameters to optimize come later")
    lr: Annotated[float, Field(ge=0, le=FLOAT32)] = Field(default_factory=float, description="the learning rate")


def _optimizer(name: str) -> type[StrictModel]:
    own = {k: t for k, t in _arguments(f"torch.optim.{name.lower()}", name).items() if k not in ("params", "lr")}
    fields: dict[str, Any] = {k: (t, Field(default=None, description="torch's own")) for k, t in own.items()}
    fields["target"] = (Literal[f"torch.optim.{name}"], Field(alias="_target_", description="the optimizer"))
    return create_model(name, __base__=OptimizerConfig, **fields)


class TrainerConfig(StrictModel):
    """What this project says of the arguments of Lightning's ``Trainer``."""

    max_epochs: int = Field(ge=1, le=10**12, description="passes over the training points")
    accelerator: str = Field(description="the Lightning accelerator: cpu, gpu, mps, …; auto: the best there is")
    log_every_n_steps: int = Field(ge=1, description="how often train/loss is logged")
    check_val_every_n_epoch: int | None = Field(ge=1, description="how often the validation points are scored")
    logger: bool = Field(default=True, description="false: no TensorBoard log")


def _trainer() -> type[StrictModel]:
    # What a run says itself: callbacks stand in a group of their own, and its files and checkpoints in its directory.
    taken = {
        *TrainerConfig.model_fields,
        "callbacks",
        "default_root_dir",
        "enable_checkpointing",
        "barebones",
        "model_registry",
    }
    fields: dict[str, Any] = {
        name: (kind, Field(default=None, description="Lightning's own"))
        for name, kind in _arguments("lightning.pytorch.trainer.trainer", "Trainer").items()
        if name not in taken
    }
    return create_model("Trainer", __base__=TrainerConfig, **fields)


class CheckpointConfig(StrictModel):
    """When a run saves its state."""

    every_n_seconds: float = Field(
        ge=0, le=1e9, description="of training that a kill can lose; the part of an epoch, where it cannot be taken up"
    )


class BackpropConfig(StrictModel):
    """How often a run shows what backpropagation does."""

    every_n_steps: Annotated[int, Field(ge=1)] | None = Field(
        description="how often the scalars of backpropagation are logged: at the steps 0, n, 2n, …; null: never"
    )
    histogram_every_n_steps: Annotated[int, Field(ge=1)] | None = Field(
        description="how often its histograms are, likewise"
    )


class SearchConfig(StrictModel):
    """How a sweep searches."""

    trials: Count = Field(description="how many runs are tried")
    pruning: bool = Field(description="whether a trial that does worse than half of those before it is stopped")
    space: dict[str, Any] = Field(
        description="what each key may be, as a sweep is typed: tag(log, interval(0.001, 10)), or 4,8,16"
    )


GROUPS = ("data", "model", "optimizer", "trainer", "callbacks")


class RunConfig(StrictModel):
    """One run."""

    seed: int = Field(ge=0, lt=2**32, description="seeds NumPy's points and torch's initial weights")
    data: _choice(LineConfig) = Field(description="the problem")  # type: ignore[valid-type]
    model: _choice(PointsClassifierConfig) = Field(description="the network, its loss, its optimizer")  # type: ignore[valid-type]
    optimizer: _choice(*map(_optimizer, ("SGD", "Adam", "AdamW", "RMSprop"))) = Field(  # type: ignore[valid-type]
        description="how the weights are adjusted"
    )
    trainer: _trainer() = Field(description="the arguments of Lightning's Trainer")  # type: ignore[valid-type]
    checkpoint: CheckpointConfig = Field(description="when the state is saved")
    backprop: BackpropConfig = Field(description="what TensorBoard shows of backpropagation")
    search: SearchConfig | None = Field(default=None, description="optuna: a sweep is a search for the lowest val/loss")
    callbacks: dict[str, CustomClass | None] = Field(
        description="Lightning callbacks of one's own, each under a name; null: off"
    )


MISSING = object()


def validate(config: DictConfig) -> None:
    """Raise a ``ConfigurationError`` where a composed configuration is not what the schema says."""
    if found := find_problems(config):
        raise ConfigurationError.from_lines(found)


def find_problems(config: DictConfig) -> list[str]:
    """Return what is wrong with a composed configuration, a line for each wrong key; none if nothing is."""
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    try:
        RunConfig.model_validate_json(json.dumps(plain))
    except ValidationError as error:
        # A union is wrong once for each of its members, a list for each of its elements: a line a key will do.
        lines = [_problem(config, plain, e["loc"], e["type"], e["msg"]) for e in error.errors()]
        return list(dict.fromkeys(line for line in lines if line))
    return []


def _problem(
    config: DictConfig, plain: dict[Any, Any], location: tuple[int | str, ...], kind: str, message: str
) -> str | None:
    name, *inner = [str(part) for part in location if not str(part).startswith("@")]
    key, value, field = name, plain.get(name, MISSING), _fields(RunConfig).get(name, {})
    if inner and isinstance(value, dict):
        if OmegaConf.is_interpolation(config[name], inner[0]):
            return None  # what it refers to is wrong, and says so itself
        fields = _fields(_member(name, value) or CustomClass)
        key, value, field = f"{name}.{inner[0]}", value.get(inner[0], MISSING), fields.get(inner[0], {})
        if kind == "extra_forbidden":
            return f"{key}={format_value(value)}: {_no_such_key(inner[0], {each: f'{name}.{each}' for each in fields})}"
    if kind == "extra_forbidden":
        return f"{key}={format_value(value)}: {_no_such_key(name, {each: each for each in _fields(RunConfig)})}"
    reason = f" ({message.removeprefix('Value error, ')})" if kind == "value_error" else ""
    said = f"{key} is missing" if value is MISSING else f"{key}={format_value(value)}"
    return f"{said}: {describe_type(field)}{reason}"


def _no_such_key(name: str, known: dict[str, str]) -> str:
    """Return the line for a key that does not exist; ``known`` are the keys that do, by what is typed for them."""
    nearest = max(known, key=lambda each: difflib.SequenceMatcher(None, name, each).ratio())
    return f"there is no such key; the nearest is {known[nearest]}, --help lists all"


def describe_unknown_key(override: str) -> str:
    """Return the line that says that an override's key does not exist, with the nearest one that does."""
    known = {key: f"{group}.{key}" for group in GROUPS for member in _members(group) for key in _fields(member)}
    known |= {key: key for key in (*known.values(), *RunConfig.model_fields)}
    return f"{override}: {_no_such_key(override.partition('=')[0].lstrip('+~'), known)}"


def help_text(*, _root_: DictConfig) -> str:
    """Return what ``--help`` prints, for the configuration that was composed: the keys of what it chose."""
    config = OmegaConf.to_container(_root_, resolve=False)
    assert isinstance(config, dict)
    rows = []
    for name, field in RunConfig.model_fields.items():
        value = config.get(name)
        if not isinstance(value, dict):
            rows.append((name, value, _fields(RunConfig)[name]))
            continue
        member = _member(name, value)
        fields = _fields(member) if member else {}
        rows += [(f"{name}.{key}", each, fields.get(key, {})) for key, each in value.items() if key != "_partial_"]
        if others := [key for key in fields if key not in value]:
            rows.append((f"{name}.<key>", "", {"description": f"{field.description}, also: {', '.join(others)}"}))
    table = "\n".join(_row(*row) for row in rows)
    # Hydra takes the text for a string.Template.
    return HELP.format(table=table, program=Path(sys.argv[0]).name).replace("$", "$$")


def _row(key: str, value: Any, field: dict[str, Any]) -> str:
    default = f" = {format_value(value)}" if value != "" else ""
    kind = f"{describe_type(field)}; " if len(field) > 1 else ""
    text = f"{kind}{field.get('description', 'of your own')}"
    lines = textwrap.wrap(text, 96, initial_indent="      ", subsequent_indent="      ", break_on_hyphens=False)
    return "\n".join([f"  {key}{default}", *lines])


HELP = """\
Trains, validates and tests a network on points of the plane, and leaves a directory with all that came of it.

  python {program} [key=value ...]          one run
  python {program} -m key=a,b ...           a sweep: one run for every combination

The keys, their defaults, and what each may be:

{table}

Choices, each a file under conf/:
  data=line          model=simple_net          optimizer=sgd|adam|adamw|rmsprop
  experiment=NAME    a named set of choices, from conf/experiment/ or from a directory of your own: --config-dir DIR
  search=optuna      a sweep (-m) is a search for the lowest val/loss
  hydra.run.dir=DIR, hydra.sweep.dir=DIR
                     the directory of the run, of the sweep; without them a dated one under outputs/, multirun/

Examples:
  python {program} optimizer.lr=0.5 model.hidden=[8,8]
  python {program} data.line=[1,-2,0.5] data.num_points=500 data.batch_size=32 trainer.max_epochs=100
  python {program} -m optimizer.lr=0.01,0.1,1 seed=0,1
  python {program} -m search=optuna search.trials=20 model.hidden=[4],[8],[16]
  python {program} --config-dir examples/digits experiment=digits

Hydra's own options: --cfg job prints the configuration without a run, --hydra-help lists the rest.
"""


def json_schemas() -> dict[str, Any]:
    """Return a JSON schema for each kind of YAML file: ``config`` for whole configurations, and one for each group.

    A file may hold a part of the keys, and ``${…}`` in the place of any value.
    """
    whole = RunConfig.model_json_schema()
    models = whole["$defs"]
    ours = [_constants(model) for group in GROUPS for model in _members(group)]
    models["CustomClass"]["properties"]["_target_"]["not"] = {
        "enum": [constants["_target_"] for constants in ours if constants]
    }
    for model in (whole, *models.values()):
        if model is not models["CustomClass"]:
            model.pop("required")
        for key, field in model["properties"].items():
            anything = {"anyOf": field.pop("oneOf")} if "oneOf" in field else dict(field)
            anything.pop("discriminator", None)
            reference = {"type": "string", "pattern": r"^\$\{.*\}$"}
            model["properties"][key] = {"description": field.get("description", ""), "anyOf": [anything, reference]}
    groups = {}
    for name in (*GROUPS, "search"):
        used = {
            each: model for each, model in models.items() if f'$defs/{each}"' in json.dumps(whole["properties"][name])
        }
        groups[name] = whole["properties"][name] | {"$defs": used}
    whole["properties"] |= {"defaults": {"type": "array"}, "hydra": {"type": "object"}}
    return {"config": whole, **groups}


def format_value(value: Any) -> str:
    """Return a value as one would type it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@functools.cache
def json_types() -> dict[str, set[str]]:
    """Return the JSON types that the value of each key may have, of all that can be chosen."""
    fields = {"seed": _fields(RunConfig)["seed"]} | {
        f"{group}.{key}": field
        for group in GROUPS
        for member in _members(group)
        for key, field in _fields(member).items()
    }
    return {
        key: {each.get("type", "any") for each in field.get("anyOf", [field])}
        for key, field in fields.items()
        if field.get("type") != "object"
    }


def _members(group: str) -> list[type[StrictModel]]:
    """Return the models that a group of this project's can be of."""
    annotation = RunConfig.model_fields[group].annotation
    options = typing.get_args(annotation)
    models = [annotation, *options, *(model for option in options for model in typing.get_args(option))]
    return [model for model in models if isinstance(model, type) and issubclass(model, StrictModel)]


def _member(group: str, value: Any) -> type[StrictModel] | None:
    """Return the model of a group's value, ``None`` where it is of a class of the user's own."""
    members = _members(group)
    return members[0] if members and not _constants(members[0]) else _meant(members, value)


def _fields(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each key."""
    return dict(model.model_json_schema()["properties"])


def describe_type(field: dict[str, Any]) -> str:
    """Return what a JSON schema allows, in words."""
    if "const" in field:
        return format_value(field["const"])
    if "$ref" in field:
        return "a group of keys"
    if "enum" in field:
        return "one of " + ", ".join(map(format_value, field["enum"]))
    if "anyOf" in field:
        return " or ".join(map(describe_type, field["anyOf"]))
    if "prefixItems" in field:
        return f"[{', '.join(map(describe_type, field['prefixItems']))}]"
    if field.get("type") == "array":
        count = f" of {field['minItems']}" if field.get("minItems") else ""
        return f"a list{count}, each {describe_type(field.get('items', {}))}"
    words = {
        **{"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a word"},
        **{"null": "null", "object": "a group of keys"},
    }
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {field[bound]:,}" for bound, sign in signs.items() if abs(field.get(bound, FLOAT32)) < FLOAT32]
    limits += [f"such as {example}" for example in field.get("examples", ())]
    return " ".join([words.get(field.get("type", ""), "a group of keys with a _target_"), ", ".join(limits)]).strip()


if __name__ == "__main__":
    for name, content in json_schemas().items():
        path = Path("conf", f"{name}.schema.json")
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
