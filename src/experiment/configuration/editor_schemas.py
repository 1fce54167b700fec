"""JSON schemas with which editors check and complete the YAML files.

``python -m experiment.configuration.editor_schemas`` writes them beside those files.
"""

import json
from typing import Any

from experiment.configuration import CONF
from experiment.configuration.keys import GROUPS, group_models
from experiment.configuration.models import RunConfig
from experiment.configuration.unions import constants

INTERPOLATION = {"type": "string", "pattern": r"^\$\{.*\}$"}


def editor_schemas() -> dict[str, Any]:
    """Return a JSON schema for each kind of YAML file: ``config`` for whole configurations, and one for each group.

    A file may hold a part of the keys, and an interpolation in the place of any value.
    """
    config = RunConfig.model_json_schema()
    models = config["$defs"]
    known_targets = dict.fromkeys(
        constants(model)["_target_"] for group in GROUPS for model in group_models(group) if constants(model)
    )
    models["CustomClass"]["properties"]["_target_"]["not"] = {"enum": [*known_targets]}
    for name, model in {"config": config, **models}.items():
        if name != "CustomClass":
            model.pop("required", None)
        model["properties"] = {key: _or_interpolation(schema) for key, schema in model.get("properties", {}).items()}
        model["properties"]["defaults"] = {"type": "array"}
    groups = {}
    for name in (*GROUPS, "search"):
        group = config["properties"][name]
        used = {model: schema for model, schema in models.items() if f'$defs/{model}"' in json.dumps(group)}
        groups[name] = group | {"$defs": used}
    config["properties"]["hydra"] = {"type": "object"}
    return {"config": config, **groups}


def _or_interpolation(schema: dict[str, Any]) -> dict[str, Any]:
    # Editors complete the members of anyOf, not those of oneOf.
    value = {"anyOf": schema["oneOf"]} if "oneOf" in schema else schema
    if "additionalProperties" in value:  # a group of keys that a user names
        value = {"properties": {"defaults": {"type": "array"}}, **value}
    return {"description": schema.get("description", ""), "anyOf": [value, INTERPOLATION]}


if __name__ == "__main__":
    for name, content in editor_schemas().items():
        path = CONF / f"{name}.schema.json"
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
