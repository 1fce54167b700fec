"""The keys that a user may type, and their values: validation, error messages, help, and instantiation."""

from importlib import resources
from pathlib import Path

CONF = Path(str(resources.files("experiment.conf")))  # the project's YAML files
