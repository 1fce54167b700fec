"""The page as one file, with its program and the recordings of runs in it: it asks for nothing else."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from experiment.play.page_files import ENTRY, STYLE, page_files
from experiment.play.recording import NotRecorded, pack_series
from experiment.play.run_log import RunLog
from experiment.play.tags import POINTS, STEPS

IMPORT = re.compile(r'^import\s*\{[^}]*\}\s*from\s*"\./([\w.-]+)";?$\n?', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|let|class)\b)", re.MULTILINE)
LEFT_OVER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
POLICY = (
    "default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<script type="application/json" id="play-data">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def make_page(logs: Sequence[RunLog]) -> str:
    """Return the page that plays runs.

    Raises:
        NotRecorded: a run has recorded nothing for it.
    """
    texts = {name: file.read_text(encoding="utf-8") for name, file in page_files().items()}
    script = f"\n{bundle(texts)}\nrender();\n".replace("</script", r"<\/script")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return PAGE.format(
        policy=POLICY.format(digest=digest),
        title=escape("Backpropagation: " + ", ".join(log.recording.name for log in logs)),
        style=texts.get(STYLE, ""),
        data=json.dumps(collect(logs), allow_nan=False).replace("<", r"\u003c"),
        script=script,
    )


def collect(logs: Sequence[RunLog]) -> dict[str, Any]:
    """Return what TensorBoard's plugin would answer of runs; bytes are compressed, in base64."""
    named = {log.recording.name: log for log in logs}
    manifests = {name: log.recording.manifest() for name, log in named.items()}
    return {
        "runs": {"runs": [log.recording.summary() for log in logs]},
        "manifests": manifests,
        "blobs": {name: dict(_blobs(log)) for name, log in named.items()},
        "series": {
            name: {tag: _pack(pack_series(log.scalars[tag])) for tag in manifests[name]["series"]}
            for name, log in named.items()
        },
    }


def _blobs(log: RunLog) -> Iterator[tuple[str, str]]:
    for name in (*POINTS, *STEPS):
        try:
            yield name, _pack(log.recording.blob(name))
        except NotRecorded:
            if name == "weights":  # damaged
                raise


def _pack(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def bundle(modules: Mapping[str, str]) -> str:
    """Return JavaScript modules as one, each after those that it imports: a file may import no other from the disk.

    Raises:
        ValueError: a module has an import or an export of another form than ``import { a, b } from "./c.js"`` and
            ``export function``.
    """
    ordered: dict[str, str] = {}

    def add(name: str) -> None:
        for imported in IMPORT.findall(modules[name]):
            if imported not in ordered:
                add(imported)
        ordered[name] = EXPORT.sub("", IMPORT.sub("", modules[name]))
        if found := LEFT_OVER.search(ordered[name]):
            raise ValueError(f"{name}: {found[0]}: this cannot be made part of one file.")

    add(ENTRY)
    return "\n".join(ordered.values())
