"""The served Bento as a whole: whose code it runs, where its metrics are, what it logs, and how it ends."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import bentoml
import httpx2
import pytest
from conftest import AUTHORIZED, METRICS_AUTHORIZED, ROOT, TOKEN_LINES
from demonstration import EXAMPLE
from servers import BENTOML, serving

from load_tests.compare.server import free_port
from propensity import settings
from propensity.access.authorization import BELIEF_SECONDS
from propensity.app import ForeignCodeError
from propensity.serving import service_log
from service import Propensity


@pytest.fixture
def changed_checkout(tmp_path: Path) -> Path:
    """A checkout that changed after the Bento was built, with a tokens file in it."""
    shutil.copytree(
        ROOT / "propensity", tmp_path / "propensity", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("service.py", "bentofile.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for changed in (tmp_path / "service.py", tmp_path / "propensity/model/store.py"):
        changed.write_text(changed.read_text() + "\nraise RuntimeError('the code of the checkout')\n")
    (tmp_path / "tokens").write_text(TOKEN_LINES)
    (tmp_path / "temporary").mkdir()
    return tmp_path


def test_a_tag_is_served_with_its_own_code_and_paths_are_those_of_the_folder_it_was_started_in(
    bento: Path, changed_checkout: Path, tag: str
) -> None:
    """Everything that it logs is lines of JSON, too."""
    environment = {
        "PROPENSITY_TOKENS_FILE": "tokens",
        "PROPENSITY_MODEL_KEY": "",
        "PROPENSITY_LOG_LEVEL": "info",
        "BENTOML_HOME": "home",
        "TMPDIR": str(changed_checkout / "temporary"),
    }
    pinned = Path(f"propensity:{bento.name}")
    with serving(pinned, changed_checkout, environment) as served:
        answer = httpx2.post(f"{served.url}/v1/predict", json=EXAMPLE, headers=AUTHORIZED)
        assert answer.json()["model"] == tag
        assert served.metric("bentoml_service_request_total.*", METRICS_AUTHORIZED) > 0
        (folder,) = (changed_checkout / "temporary").glob("propensity-metrics-*")
        assert [*folder.glob("values/*.db")]
        with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2]))) as connection:
            connection.sendall(b"GET / HTTP/1.1\nHost: x\n\n")
            assert connection.recv(1_000).startswith(b"HTTP/1.1 400 ")
        (changed_checkout / "tokens").write_text("not a line of it\n")
        time.sleep(BELIEF_SECONDS)
        assert httpx2.post(f"{served.url}/v1/predict", json=EXAMPLE, headers=AUTHORIZED).status_code == 200
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(timeout=30)
    assert not folder.exists()
    assert not (changed_checkout / "home/prometheus_multiproc_dir").exists()
    events = [line for line in served.lines() if "request_id" not in line]
    assert all(line.keys() == {"time", "level", "logger", "message"} for line in events)
    assert {"info", "warning", "error"} <= {line["level"] for line in events}
    assert any("signature not verified" in line["message"] for line in events)
    assert any("the tokens read before stay valid" in line["message"] for line in events)
    assert [line["status"] for line in served.requests()] == [200, 200]


def test_a_bento_with_the_code_of_another_folder_is_refused(bento: Path) -> None:
    """For example where PYTHONPATH names other code before the Bento's."""
    with pytest.raises(ForeignCodeError, match=r"would be served with the code in .*, and not with its own"):
        Propensity.on_load_bento(bentoml.Bento.from_path(str(bento)))  # type: ignore[attr-defined]


def test_workers_that_can_not_start_end_the_service_in_one_line(bento: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [BENTOML, "serve", str(bento), "--port", str(free_port()), "--ssl-certfile", "absent.pem"],
        cwd=tmp_path, env=os.environ | {"TMPDIR": str(tmp_path), "PROPENSITY_WORKERS": "2"},
        capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "Error: [serve] `serve` failed: no worker could start: the last ended by itself with 1; the log above"
        " says why\n"
    )
    uncaught = [line for line in map(json.loads, done.stdout.splitlines()) if "exception" in line]
    assert len(uncaught) >= 2
    assert {line["level"] for line in uncaught} == {"critical"}
    assert uncaught[0]["message"] == "[Errno 2] No such file or directory"
    assert uncaught[0]["exception"].startswith("Traceback (most recent call last):\n")
    assert not [*tmp_path.glob("propensity-metrics-*")]


USE_ONE = """
import sys, tempfile
from propensity.serving.supervision import metrics_folder
print(metrics_folder(), flush=True)
sys.stdin.read()
"""


def test_each_server_has_metrics_of_its_own_and_those_of_dead_ones_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start() -> tuple[subprocess.Popen[str], Path]:
        process = subprocess.Popen(
            [sys.executable, "-c", USE_ONE], cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    (killed, left_behind), (ended, removed), (alive, kept) = start(), start(), start()
    assert len({left_behind, removed, kept}) == 3
    killed.kill()
    killed.communicate()
    ended.communicate("")
    assert left_behind.exists()
    assert not removed.exists()
    (kept / "values").mkdir()
    (tmp_path / "propensity-metrics-link").symlink_to(ROOT)
    last, own = start()
    assert {*tmp_path.glob("propensity-metrics-*")} == {kept, own, tmp_path / "propensity-metrics-link"}
    assert (kept / "values").is_dir()
    last.communicate("")
    alive.communicate("")


def test_a_line_holds_the_traceback_in_one_field() -> None:
    try:
        int("two\nlines")
    except ValueError:
        record = logging.LogRecord("a.b", logging.ERROR, "x.py", 1, "failed: %s", ("ñ\n",), sys.exc_info())
    text = service_log.JsonFormatter().format(record)
    line = json.loads(text)
    assert "\n" not in text
    assert list(line) == ["time", "level", "logger", "message", "exception"]
    assert (line["level"], line["logger"], line["message"]) == ("error", "a.b", "failed: ñ\n")
    assert line["exception"].startswith("Traceback (most recent call last):\n")


def test_commands_keep_their_own_messages() -> None:
    assert not service_log.configure()


def test_paths_among_the_settings_are_resolved_and_urls_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in settings.PATHS:
        monkeypatch.setenv(name, "in/here")
    monkeypatch.setenv("PROPENSITY_JWT_KEYS", "https://issuer.example/keys")
    monkeypatch.setenv("PROPENSITY_LOG_KEY", "")
    settings.resolve_paths()
    assert os.environ["PROPENSITY_JWT_KEYS"] == "https://issuer.example/keys"
    assert os.environ["PROPENSITY_LOG_KEY"] == ""
    others = set(settings.PATHS) - {"PROPENSITY_JWT_KEYS", "PROPENSITY_LOG_KEY"}
    assert {os.environ[name] for name in others} == {str(tmp_path / "in/here")}
