"""The pictures of the tab Backpropagation: ``python docs/pictures.py``, with Chromium and Playwright installed."""

import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import FrameLocator, Page, sync_playwright
from tensorboard import program

DOCS = Path(__file__).parent
SWEEP = ["optimizer.lr=0.1,1", "hydra.sweep.dir=sweep"]
DEEP = ["data=circle", "model.hidden=[8,8]", "model.activation=tanh", "optimizer.lr=0.3", "hydra.run.dir=circle"]
SATURATED = ["model.activation=tanh", "optimizer.lr=10", "hydra.run.dir=tanh"]
WIDTH = 1600  # TensorBoard cuts off the name of the tab in a narrower window


def show_error_passed_back(page: Page, frame: FrameLocator) -> None:
    """Stop a watched step where the error has reached the hidden layer."""
    frame.get_by_role("button", name="Watch this step").click()
    frame.get_by_role("button", name="Pause").click()
    for _ in range(4):  # two layers forward, the loss, the output
        page.keyboard.press(".")
    page.wait_for_timeout(2300)  # until the arrow heads are spread over the edges


def show_neuron(page: Page, frame: FrameLocator) -> None:
    """Enlarge the map of a neuron."""
    frame.get_by_role("button", name="fc2, neuron 3").click()


def show_as_it_is(page: Page, frame: FrameLocator) -> None:
    """Change nothing."""


PICTURES: dict[str, tuple[str, int, str, Callable[[Page, FrameLocator], None]]] = {
    "backpropagation-tab": ("run=sweep/optimizer.lr=0.1&step=60", 1000, "light", show_error_passed_back),
    "backpropagation-two-runs": (
        "run=sweep/optimizer.lr=0.1&beside=sweep/optimizer.lr=1&step=60",
        1610,
        "dark",
        show_as_it_is,
    ),
    "backpropagation-neuron": ("run=circle&step=300", 1330, "light", show_neuron),
    "backpropagation-edge": (
        "run=sweep/optimizer.lr=0.1&step=60&point=87&edges=gradient&at=2.0.1",
        1000,
        "light",
        show_as_it_is,
    ),
    "backpropagation-saturated": ("run=tanh&step=100&at=1.0", 1000, "light", show_as_it_is),
}


def main() -> None:
    """Train the runs, and take the pictures of them in TensorBoard."""
    with tempfile.TemporaryDirectory() as logs:
        for arguments in (["-m", *SWEEP], DEEP, SATURATED):
            subprocess.run([sys.executable, DOCS.parent / "train.py", *arguments], cwd=logs, check=True)
        server = program.TensorBoard()
        server.configure(argv=["tensorboard", "--logdir", logs, "--port", "0"])
        take_pictures(server.launch())


def take_pictures(address: str) -> None:
    """Take the pictures of a TensorBoard that shows the runs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (view, height, theme, prepare) in PICTURES.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": height})
            page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            page.goto(f"{address}#backpropagation&{view}", timeout=60_000)
            frame = page.frame_locator("iframe")
            frame.locator(".summary:not(:empty)").first.wait_for()
            prepare(page, frame)
            frame.locator(":focus").evaluate_all("all => all.forEach((each) => each.blur())")
            page.wait_for_timeout(300)
            picture = Image.open(io.BytesIO(page.screenshot()))
            picture.convert("RGB").quantize(256).save(DOCS / f"{name}.png", optimize=True)  # a third of the size
        browser.close()


if __name__ == "__main__":
    main()
