"""TensorBoard's event files: written in the calling thread, read up to what is damaged, continued after a resume.

A file holds the format's TFRecords: length, checksum, content, checksum.
"""

import fnmatch
import itertools
import json
import os
import re
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from google_crc32c import value as crc32c
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from experiment.runs.files import replace, sync_files

FLUSH_SECONDS = 1.0  # after which an event can be seen
PATTERN = "events.out.tfevents.*"
# What each start logs anew: of these tags, a reader keeps the first event.
LOGGED_BY_EACH_START = ("_hparams_/", "custom_scalars__config__")


class EventFile:
    """Appends events to a file in the calling thread, so that an error of the disk reaches the caller.

    Events are buffered: to write a thousand at once takes a sixth of the time of writing one after each step. The file
    is open only while they are written: there may be many of them.
    """

    def __init__(self, path: Path, log: "EventLog | None" = None) -> None:
        self.path, self.log = path, log
        self.buffer: list[Event | dict[str, Any] | bytes] = []
        self.flushed = time.monotonic()

    def add_event(self, event: Event | dict[str, Any] | bytes) -> None:
        """Append an event, the keyword arguments of one, or serialized ones as ``frame`` returns them.

        If the log is muted, they are dropped.
        """
        if self.log and self.log.is_muted:
            return
        self.buffer.append(event)
        if time.monotonic() - self.flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the buffered events to the file."""
        buffer, self.buffer = self.buffer, []
        with self.path.open("ab") as file:
            file.writelines(each if isinstance(each, bytes) else frame(_serialize(each)) for each in buffer)
        self.flushed = time.monotonic()

    def get_logdir(self) -> str:
        """Return the directory of the file: torch's ``FileWriter`` asks for it."""
        return str(self.path.parent)


class EventLog:
    """All event files below a run's directory, continued from where a checkpoint was saved.

    A checkpoint is marked in each file. On resume, the events up to its mark are copied to a new file, which replaces
    the older ones. A file of another writer is cut to the size that it had at the mark.

    Args:
        directory: of the run.
        mark: of the checkpoint to resume from; ``None`` starts an empty log.

    Attributes:
        carried: the events that were carried over, of the run's directory itself.
        main: the file of the run's directory itself.
        is_muted: whether events are dropped.
    """

    is_muted = False

    def __init__(self, directory: Path, mark: str | None) -> None:
        self.directory = directory
        self.files: dict[Path, EventFile] = {}
        self.carried, sizes = _read_until(directory, mark)
        found = [*_find_files(directory, deep=True)]
        for path in found:
            if path.parent not in self.files and _is_own(path):
                events = self.carried if path.parent == directory else _read_until(path.parent, mark)[0]
                self.files[path.parent] = self._begin(path.parent, events)
        self.main = self.open(directory)
        for path in found:  # those of others: of its own older ones nothing is left by now
            os.truncate(path, min(sizes.get(path.relative_to(directory).as_posix(), 0), path.stat().st_size))

    def open(self, folder: Path) -> EventFile:
        """Return the file of a folder below the run's directory."""
        if folder not in self.files:
            folder.mkdir(parents=True, exist_ok=True)
            self.files[folder] = self._begin(folder, [])
        return self.files[folder]

    def _begin(self, folder: Path, events: Iterable[Event]) -> EventFile:
        return EventFile(_replace_files(folder, events), self)

    def mark(self, name: str) -> None:
        """Mark how far all files have come at a checkpoint."""
        sizes = {path.relative_to(self.directory).as_posix(): path.stat().st_size for path in self._files_of_others()}
        session = {"status": SessionLog.CHECKPOINT, "checkpoint_path": name, "msg": json.dumps(sizes)}
        for file in self.files.values():
            file.add_event({"wall_time": time.time(), "session_log": session})

    def _files_of_others(self) -> list[Path]:
        """Return the event files that others have written to, a ``SummaryWriter`` of the user's for example."""
        own = {file.path for file in self.files.values()}
        return [path for path in _find_files(self.directory, deep=True) if path not in own and path.stat().st_size]

    def flush(self) -> None:
        """Write the buffered events of all files."""
        for file in self.files.values():
            file.flush()

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [file.path for file in self.files.values()]


