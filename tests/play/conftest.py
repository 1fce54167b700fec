"""A real browser, and pages in it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from experiment.play.html import make_page
from experiment.play.run_log import RunLog
from tests.play.browser import SITE

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright; it ends with the module, since its event loop disturbs other tests."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright, which tests the page, is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"the page is tested in a browser, and none of {', '.join(BROWSERS)} is installed")
    with api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens an address in a new page; in the end, no page has reported an error or asked any other host."""
    with _pages(browser) as open_:
        yield open_


@contextmanager
def _pages(browser: Any) -> Iterator[Callable[..., Any]]:
    problems: list[str] = []
    contexts = []

    def open_(address: str, site: Callable[[Any], None] | None = None, **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": 1300, "height": 1000}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: message.type == "error" and problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        host = address.partition("#")[0]
        page.on("request", lambda request: request.url.startswith(host) or problems.append(f"asked for {request.url}"))
        if site:
            page.route(f"{SITE}**", site)
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    """Writes the page of runs, and returns its address."""

    def write(*directories: Path) -> str:
        page = tmp_path / "page.html"
        page.write_text(make_page([RunLog(directory, directory.name) for directory in directories]), "utf-8")
        return page.as_uri()

    return write
