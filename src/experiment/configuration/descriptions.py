"""Types and values in words."""

import json
from typing import Any

from experiment.configuration.numbers import FLOAT32

TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a word",
    "formula": "a formula in x",
    "null": "null",
    "object": "a group of keys",
}
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def format_value(value: Any) -> str:
    """Return a value as one would type it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def describe_type(schema: dict[str, Any]) -> str:
    """Return what a JSON schema allows, in words."""
    if "const" in schema:
        return format_value(schema["const"])
    if "$ref" in schema:
        return "a group of keys"
    if "enum" in schema:
        return "one of " + ", ".join(map(format_value, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(map(describe_type, schema["anyOf"]))
    if any("$ref" not in option for option in schema.get("oneOf", ())):  # else it is a union of classes
        return " or ".join(map(describe_type, schema["oneOf"]))
    if "prefixItems" in schema:
        return f"[{', '.join(map(describe_type, schema['prefixItems']))}]"
    if schema.get("type") == "array":
        count = f" of {schema['minItems']}" if schema.get("minItems") else ""
        return f"a list{count}, each {describe_type(schema.get('items', {}))}"
    # A limit of FLOAT32 only says that the number is finite.
    limits = [f"{sign} {schema[key]:,}" for key, sign in LIMITS.items() if abs(schema.get(key, FLOAT32)) < FLOAT32]
    limits += [f"such as {example}" for example in schema.get("examples", ())]
    kind = schema.get("format", schema.get("type", ""))
    return " ".join([TYPES.get(kind, "a group of keys with a _target_"), ", ".join(limits)]).strip()
