"""Checkpoint files: written whole or not at all, of plain data alone, and loaded as a stranger's."""

import io
import logging
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from typing_extensions import override

from experiment.configuration.errors import ConfigurationError, ReportedError
from experiment.runs.files import replace
from experiment.runs.recorded import is_plain_file

log = logging.getLogger(__name__)
LOG_FILE_ONLY = logging.getLogger("run")

FOLDER = 0x10  # among the attributes of an entry of a zip file
HYPER_PARAMETERS = ("hyper_parameters", "datamodule_hyper_parameters")
STRUCTURE = {"state_dict": dict, "epoch": int, "global_step": int, "loops": dict, "callbacks": dict}
PLAIN = {type(None), str, bytes, bool, int, float, complex, torch.Tensor, torch.nn.Parameter, torch.Size, torch.dtype}
# NumPy's numbers and arrays are plain data too, but torch does not know it.
PLAIN |= {np.dtype(code).type for code in "?bBhHiIlLqQefdgFDGMm"}
_multiarray: Any = np._core.multiarray  # type: ignore[attr-defined]
torch.serialization.add_safe_globals(
    [
        *(np.ndarray, np.dtype, _multiarray.scalar, _multiarray._reconstruct),
        *{type(np.dtype(code)) for code in "?bBhHiIlLqQefdgFDGMmUS"},
    ]
)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, and only what can be loaded again as plain data."""

    def __init__(self) -> None:
        super().__init__()
        self.left_out: set[str] = set()

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Replace the file at ``path``.

        Raises:
            ReportedError: the checkpoint holds a value that is no plain data; the message names its key.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        for group in HYPER_PARAMETERS:
            self._leave_out_objects(checkpoint, group)
        for key, value in find_objects(checkpoint):
            raise ReportedError(
                f"The checkpoint's {key} is of the type {type(value).__module__}.{type(value).__qualname__}, which "
                "could not be loaded again: save numbers, texts, tensors, arrays, or lists and dictionaries of these."
            )
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)  # it may be a symbolic link
        torch.save(checkpoint, partial)
        replace(partial, path)

    def _leave_out_objects(self, checkpoint: dict[str, Any], group: str) -> None:
        """Leave out the arguments of a module that are objects: without them, the checkpoint loads as plain data."""
        arguments = checkpoint.get(group, {})
        objects = {key for key, value in arguments.items() if next(find_objects(value), None)}
        if objects:
            checkpoint[group] = {key: value for key, value in arguments.items() if key not in objects}
        for key in sorted(objects - self.left_out):
            LOG_FILE_ONLY.info(f"{group}.{key} is no plain data and is left out of the checkpoints.")
        self.left_out |= objects


def find_objects(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value that is no plain data, with its dotted key."""
    kind = type(value)
    if kind in PLAIN:
        return
    if kind in (dict, OrderedDict):
        for name, child in value.items():
            for each in (name, child):
                if type(each) not in PLAIN:  # most are, and a call takes longer
                    yield from find_objects(each, f"{key}.{name}" if key else str(name))
    elif kind in (list, tuple, set):
        for index, child in enumerate(value):
            yield from find_objects(child, f"{key}.{index}")
    elif not _can_be_loaded(value):
        yield key, value


def _can_be_loaded(value: Any) -> bool:
    """Whether torch, which knows more types than are listed here, loads a value as plain data."""
    content = io.BytesIO()
    try:
        torch.save(value, content)
        content.seek(0)
        torch.load(content, weights_only=True)
    except Exception:  # whatever the pickling of somebody's object raises
        return False
    return True


def _is_written_by_torch(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is not compressed, and not marked as a folder: torch would read that as if it had no bytes."""
    return entry.compress_type == zipfile.ZIP_STORED and not entry.external_attr & FOLDER


def state_name(checkpoint: dict[str, Any]) -> str:
    """Return the name of the moment of training that a checkpoint holds: each has another one within a run."""
    batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["processed"]
    return f"epoch {checkpoint['epoch']}, step {checkpoint['global_step']}, batch {batches}"


def load_newest(directory: Path) -> tuple[Path | None, dict[str, Any]]:
    """Return the newest checkpoint that is whole and can be resumed, with its content; ``None`` if there are none.

    Raises:
        ConfigurationError: there are checkpoints and none can be resumed, or one holds more than plain data.
    """
    paths = [path for name in ("last", "previous", "best") if is_plain_file(path := directory / f"{name}.ckpt")]
    for path in paths:
        content = load_checkpoint(path)
        if content is not None and (content.get("resumable") or content.get("stop_reason")):
            if path != paths[0]:
                step = content["global_step"]
                log.info(f"{paths[0]} is damaged or within an epoch: resuming from {path.name}, step {step}.")
            return path, content
    if paths:
        raise ConfigurationError(f"{paths[0]} is damaged or cannot be resumed, and there is no other checkpoint.")
    return None, {}


def load_checkpoint(path: Path, structure: Mapping[str, type] = STRUCTURE) -> dict[str, Any] | None:
    """Return the content of a checkpoint, ``None`` if it is damaged.

    Args:
        path: of the file.
        structure: the keys that it must have, with the type of each; by default those that are needed to resume.

    Raises:
        ConfigurationError: it holds more than plain data: code, which is not run.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if not all(map(_is_written_by_torch, archive.infolist())) or archive.testzip() is not None:
                return None
        content = dict(torch.load(path, map_location="cpu", weights_only=True))
        return content if all(isinstance(content[key], kind) for key, kind in structure.items()) else None
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL (\S+)", str(error))  # the rest of torch's message tells how to run the code
        code = f" ({name[1]})" if name else ""
        raise ConfigurationError(f"{path} holds more than plain data and tensors{code}, and is not loaded.") from None
    except Exception:  # a damaged file can raise anything
        return None
