"""The files of the page."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePath

FOLDER: Traversable = files("experiment.play") / "page"
ENTRY, STYLE = "main.js", "style.css"
CONTENT_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def page_files() -> dict[str, Traversable]:
    """Return the files that a browser may ask for, by their names."""
    return {file.name: file for file in FOLDER.iterdir() if PurePath(file.name).suffix in CONTENT_TYPES}


def content_type(name: str) -> str:
    """Return the media type of a file: Python's own table depends on the machine."""
    return CONTENT_TYPES[PurePath(name).suffix]
