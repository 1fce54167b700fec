"""The tab in TensorBoard: its routes over HTTP, in both loading modes, and what it takes to start."""

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

import numpy as np
import pytest
from tensorboard.plugins.base_plugin import TBPlugin
from werkzeug.test import Client

from experiment.play import page_files, recorder
from experiment.play.plugin import BackpropagationPlugin
from experiment.play.recording import NotRecorded, chain_chunks, pack_series, split_batches
from experiment.play.run_log import RunLog
from tests.runs.test_tensorboard import eventually, server

HEAVY = ("torch", "lightning", "matplotlib", "hydra", "omegaconf", "pydantic", "experiment.runs")


def test_tensorboard_finds_the_plugin_which_imports_nothing_heavy():
    (found,) = (each for each in entry_points(group="tensorboard_plugins") if each.name == "backpropagation")
    assert issubclass(found.load(), TBPlugin)
    code = f"import sys, {found.module}; print(*{{*{HEAVY}}} & {{*sys.modules}})"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"


EXPECTED = {"a & many": 164, "digits": 510, "grows": 3, "quiet": 2}


def steps(runs: list[dict[str, Any]]) -> dict[str, int]:
    return {run["name"]: run["steps"] for run in runs}


def refused(ask: Callable[..., Any], path: str) -> str:
    """The words with which a request is answered that asks for what there is not."""
    with pytest.raises(HTTPError) as error:
        ask(path)
    assert error.value.code == 404
    return json.loads(error.value.read())["error"]


def test_both_servers_give_what_runs_have_recorded_while_they_grow(run, monkeypatch):
    """More chunks than a server keeps of one series, mini-batches, a run that records nothing, an extended run."""
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "FLUSH_SECONDS", 0)
        run("trainer.max_epochs=41", "data.batch_size=30", name="'logs/a & many'")
    run("trainer.max_epochs=2", "callbacks.play=null", name="logs/quiet")
    run("--config-dir", str(Path(__file__).parents[2] / "examples/digits"), "experiment=digits", name="logs/digits")
    run("trainer.max_epochs=3", name="logs/grows")
    with server("logs", True) as fast, server("logs", False) as slow:
        for ask in (fast, slow):

            def get(route: str, ask: Callable[..., Any] = ask, **parameters: object) -> Any:
                return ask(f"plugin/backpropagation/{route}?{urlencode(parameters)}")

            runs = eventually(lambda get=get: get("runs")["runs"], lambda found: steps(found) == EXPECTED)
            assert steps(runs) == EXPECTED
            assert [each["name"] for each in runs if each["reason"]] == ["quiet"]
            assert ask("plugins_listing")["backpropagation"]["enabled"]
            for name in ("a & many", "digits", "grows"):
                log = RunLog(Path("logs", name), name)
                assert get("manifest", run=name) == log.recording.manifest()
                assert get("series", run=name, tag="train/loss") == pack_series(log.scalars["train/loss"])
            log = RunLog(Path("logs/a & many"), "a & many")
            assert len(log.recording.chunks) == 164
            for blob in ("training", "validation", "weights", "batches"):
                assert get("blob", run="a & many", name=blob) == log.recording.blob(blob)
            last = np.frombuffer(get("blob", **{"run": "a & many", "name": "weights", "from": 160}), "<f4")
            assert np.array_equal(last, np.frombuffer(log.recording.blob("weights"), "<f4")[-5 * 17 :])
            assert "quiet has recorded nothing" in refused(ask, "plugin/backpropagation/manifest?run=quiet")
            assert "no run nobody" in refused(ask, "plugin/backpropagation/manifest?run=nobody")
            assert "no nothing" in refused(ask, "plugin/backpropagation/blob?run=grows&name=nothing")
            assert "no batches" in refused(ask, "plugin/backpropagation/blob?run=grows&name=batches")
            assert "no nothing" in refused(ask, "plugin/backpropagation/series?run=grows&tag=nothing")
        run("trainer.max_epochs=5", name="logs/grows")
        log = RunLog(Path("logs/grows"), "grows")
        for ask in (fast, slow):
            grown = functools.partial(ask, "plugin/backpropagation/manifest?run=grows")
            assert eventually(grown, lambda found: found["steps"] == 5) == log.recording.manifest()
            question = "plugin/backpropagation/blob?run=grows&name=weights&from=3"
            assert ask(question) == log.recording.blob("weights")[-3 * 17 * 4 :]


@pytest.fixture
def client(elsewhere, monkeypatch) -> Client:
    """The plugin with two files for a page, and a data provider that fails."""
    (elsewhere / "main.js").write_text("export function render() {}")
    (elsewhere / "style.css").write_text("body {}")
    (elsewhere / "secret.py").write_text("secret")
    monkeypatch.setattr(page_files, "FOLDER", elsewhere)
    apps = BackpropagationPlugin(SimpleNamespace(data_provider=None)).get_plugin_apps()

    def application(environ: Any, start: Any) -> Any:
        path = environ["PATH_INFO"]
        return (apps.get(path) or apps["/page/*"])(environ, start)

    return Client(application)


def test_the_files_of_the_page_are_served_and_no_others(client):
    for name, kind in (("main.js", "text/javascript"), ("style.css", "text/css")):
        answer = client.get(f"/page/{name}")
        assert (answer.status_code, answer.mimetype) == (200, kind)
        assert answer.data == Path(name).read_bytes()
        assert "no-cache" in answer.headers["Cache-Control"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for name in ("secret.py", "../plugin.py", "%2e%2e/plugin.py", "", ".", "/etc/passwd", "..%2fmain.js"):
        assert client.get(f"/page/{name}").status_code == 404


def test_an_error_is_an_answer_in_words_and_does_not_end_the_server(client):
    answer = client.get("/runs")
    assert answer.status_code == 500
    assert "NoneType" in answer.json["error"]


def test_chunks_make_one_chain_whatever_a_server_has_seen():
    """Of a run that was killed after step 13 and resumed at step 10, chunks of both starts, of the same steps."""
    tags = [f"backpropagation/weights/{each}" for each in ("0-4", "5-9", "10-11", "12-13", "10-12", "13-17", "30-31")]
    shown = [step for chunk in chain_chunks(reversed(tags)) for step in range(chunk.begin, chunk.last + 1)]
    assert shown == [*range(18)]
    assert [*chain_chunks([])] == []


@pytest.mark.parametrize("numbers", [[1], [0], [1, 5, 0], [2, 1, 0], [1, 2**32 - 1]])
def test_batches_of_a_strangers_log_are_not_trusted(numbers):
    with pytest.raises(NotRecorded):
        list(split_batches(np.array(numbers, np.uint32)))