def _serialize(event: Event | dict[str, Any]) -> bytes:
    content: bytes = (Event(**event) if isinstance(event, dict) else event).SerializeToString()
    return content


def frame(content: bytes) -> bytes:
    """Return the record of a serialized event."""
    length = struct.pack("<Q", len(content))
    return b"".join((length, _checksum(length), content, _checksum(content)))


def _checksum(content: bytes) -> bytes:
    return masked(crc32c(content))


def masked(crc: int) -> bytes:
    """Return a CRC-32C as the format has it."""
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def read_file(path: Path) -> Iterator[Event]:
    """Yield the events of a file, up to the first that is damaged: a kill may have cut it short."""
    size = path.stat().st_size
    with path.open("rb") as file, suppress(DecodeError):
        while (length := file.read(8)) and file.read(4) == _checksum(length):
            content = file.read(min(*struct.unpack("<Q", length), size))
            if file.read(4) != _checksum(content):
                return
            yield Event.FromString(content)


def read_events(directory: Path) -> Iterator[Event]:
    """Yield what was logged directly in a directory, each event once."""
    paths = sorted(_find_files(directory))
    own = [path for path in paths if _is_own(path)]
    for path in paths:
        if path not in own[:-1]:  # the newest of the run's own files replaces those before
            yield from read_file(path)


def _find_files(directory: Path, deep: bool = False) -> Iterator[Path]:
    """Yield the event files of a directory, symbolic links excepted: what they lead to is not the run's."""
    for folder, folders, names in os.walk(directory):
        if not deep:
            folders.clear()
        for name in fnmatch.filter(names, PATTERN):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _is_own(path: Path) -> bool:
    """Whether a file begins as an ``EventLog`` writes it: with the start of a session."""
    return any(event.session_log.status == SessionLog.START for event in itertools.islice(read_file(path), 2))


def _read_until(directory: Path, mark: str | None) -> tuple[list[Event], dict[str, int]]:
    """Return the events of a directory's own files up to a mark, and the sizes of others' files that it holds."""
    if mark is None:
        return [], {}
    carried = []
    own = [path for path in sorted(_find_files(directory)) if _is_own(path)]
    for event in read_file(own[-1]) if own else ():
        session = event.session_log
        if session.status == SessionLog.CHECKPOINT:
            carried.append(event)  # an older checkpoint may still be resumed
            if session.checkpoint_path == mark:
                return carried, json.loads(session.msg)
        elif event.HasField("graph_def") or (
            event.summary.value and not event.summary.value[0].tag.startswith(LOGGED_BY_EACH_START)
        ):
            carried.append(event)
    return [], {}


def _replace_files(directory: Path, events: Iterable[Event]) -> Path:
    """Write a new file with these events, which replaces the older files of its kind in the directory.

    It starts a session at step 0, so that a running TensorBoard drops what it has read. The older files are emptied,
    not deleted: TensorBoard would wait for them.
    """
    old = [path for path in _find_files(directory) if _is_own(path)]
    now = time.time()
    names = fnmatch.filter(os.listdir(directory), PATTERN)
    seconds = [int(match[1]) for name in names if (match := re.search(r"\.(\d{10})\.", name))]
    second = max([int(now), *(each + 1 for each in seconds)])
    (directory / ".events.partial").unlink(missing_ok=True)
    partial = EventFile(directory / ".events.partial")
    partial.add_event(Event(wall_time=now, file_version="brain.Event:2"))
    partial.add_event(Event(wall_time=now, step=0, session_log=SessionLog(status=SessionLog.START)))
    for event in events:
        partial.add_event(event)
    partial.flush()
    if old:  # which the new file replaces
        sync_files([partial.path])
    new = directory / f"events.out.tfevents.{second:010d}.{socket.gethostname()}"
    replace(partial.path, new)
    for path in old:
        os.truncate(path, 0)
    return new
