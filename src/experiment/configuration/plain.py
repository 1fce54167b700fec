"""Configurations as plain data: what ``OmegaConf.to_container`` returns, in a tenth of the time."""

import functools
import re
from collections.abc import Callable
from typing import Any, NoReturn

import omegaconf.base
from omegaconf import AnyNode
from omegaconf.base import Container, Node
from omegaconf.errors import InterpolationResolutionError

NAME = r"\.*[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
KEY = re.compile(rf"\$\{{({NAME})\}}")  # a reference to a key, without a resolver or an index
ARGUMENT = rf"(?:0|[1-9]\d{{0,8}}|\$\{{{NAME}\}})"
CALL = re.compile(rf"\$\{{([A-Za-z_]\w*):({ARGUMENT}(?:,{ARGUMENT})*)\}}")  # of a resolver, with numbers and references
PLAIN = (str, int, float, type(None))
# OmegaConf parses the text of a reference each time that it resolves it, which takes longer than all the rest.
omegaconf.base.parse = functools.lru_cache(maxsize=1024)(omegaconf.base.parse)  # type: ignore[attr-defined]


def raw_data(config: Container) -> Any:
    """Return a configuration as plain data, with the references as texts."""
    return _convert(config, lambda text: False)


def resolved_data(config: Container, resolves: Callable[[str], bool] = lambda text: True) -> Any:
    """Return a configuration as plain data, with the values of references.

    Args:
        config: a part of a configuration, or all of it.
        resolves: whether a text is resolved that holds a reference; by default each is.

    Raises:
        InterpolationResolutionError: a reference has no value.
    """
    return _convert(config, resolves)


def _convert(node: Node, resolves: Callable[[str], bool]) -> Any:
    value = node._value()
    if isinstance(value, dict):
        return {key: _convert(child, resolves) for key, child in value.items()}
    if isinstance(value, list):
        return [_convert(child, resolves) for child in value]
    if isinstance(value, str) and "${" in value and resolves(value):
        return _resolve(node)
    return value


def _resolve(node: Node) -> Any:
    try:
        source = _find_source(node)
    except InterpolationResolutionError as error:
        _raise_for(node, error)
    return resolved_data(source) if isinstance(source, Container) else source._value()


def _find_source(node: Node) -> Node:
    """Return the node that a reference leads to: directly where it is simple, by OmegaConf's grammar otherwise."""
    container, text = node._get_parent_container(), node._value()
    if type(node) is AnyNode and container is not None:
        if key := KEY.fullmatch(text):
            return container._resolve_node_interpolation(key[1], memo=None)
        call = CALL.fullmatch(text)
        found = _call_resolver(node, container, call[1], call[2].split(",")) if call else None
        if found is not None:
            return found
    return node._dereference_node()


def _call_resolver(node: Node, container: Container, name: str, arguments: list[str]) -> Node | None:
    """Return what a resolver does, ``None`` if that takes OmegaConf's own way: an error, or no single value."""
    try:
        values = [_argument(container, each) for each in arguments]
        result = container._evaluate_custom_resolver(node._key(), node, name, tuple(values), tuple(arguments))
    except Exception:  # whatever a resolver raises
        return None
    return AnyNode(result) if isinstance(result, PLAIN) else None


def _argument(container: Container, text: str) -> Any:
    key = KEY.fullmatch(text)
    if not key:
        return int(text)
    source = container._resolve_node_interpolation(key[1], memo=None)
    return source if isinstance(source, Container) else source._value()


def _raise_for(node: Node, error: InterpolationResolutionError) -> NoReturn:
    """Raise an error with the name of the key."""
    container = node._get_parent_container() or node
    container._format_and_raise(key=node._key(), value=None, cause=error)
    raise error
