"""YAML as OmegaConf writes it, without writing again what the configurations of many runs have in common."""

import functools
import pickle
import re
import textwrap
from enum import Enum
from typing import Any

import yaml
from omegaconf._utils import get_omega_conf_dumper

INDENT, WIDTH = "  ", 80  # of YAML's lines, in characters
SIMPLE_KEY = re.compile(r"[A-Za-z]\w{0,100}")  # which YAML writes on one line
# For values without dictionaries whose ``repr`` is this, libyaml writes what Python's slow emitter does.
SIMPLE_VALUE = re.compile(r"[ -\[\]-z]*")


class _Dumper(get_omega_conf_dumper()):  # type: ignore[misc]
    """OmegaConf's dumper, for plain data with its enumerations."""


class _FastDumper(getattr(yaml, "CDumper", yaml.Dumper)):  # type: ignore[misc]
    """The same with libyaml, where that is installed."""


_FastDumper.add_representer(str, _Dumper.str_representer)
for dumper in (_Dumper, _FastDumper):
    dumper.add_multi_representer(Enum, lambda dumper, value: dumper.represent_data(value.name))


def to_yaml(content: dict[str, Any] | list[Any]) -> str:
    """Return what ``OmegaConf.to_yaml`` does for plain data, each part that was written before from a cache."""
    if isinstance(content, list):
        return _dump(content, _FastDumper if SIMPLE_VALUE.fullmatch(repr(content)) else _Dumper)
    return "".join(_write(pickle.dumps(item), 0) for item in content.items()) or _dump(content)


@functools.lru_cache(maxsize=2048)
def _write(pickled_item: bytes, depth: int) -> str:
    """Return the lines of a key and its value.

    Args:
        pickled_item: both; pickled, since equal numbers of different types are written differently.
        depth: in how many dictionaries they are; a long text is folded earlier where it is indented.
    """
    key, value = pickle.loads(pickled_item)
    if not (isinstance(value, dict) and value and SIMPLE_KEY.fullmatch(str(key))):
        return _dump_item(key, value, depth)
    header = _write(pickle.dumps((key, None)), depth).removesuffix(" null\n") + "\n"
    return header + "".join(_write(pickle.dumps(item), depth + 1) for item in value.items())


def _dump_item(key: Any, value: Any, depth: int) -> str:
    is_simple = SIMPLE_KEY.fullmatch(str(key)) and SIMPLE_VALUE.fullmatch(repr(value))
    text = _dump({key: value}, _FastDumper if is_simple else _Dumper, WIDTH - len(INDENT) * depth)
    return textwrap.indent(text, INDENT * depth)


def _dump(content: dict[Any, Any] | list[Any], dumper: Any = _Dumper, width: int = WIDTH) -> str:
    options = {"default_flow_style": False, "allow_unicode": True, "sort_keys": False, "width": width}
    return str(yaml.dump(content, Dumper=dumper, **options))
