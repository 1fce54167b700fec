"""Suggestions for keys that do not exist."""

import difflib

from experiment.configuration.keys import GROUPS, group_models, key_schemas
from experiment.configuration.models import RunConfig


def explain_unknown_key(name: str, known: dict[str, str]) -> str:
    """Return the text for a key that does not exist; ``known`` are the keys that do, by what is typed for them."""
    nearest = max(known, key=lambda each: difflib.SequenceMatcher(None, name, each).ratio())
    return f"there is no such key; the nearest is {known[nearest]}, --help lists all"


def explain_unknown_override(override: str) -> str:
    """Return the line for an override whose key does not exist."""
    known = {key: f"{group}.{key}" for group in GROUPS for model in group_models(group) for key in key_schemas(model)}
    known |= {key: key for key in (*known.values(), *RunConfig.model_fields)}
    return f"{override}: {explain_unknown_key(override.partition('=')[0].lstrip('+~'), known)}"
