"""What BentoML's supervisor is given before it starts a worker.

Paths that hold in any folder, a folder of its own for metrics, and a rule by which it ends.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import circus.watcher
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.context import server_context
from bentoml.exceptions import BentoMLException

from propensity import settings
from propensity.serving import service_log

_METRICS = "propensity-metrics-"


class WorkerError(BentoMLException):
    """No worker is left, and the last could not serve."""


def prepare() -> None:
    """Prepare a server: called when the service is imported, by supervisor, workers, and everyone else."""
    if service_log.configure() and server_context.worker_index is None:
        # BentoML's default is one folder for all servers of a BENTOML_HOME, wiped by each that starts.
        BentoMLContainer.prometheus_multiproc_dir.set(str(metrics_folder() / "values"))


def supervise() -> None:
    """Prepare the supervisor: called by it, from the folder that it was started in.

    Raises:
        SettingError: a variable is set that there is not.
    """
    settings.check_names()
    settings.resolve_paths()
    circus.watcher.Watcher = Watcher  # where BentoML's create_watcher takes it from


def metrics_folder() -> Path:
    """A new folder, removed when this process ends; those that other processes left behind are removed now.

    Whoever uses one holds a lock on it, which ends with the process, however that ends, and which keeps
    cleaners of temporary folders away too.
    """
    for path in Path(tempfile.gettempdir()).glob(f"{_METRICS}*"):
        with suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
            finally:
                os.close(lock)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_METRICS))
        with suppress(FileNotFoundError):  # taken for left behind, before it was locked
            fcntl.flock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX)
            folder.stat()
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            return folder


class Watcher(circus.watcher.Watcher):
    """Starts a killed worker anew, as the supervisor does, but ends the service when none can serve.

    A worker that was killed is found by a signal. One that ends by itself could not start, and would not the
    next time: the supervisor would try for good, while callers wait for an answer from nobody.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, hooks={"after_reap": (_end_without_workers, False)}, **kwargs)


def _end_without_workers(watcher: Any, arbiter: Any, exit_code: int | None, **_: Any) -> None:
    if watcher.processes or arbiter._stopping or exit_code is None or exit_code < 0:
        return

    def end() -> None:
        if arbiter._exclusive_running_command is not None:
            arbiter.loop.call_later(0.1, end)
            return
        arbiter._exception = WorkerError(
            f"no worker could start: the last ended by itself with {exit_code}; the log above says why"
        )
        arbiter.stop()

    arbiter.loop.add_callback(end)
