"""JSON as Python writes it with an indent, without writing again what the documents of many runs have in common."""

import functools
import json
import pickle
from typing import Any

OPTIONS: dict[str, Any] = {"allow_nan": False, "ensure_ascii": False}
SCALARS = (str, int, float, type(None))
_encode = json.JSONEncoder(**OPTIONS).encode


def to_json(content: dict[str, Any]) -> str:
    """Return what ``json.dumps`` does with an indent of 2, each value that holds others from a cache if it can be.

    Raises:
        ValueError: it holds a number that is not finite.
    """
    items = [
        f"{_encode(key)}: {_encode(value) if isinstance(value, SCALARS) else _write(pickle.dumps(value))}"
        for key, value in content.items()
    ]
    return "{\n  " + ",\n  ".join(items) + "\n}" if items else "{}"


@functools.lru_cache(maxsize=64)
def _write(pickled: bytes) -> str:
    """Return a list or a dictionary, indented as a value of the document."""
    return json.dumps(pickle.loads(pickled), indent=2, **OPTIONS).replace("\n", "\n  ")
