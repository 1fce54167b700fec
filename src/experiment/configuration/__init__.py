"""What a user may type: the keys and their values, checked, and explained where they are wrong."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
# The project's YAML files: in a wheel they lie within the package, in a clone at its top level.
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parents[1] / "conf"
