"""TensorBoard's table of hyperparameters: a row for each run, and columns on which all runs agree."""

import functools
import sys
from collections.abc import Iterable, Mapping
from typing import Any

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

# How a run is watched and chosen, not what it computes.
UNLISTED = ("callbacks.", "loggers.", "checkpoint.", "backprop.", "search", "objective")
CACHED_TABLES = 64  # the runs of a sweep have few different ones
Column = tuple[str, int]  # its name, and the kind of its values


def hyperparameters(config: DictConfig, overrides: Iterable[str]) -> tuple[Summary, Summary, Summary]:
    """Return the definition of the table, the run's row in it, and the mark of a complete run.

    Of the columns, the table shows the first few that are marked as differing between runs: the ``overrides``.
    It has no columns of scores yet: ``add_scores`` adds them.
    """
    values = {
        key: value
        for key, value in flatten(config).items()
        if not (key.startswith(UNLISTED) or key.endswith("._partial_"))
    }
    given = frozenset(override.partition("=")[0].lstrip("+~") for override in overrides)
    columns = {key: _column(key, value) for key, value in values.items()}
    return (
        _table(tuple(columns.items()), given),
        _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=_row(values, columns))),
        _summary(
            metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=SessionEndInfo(status=STATUS_SUCCESS))
        ),
    )


def add_scores(table: Summary, names: Iterable[str]) -> Summary:
    """Return a table of hyperparameters with a column for each of these scores."""
    return _add_scores(table.value[0].metadata.plugin_data.content, tuple(names))


@functools.lru_cache(maxsize=CACHED_TABLES)
def _add_scores(table: bytes, names: tuple[str, ...]) -> Summary:
    content = HParamsPluginData.FromString(table)
    content.experiment.metric_infos.extend(MetricInfo(name=MetricName(tag=name)) for name in names)
    return _summary(metadata.EXPERIMENT_TAG, content)


@functools.lru_cache(maxsize=CACHED_TABLES)
def _table(column_items: tuple[tuple[str, Column], ...], given: frozenset[str]) -> Summary:
    """Return the definition of the table, most often that of the run before.

    The server takes the columns from any one of the runs: each lists those of the others' too.

    Args:
        column_items: each key of the run, and its column.
        given: the keys that the overrides give.
    """
    columns = dict(column_items)
    differing = {name for key, (name, _) in columns.items() if key in given or key.removesuffix("._target_") in given}
    known = _schema_kinds()
    varied = [key for key in columns if key in given and key not in known]
    kinds = known | dict(columns.values()) | dict(_column(key, other) for key in varied for other in (0, ""))
    infos = [HParamInfo(name=name, type=kinds[name], differs=name in differing) for name in sorted(kinds)]
    return _summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=Experiment(hparam_infos=infos)))


def _row(values: Mapping[str, Any], columns: Mapping[str, Column]) -> SessionStartInfo:
    row = SessionStartInfo()
    for key, value in values.items():
        name, kind = columns[key]
        if kind == DATA_TYPE_STRING:
            row.hparams[name].string_value = format_value(value)
        elif value is not None:
            setattr(row.hparams[name], "bool_value" if kind == DATA_TYPE_BOOL else "number_value", value)
    return row


def _column(key: str, value: Any) -> Column:
    """Return the name of the column for a value of a key, and the kind of that column's values.

    The server cannot sort a column of several kinds, and no run knows the others' values. So the key alone decides the
    kind: that of the schema, or a number where the schema does not know the key. ``None`` leaves a cell of such a
    column empty; any other value that does not fit is text in a second column.
    """
    kind = _schema_kinds().get(key, DATA_TYPE_STRING if key.endswith("_target_") else DATA_TYPE_FLOAT64)
    if kind == DATA_TYPE_STRING or value is None or _kind_of_value(value) == kind:
        return key, int(kind)
    return f"{key} (text)", int(DATA_TYPE_STRING)


@functools.cache
def _schema_kinds() -> dict[str, int]:
    """Return the kind of the column of each key that the schema knows."""
    return {key: _kind(types) for key, types in json_types().items() if not key.endswith("._partial_")}


def _kind(types: set[str]) -> int:
    """Return the kind of a column, from the JSON types of its values."""
    some = types - {"null"}
    if some == {"boolean"}:
        return int(DATA_TYPE_BOOL)
    return int(DATA_TYPE_FLOAT64 if some and some <= {"integer", "number"} else DATA_TYPE_STRING)


def _kind_of_value(value: Any) -> int:
    """Return the kind of a value; a number that protobuf or JSON cannot hold is text."""
    if isinstance(value, bool):
        return int(DATA_TYPE_BOOL)
    is_number = isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return int(DATA_TYPE_FLOAT64 if is_number else DATA_TYPE_STRING)


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content))])
