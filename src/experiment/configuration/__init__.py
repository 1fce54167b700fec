"""The keys that a user may type, and their values: validation, error messages, help, and instantiation."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
# The project's YAML files: in a wheel they lie within the package, in a clone at its top level.
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parents[1] / "conf"
