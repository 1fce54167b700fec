"""TensorBoard's own server, in both of its loading modes."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import plain_loop


@contextmanager
def server(logdir: str, fast: bool) -> Iterator[Callable[[str], Any]]:
    """A real TensorBoard; gives what asks it over HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logdir, "--port", str(port), "--host", "127.0.0.1"]
    with subprocess.Popen([*command, f"--load_fast={str(fast).lower()}"], stdout=-3, stderr=-3) as process:

        def ask(path: str) -> Any:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/{path}", timeout=10) as answer:
                content = answer.read()
            return json.loads(content) if answer.headers.get_content_type() == "application/json" else content

        try:
            for _ in range(300):
                try:
                    if ask("runs"):
                        break
                except OSError:
                    pass
                time.sleep(0.2)
            yield ask
        finally:
            process.terminate()


def eventually(ask: Callable[[], Any], expected: Callable[[Any], bool]) -> Any:
    """Ask until the answer is the expected one: the server reads in the background."""
    for _ in range(100):
        if expected(answer := ask()):
            return answer
        time.sleep(0.2)
    return answer


@pytest.mark.parametrize("fast", [True, False])
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
            assert set(tags) == {"train/loss", "val/loss", "val/accuracy", "test/loss", "test/accuracy"}
            images = eventually(
                lambda name=name: ask(f"plugin/images/images?run={name}&tag=decision_boundary&sample=0"), bool
            )
            assert len(images) == 1
            assert ask(f"plugin/images/individualImage?{images[0]['query']}").startswith(b"\x89PNG")
