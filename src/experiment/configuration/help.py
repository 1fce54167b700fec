"""The text of ``--help``."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from experiment.configuration import CONF
from experiment.configuration.class_help import describe_object
from experiment.configuration.descriptions import describe_type, format_value
from experiment.configuration.keys import key_schemas, model_of
from experiment.configuration.models import RunConfig
from experiment.configuration.overrides import program_name
from experiment.configuration.own_code import add_config_dirs
from experiment.configuration.references import call_resolvers

TEMPLATE = """\
Trains, validates and tests a network on points of the plane, and writes all results into the run's directory. The same
command with the same hydra.run.dir resumes an interrupted run.

  {program} [key=value ...]          one run
  {program} -m key=a,b ...           a sweep: one run for every combination

The keys with their defaults, allowed values and meanings:

{table}

Choices, each a file under conf/:
  data={problems}
  model=simple_net          optimizer=sgd|adam|adamw|rmsprop          trainer=default|ddp
  scheduler=none|step|cosine|plateau          callbacks=default|early_stopping
  experiment=NAME    a named set of choices, from conf/experiment/ or from a directory of your own: --config-dir DIR
  search=optuna      with -m: a search for the best objective

Directories:
  hydra.run.dir=DIR    of the run; by default a dated one under outputs/
  hydra.sweep.dir=DIR  of the sweep; by default a dated one under multirun/

Examples:
  {program} optimizer.lr=0.5 model.hidden=[8,8]
  {program} data.line=[1,-2,0.5] data.num_points=500 data.batch_size=32 trainer.max_epochs=100
  {program} data=curve data.curve="sin(3*x)/2" model.hidden=[8,8]
  {program} -m optimizer.lr=0.01,0.1,1 seed=0,1
  {program} -m search=optuna search.trials=20 model.hidden=[4],[8],[16]
  {program} --config-dir examples/digits experiment=digits

Hydra's options: --cfg job prints the composed configuration without a run, --hydra-help lists the others.
"""


def help_text(*, _root_: DictConfig) -> str:
    """Return what ``--help`` prints for a composed configuration: its keys, and those that its choices also take."""
    keys = [name for name in RunConfig.model_fields if name in _root_]
    config = call_resolvers(OmegaConf.masked_copy(_root_, keys))
    add_config_dirs(_root_.hydra)
    rows = (row for name in RunConfig.model_fields for row in _group_rows(name, config.get(name)))
    table = "\n".join(_format_row(*row) for row in rows)
    # Hydra takes the text for a string.Template.
    problems = "|".join(sorted(path.stem for path in (CONF / "data").glob("*.yaml")))
    return TEMPLATE.format(table=table, problems=problems, program=program_name()).replace("$", "$$")


def _group_rows(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield each key of a group, with its value, and what it means."""
    schema = key_schemas(RunConfig)[name]
    model = model_of(name, value)
    if value == {} and schema.get("type") == "object":
        yield f"{name}.<name>", schema["description"]
    elif not isinstance(value, dict) or not (value or model):
        yield f"{name} = {format_value(None if value == {} else value)}", _describe(schema)
    elif model:
        yield from _known_rows(name, value, key_schemas(model), schema["description"])
    elif "_target_" in value:
        yield from describe_object(name, value)
    else:
        for key, node in value.items():
            yield from _member_rows(f"{name}.{key}", node, schema["description"])


def _known_rows(
    name: str, value: dict[str, Any], schemas: Mapping[str, Any], description: str
) -> Iterator[tuple[str, str]]:
    for key, default in value.items():
        if key != "_partial_":
            yield f"{name}.{key} = {format_value(default)}", _describe(schemas[key])
    if others := [key for key in schemas if key not in value]:
        yield f"{name}.<key>", f"{description}, also: {', '.join(others)}"


def _member_rows(key: str, node: Any, description: str) -> Iterator[tuple[str, str]]:
    """Yield the rows of one of several objects in a group, such as a callback."""
    if not (isinstance(node, dict) and "_target_" in node):
        yield f"{key} = {format_value(node)}", description
    elif node["_target_"].startswith("experiment."):  # to import this project's takes seconds
        yield f"{key}._target_ = {node['_target_']}", description
    else:
        yield from describe_object(key, node)


def _describe(schema: dict[str, Any]) -> str:
    kind = f"{describe_type(schema)}; " if len(schema) > 1 else ""
    return f"{kind}{schema['description']}"


def _format_row(heading: str, text: str) -> str:
    lines = textwrap.wrap(text, 96, initial_indent="      ", subsequent_indent="      ", break_on_hyphens=False)
    return "\n".join([f"  {heading}", *lines])
