"""The server of a contender: installed, started, watched and ended."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from load_tests.compare.contenders import Contender
from propensity.serving.health import LOOPBACK

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".local" / "compare"
"""Where environments, stores and bodies are kept from run to run."""

READY_SECONDS = 120
IDLE_SECONDS = 120


class CompareError(Exception):
    """A comparison that can't be made; the message says what is missing."""


def install(contender: Contender) -> Path:
    """Make the contender's environment, if it is not there as its requirements say; gives its bin folder."""
    requirements = ROOT / contender.requirements
    name = requirements.stem if contender.is_peer else "bundle"
    folder = HOME / "environments" / name
    stamp = folder / "requirements.txt"
    if not stamp.exists() or stamp.read_bytes() != requirements.read_bytes():
        print(f"compare: installing {name}", flush=True)
        uv = str(Path(sys.executable).with_name("uv"))
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", python, str(folder)], check=True)
        into = ["--quiet", "--python", str(folder / "bin/python")]
        subprocess.run([uv, "pip", "install", *into, "-r", str(requirements)], check=True)
        stamp.write_bytes(requirements.read_bytes())
    return folder / "bin"


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: psutil.Process
    url: str
    start_seconds: float

    def memory_mb(self) -> tuple[float, float]:
        """RSS of all its processes, and of the largest."""
        sizes = [each.memory_info().rss / 1e6 for each in self._processes()]
        return sum(sizes), max(sizes)

    def cpu_seconds(self) -> float:
        """Processor time that its processes have used."""
        times = [each.cpu_times() for each in self._processes()]
        return float(sum(time.user + time.system for time in times))

    def wait_until_idle(self) -> None:
        """Wait until it works no more: some go on with requests whose client has left.

        Raises:
            CompareError: it does not stop.
        """
        deadline = time.monotonic() + IDLE_SECONDS
        before = self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(_GLANCE_SECONDS)
            now = self.cpu_seconds()
            if now - before < _GLANCE_SECONDS * _IDLE_SHARE:
                return
            before = now
        raise CompareError(f"{self.url} still works {IDLE_SECONDS} s after the last client has left")

    def workers(self) -> list[psutil.Process]:
        """The processes of this bundle that predict, oldest first."""
        return bundle_workers(self.process)

    def _processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


def bundle_workers(supervisor: psutil.Process) -> list[psutil.Process]:
    """The processes that predict below BentoML's supervisor, the oldest first."""
    found = []
    for process in supervisor.children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            if "_bentoml_impl.worker.service" in process.cmdline():
                found.append(process)
    return sorted(found, key=lambda process: (process.create_time(), process.pid))


_GLANCE_SECONDS = 0.2
_IDLE_SHARE = 0.7
"""Of a core, that a server may take while it does nothing: LitServe polls, and takes half a core."""


def free_port() -> int:
    """A port that nobody listens on, at the moment.

    Below those that systems give out by themselves, as to the sockets of BentoML's supervisor: until the
    server takes it, one of them might.
    """
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def serve(contender: Contender, environment: dict[str, str], workers: int = 1) -> Iterator[Server]:
    """Start a contender's server and wait until it is ready; end it in the end."""
    bin_folder = install(contender)
    port = free_port()
    places = {
        "bin": str(bin_folder),
        "python": str(bin_folder / "python"),
        "port": str(port),
        "folder": str(HOME),
        "workers": str(workers),
        "peers": str(ROOT / "load_tests/compare/peers"),
    }
    command = [part.format(**places) for part in contender.command]
    own = environment | {
        "PATH": f"{bin_folder}:{environment['PATH']}",
        "PROPENSITY_WORKERS": str(workers),
        "WORKERS": str(workers),
        **contender.environment,
    }
    log_path = HOME / "logs" / f"{contender.name.replace(' ', '-')}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    # Some peers write into the folder that they are started in.
    with tempfile.TemporaryDirectory() as work, log_path.open("w") as log:
        started = time.perf_counter()
        process = psutil.Popen(
            command,
            cwd=work if contender.is_peer else ROOT,
            env=own,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while not _is_ready(url, contender):
                if process.poll() is not None or time.perf_counter() - started > READY_SECONDS:
                    raise CompareError(f"{contender.name} did not start; see {log_path}")
                time.sleep(0.02)
            yield Server(process, url, time.perf_counter() - started)
        finally:
            _end(process)


def _is_ready(url: str, contender: Contender) -> bool:
    request = contender.single or contender.batch
    path = contender.ready or (request.path if request else "/")
    try:
        with LOOPBACK.open(url + path, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        # Of a server that wants a POST; one that is still loading says 503, or knows no such path yet.
        return contender.ready is None and error.code not in {404, 503}
    except OSError:
        return False


def _end(process: psutil.Popen) -> None:
    family = [process, *process.children(recursive=True)] if process.is_running() else []
    for each in family:
        if each.is_running():
            each.terminate()
    _, alive = psutil.wait_procs(family, timeout=15)
    for each in alive:
        each.kill()


def base_environment(**more: str) -> dict[str, str]:
    """The environment that all servers get: one thread for numeric libraries, no reports to anybody."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ}
    return kept | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "BENTOML_DO_NOT_TRACK": "True",
        "PROPENSITY_DRAIN_SECONDS": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": str(ROOT),
        **more,
    }
