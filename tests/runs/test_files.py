"""Systems that lack what Linux has: each call that they refuse is made to fail here."""

import errno
import fcntl
import os
import runpy
import signal
import threading
from pathlib import Path

import pytest

import experiment
from experiment.configuration.errors import ReportedError
from experiment.runs import files, signals
from experiment.runs.directory import RunDirectory
from experiment.runs.report import format_report
from tests.conftest import checkpoint, metrics

EPOCHS = ("checkpoint.every_n_seconds=0", "data.batch_size=30")


def refuse_directories(monkeypatch):
    """Windows opens no directories, and brings no file to the disk through a handle that only reads."""
    open_, fsync = os.open, os.fsync

    def open_file(path, flags, *args, **kwargs):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open_(path, flags, *args, **kwargs)

    def sync(descriptor):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        fsync(descriptor)

    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(os, "fsync", sync)


def refuse_sync(monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)


def refuse_links(monkeypatch):
    def link(*args, **kwargs):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)


def refuse_locks(monkeypatch):
    def flock(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


def refuse_open_files(monkeypatch):
    """Windows replaces no file that another process has open, if only for a moment, and renames onto none."""
    replace, tried = os.replace, set()

    def replace_later(source, target, *args, **kwargs):
        if str(target) not in tried:
            tried.add(str(target))
            raise PermissionError(errno.EACCES, "Permission denied", str(target))
        replace(source, target, *args, **kwargs)

    def rename(source, target, *args, **kwargs):
        if os.path.exists(target):
            raise FileExistsError(errno.EEXIST, "File exists", str(target))
        replace(source, target, *args, **kwargs)

    monkeypatch.setattr(os, "replace", replace_later)
    monkeypatch.setattr(os, "rename", rename)


SYSTEMS = [refuse_directories, refuse_sync, refuse_links, refuse_locks, refuse_open_files]


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("expected")
    experiment.run(experiment.compose([*EPOCHS, "trainer.max_epochs=6"]), directory)
    return directory


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.draws
def test_a_run_is_saved_and_extended_on_a_system_without(run, monkeypatch, expected, system):
    with monkeypatch.context() as patch:
        system(patch)
        directory = run(*EPOCHS, "trainer.max_epochs=3")
        run(*EPOCHS, "trainer.max_epochs=6")
    assert metrics(directory) | {"seconds": 0} == metrics(expected) | {"seconds": 0}
    assert (directory / "checkpoints/previous.ckpt").exists()
    for key, value in checkpoint(expected)["state_dict"].items():
        assert value.equal(checkpoint(directory)["state_dict"][key])


def test_an_error_of_the_disk_is_no_missing_feature(monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    Path("file").touch()
    with pytest.raises(OSError, match="Input/output error"):
        files.sync_files([Path("file")])


def test_a_file_that_stays_open_elsewhere_is_reported(monkeypatch):
    def replace(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(files, "REPLACE_SECONDS", 0.1)
    with pytest.raises(ReportedError, match="file cannot be written: Permission denied"):
        files.write_atomically(Path("file"), "text")
    assert not [*Path().iterdir()]


def test_a_missing_lock_is_announced(monkeypatch, caplog):
    refuse_locks(monkeypatch)
    Path("run").mkdir()
    with RunDirectory(Path("run")).locked():
        pass
    assert "has no locks" in caplog.text


def test_a_system_without_sigusr1_has_the_other_signals(monkeypatch):
    monkeypatch.delattr(signal, "SIGUSR1")
    module = runpy.run_path(signals.__file__)
    assert module["SIGNALS"] == [signal.SIGINT, signal.SIGTERM]
    with module["SignalHandler"]():
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_run_in_another_thread_leaves_signals_alone():
    before, errors = signal.getsignal(signal.SIGINT), []

    def work():
        try:
            with signals.SignalHandler() as handler:
                handler.check()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors
    assert signal.getsignal(signal.SIGINT) is before


def test_the_report_does_not_need_a_common_drive(monkeypatch):
    def relpath(*args):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", relpath)
    report = {"status": "finished", "epoch": 1, "step": 1, "seconds": 0.0}
    assert f"directory: {Path('outputs/run')}\ntensorboard --logdir outputs" in format_report(
        report, Path("outputs/run").absolute()
    )
    assert "directory: /elsewhere/run\ntensorboard --logdir /elsewhere/run" in format_report(
        report, Path("/elsewhere/run")
    )
