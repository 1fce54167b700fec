"""The name of a run's directory in a sweep."""

import hashlib
import re
from collections.abc import Collection, Sequence

from experiment.configuration.identity import HORIZON, is_free
from experiment.configuration.overrides import override_values

MAX_BYTES = 200
# What no file system, or Windows alone, takes: lone surrogates too, which no encoding of a path holds.
FORBIDDEN = re.compile(r"""[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\%'"`<>:|?*]|[. ]$""")
# Names of devices on Windows, whatever follows the first dot.
RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)", re.IGNORECASE)


def directory_name(overrides: Sequence[str], varied: Collection[str]) -> str:
    """Return the overrides, sorted by key, with their values as YAML writes them.

    Hydra's own keys are left out, and so are those that do not make it another run, unless they are ``varied``.
    What a path cannot hold on some system is percent-encoded. A long name is cut and ends in a hash of the whole.
    """
    values = {key: value for key, value in override_values(overrides).items() if key in varied or _is_named(key)}
    parts = (f"{key}={values[key]}" if values[key] else key for key in sorted(values))
    name = FORBIDDEN.sub(lambda match: _percent_encode(match[0]), ",".join(parts) or "default")
    if RESERVED.match(name):
        name = _percent_encode(name[0]) + name[1:]
    if len(name.encode()) <= MAX_BYTES:
        return name
    digest = "-" + hashlib.sha256(name.encode()).hexdigest()[:16]
    return name.encode()[: MAX_BYTES - len(digest)].decode(errors="ignore") + digest


def _is_named(key: str) -> bool:
    """Whether a key is part of a name even where the sweep does not vary it."""
    return not is_free(key) and key not in HORIZON


def _percent_encode(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode(errors="surrogatepass"))
