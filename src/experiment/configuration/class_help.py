"""What ``--help`` shows of classes that no model of the keys describes: their docstrings, arguments and types."""

import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Any

import docstring_parser

from experiment.configuration.descriptions import format_value

HYDRAS_OWN = ("_partial_", "_convert_", "_recursive_")


def describe_object(key: str, node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each key of a ``node`` with a ``_target_``, with its value, and what it means; nested ones too.

    Args:
        key: of the node.
        node: plain data.
    """
    heading = f"{key}._target_ = {node['_target_']}"
    try:
        target: Callable[..., Any] = pkgutil.resolve_name(node["_target_"])
        parameters = inspect.signature(target).parameters
    except Exception as error:  # whatever the import of somebody's module raises
        yield heading, f"cannot be described: {type(error).__name__}: {error}"
        return
    summary, meanings = _read_docstring(target)
    yield heading, summary or "has no docstring"
    for name, value in node.items():
        if isinstance(value, dict) and "_target_" in value:
            yield from describe_object(f"{key}.{name}", value)
        elif name != "_target_" and name not in HYDRAS_OWN:
            yield f"{key}.{name} = {format_value(value)}", _describe(name, parameters, meanings)
    for name, parameter in parameters.items():
        if name not in node and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            default = "" if parameter.default is parameter.empty else f" = {parameter.default!r} by default"
            yield f"{key}.{name}{default}", _describe(name, parameters, meanings)


def _read_docstring(target: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return the summary of a docstring and what it says about each argument, in whichever common style."""
    texts = [target.__doc__, target.__init__.__doc__ if inspect.isclass(target) else None]
    documents = [docstring_parser.parse(text) for text in texts if text]
    meanings = {each.arg_name: each.description or "" for document in documents for each in document.params}
    return (documents[0].short_description or "" if documents else ""), meanings


def _describe(name: str, parameters: Any, meanings: dict[str, str]) -> str:
    annotation = parameters[name].annotation if name in parameters else inspect.Parameter.empty
    kind = "" if annotation is inspect.Parameter.empty else inspect.formatannotation(annotation).strip("'")
    meaning = meanings.get(name, "").partition("\n..")[0]  # before a directive of Sphinx
    parts = [re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", kind), " ".join(meaning.split())]
    return "; ".join(part for part in parts if part) or "an argument of the class"
