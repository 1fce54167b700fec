"""The name of a run's directory in a sweep."""

import hashlib
import re
from collections.abc import Collection, Sequence
from urllib.parse import quote

from experiment.configuration.identity import FREE, HORIZON
from experiment.configuration.overrides import override_values

UNNAMED = {*FREE, *HORIZON, "search"}  # keys that name a directory only where the sweep varies them
MAX_BYTES = 200


def directory_name(overrides: Sequence[str], varied: Collection[str]) -> str:
    """Return the overrides, sorted by key, with their values as YAML writes them.

    Hydra's own keys are left out, and so are those that do not make it another run, unless they are ``varied``.
    Characters that a path cannot hold are percent-encoded. A long name is cut and ends in a hash of the whole.
    """
    values = {key: value for key, value in override_values(overrides).items() if key not in UNNAMED or key in varied}
    parts = (f"{key}={values[key]}" if values[key] else key for key in sorted(values))
    name = ",".join(parts) or "default"
    name = re.sub(r"""[\x00-\x1f\x7f/\\%'"`]""", lambda match: quote(match[0], safe=""), name)
    if len(name.encode()) <= MAX_BYTES:
        return name
    digest = "-" + hashlib.sha256(name.encode()).hexdigest()[:16]
    return name.encode()[: MAX_BYTES - len(digest)].decode(errors="ignore") + digest
