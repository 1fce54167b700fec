"""TensorBoard's table of hyperparameters: a row for each run, and columns on which all runs agree."""

from collections.abc import Iterable

from omegaconf import DictConfig
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import (
    DATA_TYPE_BOOL,
    DATA_TYPE_FLOAT64,
    DATA_TYPE_STRING,
    STATUS_SUCCESS,
    Experiment,
    HParamInfo,
    MetricInfo,
    MetricName,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from experiment.configuration.descriptions import format_value
from experiment.configuration.identity import flatten
from experiment.configuration.keys import json_types
from experiment.runs.report import SCORES

FINAL = SCORES[1:]  # the columns of scores: what counts at the end
WATCHING = ("callbacks.", "checkpoint.", "backprop.")  # how a run is watched, not what it computes


def hyperparameters(config: DictConfig, overrides: Iterable[str]) -> tuple[Summary, Summary, Summary]:
    """Return what defines the table, the run's row in it, and what says that the run is complete.

    The server takes the columns from any one of the runs, so each lists the keys of all choices, not only of its own.
    It shows the first few of those that are said to differ between runs: the ``overrides``.
    """
    values = {key: value for key, value in flatten(config).items() if not key.startswith(WATCHING)}
    types = {key: {_type(value)} for key, value in values.items()} | json_types()
    kinds = {key: _kind(each) for key, each in types.items() if not key.endswith("._partial_")}
    given = {override.partition("=")[0].lstrip("+~") for override in overrides}
    columns = Experiment(
        hparam_infos=[
            HParamInfo(name=key, type=kind, differs=not given.isdisjoint({key, key.removesuffix("._target_")}))
            for key, kind in sorted(kinds.items())
        ],
        metric_infos=[MetricInfo(name=MetricName(tag=tag)) for tag in FINAL],
    )
    row = SessionStartInfo()
    for key, kind in kinds.items():
        value = values.get(key)
        if key in values and kind == DATA_TYPE_STRING:
            row.hparams[key].string_value = format_value(value)
        elif value is not None:  # a column of numbers takes nothing else: null is a cell without a number
            setattr(row.hparams[key], "bool_value" if isinstance(value, bool) else "number_value", value)
    return (
        _summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=columns)),
        _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=row)),
        _summary(
            metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=SessionEndInfo(status=STATUS_SUCCESS))
        ),
    )


def _type(value: object) -> str:
    return {bool: "boolean", int: "integer", float: "number"}.get(type(value), "string")


def _kind(types: set[str]) -> int:
    """Return the kind of a column, from the JSON types of its values."""
    some = types - {"null"}
    if some == {"boolean"}:
        return int(DATA_TYPE_BOOL)
    return int(DATA_TYPE_FLOAT64 if some and some <= {"integer", "number"} else DATA_TYPE_STRING)


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content))])
