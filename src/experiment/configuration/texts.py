"""Texts that Hydra's grammar takes only in quotes, which a shell removes: ``data.curve=sin(x)/2``."""

import re
from collections.abc import Iterator, Sequence

from hydra.errors import HydraException

from experiment.configuration.keys import json_types
from experiment.configuration.overrides import parse_override, quote_for_hydra


def quote_texts(arguments: Sequence[str]) -> list[str]:
    """Return the words of a command line, with quotes around the value of a key that may be a text.

    Only where the grammar does not allow it otherwise. Commas outside brackets separate the values of a sweep.
    """
    return [_quote_text(argument) for argument in arguments]


def _quote_text(argument: str) -> str:
    key, equals, value = argument.partition("=")
    if not equals or argument.startswith("-"):
        return argument
    try:
        parse_override(argument)
    except HydraException:
        kinds = json_types().get(key.lstrip("+"), set())
        if "string" in kinds and not kinds & {"array", "object", "any"}:
            return f"{key}={','.join(map(_quote, _split(value)))}"
    return argument


def _quote(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value if is_quoted else quote_for_hydra(value)


def _split(values: str) -> Iterator[str]:
    """Yield the parts between the commas that are not in brackets."""
    depth, part = 0, ""
    for piece in re.split(r"([,()])", values):
        depth += (piece == "(") - (piece == ")")
        if piece == "," and depth == 0:
            yield part.strip()
            part = ""
        else:
            part += piece
    yield part.strip()
