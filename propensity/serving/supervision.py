"""Supervision: prepares BentoML's supervisor before it starts a worker.

The supervisor gets absolute paths, a metrics folder of its own, and a rule for when to stop.
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
    """No worker is left, and the last one could not start."""


def prepare() -> None:
    """Prepare a server; called wherever the service is imported: in supervisor, workers and tools."""
    if service_log.configure() and server_context.worker_index is None:
        # By default, all servers of a BENTOML_HOME share one folder, and each one that starts empties it.
        BentoMLContainer.prometheus_multiproc_dir.set(str(metrics_folder() / "values"))


def supervise() -> None:
    """Prepare the supervisor; called in it, in the folder that it was started in.

    Raises:
        SettingError: a `PROPENSITY_` variable is set that is no setting.
    """
    settings.check_names()
    settings.resolve_paths()
    circus.watcher.Watcher = Watcher  # BentoML's create_watcher takes it from there


def metrics_folder() -> Path:
    """Create a folder that is removed when this process ends, and remove those of dead processes.

    The process locks its folder. The lock ends with the process, however that ends, and also keeps cleaners
    of temporary folders away.
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
        with suppress(FileNotFoundError):  # another process removed it before it was locked
            fcntl.flock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX)
            folder.stat()
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            return folder


class Watcher(circus.watcher.Watcher):
    """Restarts killed workers, as the supervisor does, but stops the service when no worker can start.

    A killed worker ends with a signal. A worker that exits by itself could not start, and would fail again:
    the supervisor would retry forever, while clients wait for an answer that never comes.
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
