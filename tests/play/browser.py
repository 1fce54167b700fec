"""What the tests of the page share: a site that the page asks instead of TensorBoard, and runs made up for it."""

import json
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from experiment.play.page_files import content_type, page_files

Net = list[tuple[np.ndarray, np.ndarray]]  # weight and bias of each layer
SITE = "http://page.test/"
# As TensorBoard's plugin_entry.html, whose content policy this is, too.
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'nonce-entry'"
SCRIPT = 'import("./page/main.js").then((m) => void m.render());'
ENTRY = f'<!DOCTYPE html><body><script type="module" nonce="entry">{SCRIPT}</script>'


def settled(page: Any) -> Any:
    """The page, once it has drawn a run and what was changed since."""
    page.locator(".summary:not(:empty)").first.wait_for()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))")
    return page


def details(page: Any) -> str:
    return settled(page).locator(".details").first.inner_text()


def step(page: Any) -> int:
    return int(settled(page).get_by_role("spinbutton", name="Step").input_value())


class Site:
    """Answers as TensorBoard's plugin does, out of what it is told: ``{run: {manifest, blobs, series}}``."""

    def __init__(self, runs: dict[str, dict[str, Any]]) -> None:
        self.runs = runs
        self.requests: list[str] = []

    def __call__(self, route: Any) -> None:
        path, _, query = route.request.url.removeprefix(SITE).partition("?")
        self.requests.append(path)
        if path == "":
            headers = {"Content-Security-Policy": POLICY}
            return route.fulfill(body=ENTRY, content_type="text/html", headers=headers)
        if path.startswith("page/"):
            name = path.removeprefix("page/")
            return route.fulfill(body=page_files()[name].read_text("utf-8"), content_type=content_type(name))
        return route.fulfill(**self._answer(path, dict(parse_qsl(query))))

    def _answer(self, path: str, parameters: dict[str, str]) -> dict[str, Any]:
        if path == "runs":
            listed = [
                {"name": name, "steps": run["manifest"]["steps"], "reason": run.get("reason")}
                for name, run in self.runs.items()
            ]
            return {"body": json.dumps({"runs": listed}), "content_type": "application/json"}
        run = self.runs[parameters["run"]]
        if path == "manifest":
            return {"body": json.dumps(run["manifest"]), "content_type": "application/json"}
        if path == "series":
            return {"body": run["series"][parameters["tag"]], "content_type": "application/octet-stream"}
        start = int(parameters.get("from", 0)) * 4 * run["manifest"]["size"] if parameters["name"] == "weights" else 0
        return {"body": run["blobs"][parameters["name"]][start:], "content_type": "application/octet-stream"}


def made_up(
    layers: Net, activation: str, points: np.ndarray, classes: np.ndarray, after: Net | None = None, **facts: Any
) -> dict[str, Any]:
    """A run of a net, weight and bias of each layer, of one step that changes nothing unless ``after`` is given."""
    described, offset = [], 0
    for number, (weight, _) in enumerate(layers, 1):
        (outputs, inputs), bias = weight.shape, offset + weight.size
        function = activation if number < len(layers) else "sigmoid"
        layer = {"name": f"fc{number}", "inputs": inputs, "outputs": outputs, "activation": function}
        described.append({**layer, "weight": offset, "bias": bias})
        offset = bias + outputs
    weights = np.stack(
        [np.concatenate([part.ravel() for layer in net for part in layer]) for net in (layers, after or layers)]
    )
    rows = np.hstack([points, classes[:, None]])
    manifest = {
        **{"format": 1, "first": 0, "steps": 1, "model": {"kind": "mlp", "layers": described}, "size": offset},
        **{"inputs": [f"input {number}" for number in range(points.shape[1])], "line": None, "given": None},
        **{"points": {"training": len(points), "validation": 0}, "batches": False, "accumulate": 1, "note": None},
        **{"optimizer": "w′ by nothing", "series": [], **facts},
    }
    blobs = {"training": rows.astype("<f4").tobytes(), "weights": weights.astype("<f4").tobytes()}
    return {"manifest": manifest, "blobs": blobs, "series": {}}
