"""The text of ``--help``."""

import textwrap
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from experiment.configuration.descriptions import describe_type, format_value
from experiment.configuration.keys import key_schemas, model_of
from experiment.configuration.models import RunConfig
from experiment.configuration.overrides import program_name
from experiment.configuration.references import call_resolvers
from experiment.configuration.unions import CustomClass

TEMPLATE = """\
Trains, validates and tests a network on points of the plane, and writes all results into the run's directory. The same
command with the same hydra.run.dir resumes an interrupted run.

  {program} [key=value ...]          one run
  {program} -m key=a,b ...           a sweep: one run for every combination

The keys with their defaults, allowed values and meanings:

{table}

Choices, each a file under conf/:
  data=line          model=simple_net          optimizer=sgd|adam|adamw|rmsprop
  experiment=NAME    a named set of choices, from conf/experiment/ or from a directory of your own: --config-dir DIR
  search=optuna      with -m: a search for the best objective

Directories:
  hydra.run.dir=DIR    of the run; by default a dated one under outputs/
  hydra.sweep.dir=DIR  of the sweep; by default a dated one under multirun/

Examples:
  {program} optimizer.lr=0.5 model.hidden=[8,8]
  {program} data.line=[1,-2,0.5] data.num_points=500 data.batch_size=32 trainer.max_epochs=100
  {program} -m optimizer.lr=0.01,0.1,1 seed=0,1
  {program} -m search=optuna search.trials=20 model.hidden=[4],[8],[16]
  {program} --config-dir examples/digits experiment=digits

Hydra's options: --cfg job prints the composed configuration without a run, --hydra-help lists the others.
"""


def help_text(*, _root_: DictConfig) -> str:
    """Return what ``--help`` prints for a composed configuration: its keys, and those that its choices also take."""
    keys = [name for name in RunConfig.model_fields if name in _root_]
    config: Any = OmegaConf.to_container(call_resolvers(OmegaConf.masked_copy(_root_, keys)))
    table = "\n".join(line for name in RunConfig.model_fields for line in _group_rows(name, config.get(name)))
    # Hydra takes the text for a string.Template.
    return TEMPLATE.format(table=table, program=program_name()).replace("$", "$$")


def _group_rows(name: str, value: Any) -> Iterator[str]:
    schema = key_schemas(RunConfig)[name]
    if not isinstance(value, dict):
        yield _row(f"{name} = {format_value(value)}", schema)
        return
    if name == "callbacks":
        yield from (_callback_row(f"{name}.{key}", node) for key, node in value.items())
        return
    schemas = key_schemas(model_of(name, value) or CustomClass)
    for key, default in value.items():
        if key != "_partial_":
            heading = f"{name}.{key} = {format_value(default)}"
            yield _row(heading, schemas.get(key, {"description": "an argument of your class"}))
    if others := [key for key in schemas if key not in value]:
        yield _row(f"{name}.<key>", {"description": f"{schema['description']}, also: {', '.join(others)}"})


def _callback_row(key: str, node: Any) -> str:
    heading = f"{key}._target_ = {node['_target_']}" if isinstance(node, dict) else f"{key} = {format_value(node)}"
    return _row(heading, {"description": f"a Lightning callback; {key}=null switches it off"})


def _row(heading: str, schema: dict[str, Any]) -> str:
    kind = f"{describe_type(schema)}; " if len(schema) > 1 else ""
    text = f"{kind}{schema['description']}"
    lines = textwrap.wrap(text, 96, initial_indent="      ", subsequent_indent="      ", break_on_hyphens=False)
    return "\n".join([f"  {heading}", *lines])
