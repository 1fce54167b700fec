"""Writing files: whole or not at all, on the disk when that is asked for, and never through a symbolic link."""

import errno
import os
import shutil
import time
from pathlib import Path

from experiment.configuration.errors import ReportedError

REPLACE_SECONDS = 2.0  # how long to wait for others to close a file: Windows replaces no open one
UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}  # some file systems cannot sync, Windows no read-only handle


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; a symbolic link in its place is replaced.

    Raises:
        ReportedError: it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.unlink(missing_ok=True)  # which may be a link
        with partial.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ReportedError(f"{path} cannot be written: {error.strerror}") from error


def replace(file: Path, place: Path) -> None:
    """Move a file to ``place``, in the stead of what is there."""
    give_up = time.monotonic() + REPLACE_SECONDS
    while True:
        try:
            file.replace(place)
            return
        except PermissionError:
            if time.monotonic() > give_up or place.is_dir() or not os.access(place.parent, os.W_OK):
                raise
            time.sleep(0.05)


def move_into_place(file: Path, place: Path) -> None:
    """Bring a file to the disk, then ``replace`` what is at ``place`` with it."""
    _sync(file, os.O_RDWR)
    replace(file, place)
    _sync(place.parent, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    try:
        descriptor = os.open(path, flags)
    except PermissionError:  # Windows opens no directories
        return
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync(descriptor: int) -> None:
    """Bring an open file or directory to the disk, where the system and the file system can."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def link(file: Path, name: Path) -> None:
    """Give a file another name too; on a file system without links, copy it."""
    partial = name.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    try:
        partial.hardlink_to(file)
    except (OSError, NotImplementedError):
        shutil.copyfile(file, partial)
    replace(partial, name)
