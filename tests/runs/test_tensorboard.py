"""TensorBoard's own server, in both of its loading modes."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from experiment.runs.report import SCORES
from tests.conftest import OF_THE_LINE, metrics, plain_loop


@contextmanager
def tensorboard(logdir: str, fast: bool) -> Iterator[str]:
    """A real TensorBoard that has found a run; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logdir, "--port", str(port), "--host", "127.0.0.1"]
    command += ["--reload_interval", "1"]
    with subprocess.Popen([*command, f"--load_fast={str(fast).lower()}"], stdout=-3, stderr=-3) as process:
        try:
            for _ in range(300):
                try:
                    if request(f"{address}data/runs"):
                        break
                except OSError:
                    pass
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()


@contextmanager
def server(logdir: str, fast: bool) -> Iterator[Callable[..., Any]]:
    """A real TensorBoard; gives what asks it over HTTP."""
    with tensorboard(logdir, fast) as address:
        yield lambda path, question=None: request(f"{address}data/{path}", question)


def request(url: str, question: bytes | None = None) -> Any:
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, question, headers), timeout=10) as answer:
        content = answer.read()
    return json.loads(content) if answer.headers.get_content_type() == "application/json" else content


def eventually(ask: Callable[[], Any], expected: Callable[[Any], bool]) -> Any:
    """Ask until the answer is the expected one: the server reads in the background."""
    for _ in range(100):
        if expected(answer := ask()):
            return answer
        time.sleep(0.2)
    return answer


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.draws
def test_the_server_shows_every_run_its_curves_and_its_picture(train, fast):
    assert train("-m", "seed=0,1", "trainer.max_epochs=60", "hydra.sweep.dir=multirun/sweep") == 0
    with server("multirun", fast) as ask:
        runs = {f"sweep/seed={seed}" for seed in (0, 1)}
        assert set(eventually(lambda: ask("runs"), lambda found: set(found) == runs)) == runs
        for seed in (0, 1):
            name = quote(f"sweep/seed={seed}")
            url = f"plugin/scalars/scalars?run={name}&tag={quote('train/loss', safe='')}"
            points = eventually(lambda url=url: ask(url), lambda found: len(found) == 60)
            assert [(step, value) for _, step, value in points] == list(enumerate(plain_loop(seed=seed, epochs=60)[0]))
            tags = ask("plugin/scalars/tags")[f"sweep/seed={seed}"]
            assert {"train/loss", *SCORES, "error/fc1", "gradient/fc2.bias", "update_ratio/fc1.weight"} < set(tags)
            assert set(tags).isdisjoint(ask("plugin/histograms/tags")[f"sweep/seed={seed}"])
            images = eventually(
                lambda name=name: ask(f"plugin/images/images?run={name}&tag=decision_boundary&sample=0"), bool
            )
            assert [image["step"] for image in images] == [0, 10, 60]
            assert ask(f"plugin/images/individualImage?{images[0]['query']}").startswith(b"\x89PNG")


def test_the_table_of_hyperparameters_lists_every_run_once_with_its_final_scores(train):
    """Of two optimizers, and gone on with; the chart of the errors is there too."""
    for epochs in (20, 30):
        assert train("-m", "optimizer=sgd,adam", "seed=0,1", f"trainer.max_epochs={epochs}", "hydra.sweep.dir=s") == 0
    runs = {path.name: metrics(path) for path in Path("s").glob("optimizer*")}
    for fast in (True, False):
        with server("s", fast) as ask:
            assert_table_is_of(runs, ask)


def assert_table_is_of(runs: dict[str, dict[str, Any]], ask: Callable[..., Any]) -> None:
    request = {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS"], "colParams": [], "startIndex": 0}

    def table() -> dict[str, Any]:
        answer = ask("plugin/hparams/session_groups", json.dumps(request | {"sliceSize": 100}).encode())
        return {session["name"]: (group, session) for group in answer["sessionGroups"] for session in group["sessions"]}

    rows = eventually(
        table, lambda found: len(found) == len(runs) and all(r[1]["metricValues"] for r in found.values())
    )
    assert rows.keys() == runs.keys()
    for name, (group, session) in rows.items():
        scores = {each["name"]["tag"]: each["value"] for each in session["metricValues"]}
        assert {tag: scores[tag] for tag in SCORES} == {tag: runs[name][tag] for tag in SCORES}
        assert scores.keys() == {*SCORES, *OF_THE_LINE}
        assert group["hparams"]["seed"] == int(name[-1])
        assert group["hparams"]["trainer.max_epochs"] == 30
        assert group["hparams"]["optimizer._target_"].lower().endswith(name.split(",")[0].partition("=")[2])
    columns = ask("plugin/hparams/experiment", b'{"experimentName": ""}')
    assert [each["name"]["tag"] for each in columns["metricInfos"]] == [*SCORES, *OF_THE_LINE]
    infos = {each["name"]: each for each in columns["hparamInfos"]}
    assert {name for name, info in infos.items() if info["differs"]} == {
        *("optimizer._target_", "seed", "trainer.max_epochs")  # what was typed
    }
    for group, _ in rows.values():  # a run of sgd and one of adam have other keys: the table has all of them
        assert group["hparams"].keys() <= infos.keys()
        for name, value in group["hparams"].items():
            kind = {bool: "DATA_TYPE_BOOL", float: "DATA_TYPE_FLOAT64", int: "DATA_TYPE_FLOAT64"}
            assert infos[name]["type"] == kind.get(type(value), "DATA_TYPE_STRING")
    assert {"optimizer.lr", "optimizer.betas", "data.line", "model.hidden"} <= infos.keys()
    (chart,) = ask("plugin/custom_scalars/layout")["category"][0]["chart"]
    assert chart["multiline"]["tag"] == ["^error/fc2$", "^error/fc1$"]
