"""``python -m experiment.play``: one file that holds all it needs, and asks for nothing."""

import base64
import gzip
import hashlib
import json
import re
import runpy
import shutil
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from experiment.play import html, page_files
from experiment.play.recording import pack_series
from experiment.play.run_log import RunLog
from tests.conftest import snapshot

MAIN = """
import { shown } from "./shown.js";
import {
  other,
} from "./other.js";

export function render() { document.title = shown + other + "</script><script>"; }
"""


@pytest.fixture
def play(monkeypatch) -> Callable[..., None]:
    """``python -m experiment.play …``, in this process."""

    def start(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["play", *arguments])
        runpy.run_module("experiment.play", run_name="__main__")

    return start


@pytest.fixture
def pages(elsewhere, monkeypatch) -> Path:
    """Three modules and a style in the place of the page's own."""
    folder = elsewhere / "page"
    folder.mkdir()
    (folder / "main.js").write_text(MAIN)
    (folder / "shown.js").write_text('import { other } from "./other.js";\nexport const shown = `${other} shown`;\n')
    (folder / "other.js").write_text("export const other = 3;\n")
    (folder / "style.css").write_text("body { color: red; }\n")
    monkeypatch.setattr(page_files, "FOLDER", folder)
    return folder


class Page(HTMLParser):
    """The elements of a page with their texts: a browser's own rule ends a script at the first ``</script``."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, Any], str]] = []
        self.is_open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs), ""))
        self.is_open = True

    def handle_endtag(self, tag: str) -> None:
        self.is_open = False

    def handle_data(self, data: str) -> None:
        if self.is_open:
            tag, attributes, text = self.elements[-1]
            self.elements[-1] = (tag, attributes, text + data)

    def of(self, tag: str) -> list[tuple[dict[str, Any], str]]:
        return [(attributes, text) for each, attributes, text in self.elements if each == tag]


def test_the_file_holds_the_runs_and_the_program_and_no_way_out(play, pages, short_run):
    """With a run whose name would end the element that it stands in."""
    named = Path("a") / "<!--<script> & </script>"[:-1].replace("/", "∕")
    shutil.copytree(short_run, named)
    before = snapshot(short_run)
    play(str(short_run), str(named), "--output", "page.html")
    assert snapshot(short_run) == before
    page = Page(Path("page.html").read_text())
    assert [tag for tag, *_ in page.elements] == [
        *("html", "head", "meta", "meta", "meta", "title", "style", "body", "script", "script")
    ]
    (_, held), (program, script) = page.of("script")
    held = json.loads(held)
    assert [each["name"] for each in held["runs"]["runs"]] == ["run", named.name]
    for directory in (short_run, named):
        log = RunLog(directory, directory.name)
        assert held["manifests"][directory.name] == log.recording.manifest()
        blobs = {name: unpack(each) for name, each in held["blobs"][directory.name].items()}
        assert blobs == {name: log.recording.blob(name) for name in ("training", "validation", "weights")}
        series = {tag: unpack(each) for tag, each in held["series"][directory.name].items()}
        assert series == {tag: pack_series(log.scalars[tag]) for tag in log.recording.manifest()["series"]}
    policy = page.of("meta")[1][0]["content"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{digest}'; ")
    assert program == {"type": "module"}
    assert re.findall(r"\w+", script)[:4] == ["const", "other", "3", "const"]
    assert script.endswith("\nrender();\n")
    assert "import" not in script
    assert "export" not in script
    assert "color: red" in page.of("style")[0][1]


def unpack(text: str) -> bytes:
    return gzip.decompress(base64.b64decode(text))


@pytest.mark.parametrize("line", ['export { a } from "./b.js";', 'import a from "./b.js";', "export default 3;"])
def test_a_module_that_cannot_be_made_part_of_one_file_is_an_error(line):
    with pytest.raises(ValueError, match=re.escape(line)):
        html.bundle({"main.js": line})


def test_the_page_itself_can_be_made_one_file():
    """Its modules share one scope there."""
    texts = {name: file.read_text() for name, file in page_files.page_files().items()}
    modules = {name: text for name, text in texts.items() if name.endswith(".js")}
    declared = [
        name
        for text in modules.values()
        for name in re.findall(r"^(?:export )?(?:async )?(?:function\*?|class|const|let|var) (\w+)", text, re.MULTILINE)
    ]
    assert sorted({*declared}) == sorted(declared)
    assert "function render" in html.bundle(modules)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere holds no run."),
        (["run", "empty"], "empty holds no run."),
        (["silent"], "silent has recorded nothing for this page"),
        (["run", "--output", "nowhere/page.html"], "nowhere/page.html cannot be written"),
        (["damaged"], "damaged has recorded nothing"),
    ],
)
def test_what_cannot_be_played_is_one_message(play, pages, short_run, elsewhere, arguments, message):
    (elsewhere / "empty").mkdir()
    for name in ("silent", "damaged"):
        shutil.copytree(short_run, name)
    (events,) = Path("silent").glob("events*")
    events.write_bytes(b"")
    (events,) = Path("damaged").glob("events*")
    events.write_bytes(events.read_bytes().replace(b"backpropagation/facts", b"backpropagation/facto"))
    with pytest.raises(SystemExit) as stop:
        play(*arguments)
    assert message in str(stop.value)
    assert "Traceback" not in str(stop.value)
    assert not [*elsewhere.glob("*.html*")]
