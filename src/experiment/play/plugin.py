"""TensorBoard's tab *Backpropagation*: serves the page, and what runs have recorded for it.

TensorBoard imports this when it starts, and an error here would end it: neither torch nor Lightning is imported.
"""

import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from tensorboard import plugin_util
from tensorboard.backend.http_util import Respond
from tensorboard.data.provider import RunTagFilter
from tensorboard.plugins.base_plugin import FrontendMetadata, TBPlugin
from typing_extensions import override
from werkzeug import Request, Response

from experiment.play.page_files import ENTRY, content_type, page_files
from experiment.play.recording import NotRecorded, Recording, pack_series
from experiment.play.tags import PLUGIN

log = logging.getLogger(__name__)

MAX_SCALARS = 10_000  # of a tag; TensorBoard itself keeps 1,000 by default
Handler = Callable[["BackpropagationPlugin", Request], Response]


def _respond(request: Request, content: Any, content_type: str, code: int = 200) -> Response:
    response: Response = Respond(request, content, content_type, code)
    return response


def _route(handler: Handler) -> Handler:
    """Answer what a run has not recorded with 404, any other error with 500, in words; TensorBoard continues."""

    @functools.wraps(handler)
    def answer(plugin: "BackpropagationPlugin", request: Request) -> Response:
        try:
            return handler(plugin, request)
        except NotRecorded as error:
            return _respond(request, {"error": str(error)}, "application/json", code=404)
        except Exception as error:
            log.exception("The tab Backpropagation cannot answer %s", request.path)
            return _respond(request, {"error": f"{type(error).__name__}: {error}"}, "application/json", code=500)

    return answer


class BackpropagationPlugin(TBPlugin):  # type: ignore[misc]
    """The routes of the tab.

    ``/runs``: all runs; ``/manifest?run=``: what does not change from step to step; ``/blob?run=&name=&from=``: points,
    weights, batches; ``/series?run=&tag=``: a scalar; ``/page/…``: the files of the page.
    """

    plugin_name = PLUGIN

    def __init__(self, context: Any) -> None:
        self.provider = context.data_provider

    @override
    def get_plugin_apps(self) -> dict[str, Any]:
        handlers = {
            "/runs": self.serve_runs,
            "/manifest": self.serve_manifest,
            "/blob": self.serve_blob,
            "/series": self.serve_series,
            f"/page/{ENTRY}": self.serve_page,
            "/page/*": self.serve_page,
        }
        return {path: Request.application(handler) for path, handler in handlers.items()}

    @override
    def is_active(self) -> bool:
        return False  # TensorBoard has looked for data of the plugin before it asks

    @override
    def frontend_metadata(self) -> FrontendMetadata:
        return FrontendMetadata(es_module_path=f"/page/{ENTRY}", tab_name="Backpropagation", disable_reload=True)

    @_route
    def serve_page(self, request: Request) -> Response:
        """Serve a file of the page; the browser keeps none, so that no page is made of two versions."""
        name = request.path.rpartition("/page/")[2]
        file = page_files().get(name)
        if file is None:
            raise NotRecorded(f"The page has no file {name}.")
        return _respond(request, file.read_bytes(), content_type(name))

    @_route
    def serve_runs(self, request: Request) -> Response:
        """List all runs, with words for those that have recorded nothing."""
        runs = [recording.summary() for recording in self._recordings(request)]
        return _respond(request, {"runs": sorted(runs, key=lambda run: run["name"])}, "application/json")

    @_route
    def serve_manifest(self, request: Request) -> Response:
        """Serve what does not change from step to step of a run."""
        return _respond(request, self._recording(request).manifest(), "application/json")

    @_route
    def serve_blob(self, request: Request) -> Response:
        """Serve points, weights or batches of a run."""
        start = request.args.get("from", type=int)
        blob = self._recording(request).blob(request.args.get("name", ""), start)
        return _respond(request, blob, "application/octet-stream")

    @_route
    def serve_series(self, request: Request) -> Response:
        """Serve the steps and values of a scalar of a run."""
        recording, tag = self._recording(request), request.args.get("tag", "")
        if tag not in recording.newest_steps:
            raise NotRecorded(f"{recording.name} has logged no {tag}.")
        found = self._ask(request, "read_scalars", [recording.name], [tag], "scalars", downsample=MAX_SCALARS)
        points = [(point.step, point.value) for point in found[recording.name][tag]]
        return _respond(request, pack_series(points), "application/octet-stream")

    def _recording(self, request: Request) -> Recording:
        """Return the recording of the run that a request names."""
        name = request.args.get("run", "")
        for recording in self._recordings(request, [name]):
            return recording
        raise NotRecorded(f"There is no run {name}.")

    def _recordings(self, request: Request, names: list[str] | None = None) -> Iterator[Recording]:
        tensors = self._ask(request, "list_tensors", names)
        scalars = self._ask(request, "list_scalars", names, plugin="scalars")
        context, experiment = plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)
        for run in self.provider.list_runs(context, experiment_id=experiment):
            if names is None or run.run_name in names:
                newest = {tag: series.max_step for tag, series in scalars.get(run.run_name, {}).items()}
                read = functools.partial(self._read, request, run.run_name)
                yield Recording(run.run_name, tensors.get(run.run_name, {}), read, newest)

    def _read(self, request: Request, run: str, tag: str) -> np.ndarray:
        found = self._ask(request, "read_tensors", [run], [tag], downsample=1)  # the newest is always among them
        array: np.ndarray = found[run][tag][-1].numpy
        return array

    def _ask(
        self,
        request: Request,
        question: str,
        runs: list[str] | None,
        tags: list[str] | None = None,
        plugin: str = PLUGIN,
        **options: int,
    ) -> dict[str, dict[str, Any]]:
        """Ask TensorBoard's data provider, and return the answer by run and tag."""
        answer: dict[str, dict[str, Any]] = getattr(self.provider, question)(
            plugin_util.context(request.environ),
            experiment_id=plugin_util.experiment_id(request.environ),
            plugin_name=plugin,
            run_tag_filter=RunTagFilter(runs, tags),
            **options,
        )
        return answer
