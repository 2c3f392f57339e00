"""Serves the same pickle with this bundle and with its peers in turn, and measures them side by side.

    python -m load_tests.compare            # all, in about half an hour; writes load_tests/compare.json
    python -m load_tests.compare NAME ...   # some, to look at; writes nothing

Each server has an environment of its own and one worker; the client is wrk with one thread, on the same
machine. In each round every contender is started, checked, warmed up and measured; the rounds' medians
are reported, and ratios are of the same round.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
import urllib.request
from importlib import metadata
from pathlib import Path
from typing import Any

import bentoml

from load_tests.compare.contenders import CONTENDERS, THIS, Contender, Request, Rows
from load_tests.compare.server import HOME, ROOT, CompareError, Server, base_environment, install, serve
from load_tests.resample import resample
from propensity import store
from propensity.compiled import CompiledForm, Tables
from propensity.contract import CATEGORIES, Application
from propensity.features import encode
from propensity.manifest import PipelineModel, ServedManifest
from propensity.tokens import new_token

ROUNDS = 3
SECONDS = 2
WARM_UP_SECONDS = 1
TIMEOUT_SECONDS = 60
CELLS = [
    (1, 1),
    (8, 1),
    (32, 1),
    (128, 1),
    (1, 100),
    (8, 100),
    (1, 1_000),
    (8, 1_000),
    (1, 10_000),
    (8, 10_000),
]
"""Connections, and applications a request."""

BODIES = {1: 64, 100: 8, 1_000: 4, 10_000: 2}
"""Different request bodies, by batch size, sent in turn."""

TOLERANCE = 1e-6
REPORTED = [
    "bentoml",
    "fastapi",
    "litserve",
    "mlflow",
    "mlserver",
    "ray",
    "scikit-learn",
    "starlette",
    "uvicorn",
    "uvloop",
]


def complete_rows() -> Rows:
    """Applications without missing values: not every peer's protocol has a place for those.

    Numbers are written as floats, as the pipeline wants them from those who build a DataFrame of them.
    """
    rows = [
        {name: value if name in CATEGORIES or value is None else float(value) for name, value in row.items()}
        for row in (each["application"] for each in json.loads(resample(20_000).read_bytes()))
    ]
    return [row for row in rows if None not in row.values()][: max(BODIES) + 2]


def prepare() -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Stores, tables and tokens for the servers; gives their environments by form, and the token."""
    model = bentoml.models.get("propensity:latest")
    content, manifest = store.check(model), store.manifest_of(model)
    (HOME / "tables.npz").write_bytes(content)
    tokens = HOME / "tokens"
    tokens.unlink(missing_ok=True)
    token = new_token(tokens, "compare", ["predict"])
    pickle = ROOT / "artifacts/propensity.pkl"
    common = base_environment(
        PICKLE=str(pickle),
        TABLES=str(HOME / "tables.npz"),
        THRESHOLD=repr(manifest.threshold.value),
        PROPENSITY_TOKENS_FILE=str(tokens),
    )
    environments = {}
    for form in ("compiled", "pipeline"):
        home = HOME / f"store-{form}"
        shutil.rmtree(home, ignore_errors=True)
        environments[form] = common | {"BENTOML_HOME": str(home)}
        stored = home / "models"
        stored.mkdir(parents=True)
        shutil.copytree(Path(model.path).parent, stored / "propensity")
    as_pipeline = ServedManifest(
        **manifest.model_dump(exclude={"served"}), served=PipelineModel(reason="measured as one")
    )
    save = "import sys; from propensity import store; from propensity.manifest import ServedManifest as M; "
    save += "store.save(open(sys.argv[1], 'rb').read(), M.model_validate_json(sys.argv[2]))"
    subprocess.run(
        [sys.executable, "-c", save, str(pickle), as_pipeline.model_dump_json()],
        env=environments["pipeline"], cwd=ROOT, check=True,
    )  # fmt: skip
    return environments, {"TOKEN": token}


def check(server: Server, request: Request, token: str, rows: Rows, expected: list[float]) -> None:
    """See that a contender predicts what the model predicts."""
    sent = urllib.request.Request(  # noqa: S310 — our own
        server.url + request.path,
        data=request.body(rows),
        headers={"Content-Type": request.content_type, "Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(sent, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        found = request.propensities(answer.read())
    if found and max(abs(a - b) for a, b in zip(found, expected, strict=True)) > TOLERANCE:
        raise CompareError(f"predicts otherwise: {found[:3]} instead of {expected[:3]}")


def load(
    server: Server, request: Request, token: str, folder: Path, connections: int, seconds: int
) -> dict[str, Any]:
    """Let wrk send the bodies of a folder."""
    environment = os.environ | {
        "TOKEN": token,
        "CONTENT_TYPE": request.content_type,
        "URL_PATH": request.path,
        "FOLDER": str(folder),
        "BODIES": str(len(list(folder.iterdir()))),
    }
    options = [f"-c{connections}", f"-d{seconds}", f"--timeout={TIMEOUT_SECONDS}"]
    script = str(Path(__file__).with_name("client.lua"))
    before = server.cpu_seconds()
    done = subprocess.run(
        ["wrk", "-t1", *options, "-s", script, server.url],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    measured["cpu_seconds"] = round(server.cpu_seconds() - before, 3)
    return measured


def write_bodies(contender: Contender, request: Request, size: int, rows: Rows) -> Path:
    """The bodies that a contender is sent, as files."""
    folder = HOME / "bodies" / contender.name.replace(" ", "-") / str(size)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number in range(BODIES[size]):
        (folder / str(number)).write_bytes(request.body(rows[number : number + size]))
    return folder


def measure(
    contender: Contender, environment: dict[str, str], token: str, rows: Rows, expected: list[float]
) -> dict[str, Any]:
    """One round of one contender."""
    cells: dict[str, Any] = {}
    with serve(contender, environment) as server:
        memory = server.memory_mb()
        for connections, size in CELLS:
            request = contender.single if size == 1 else contender.batch
            if request is None:
                continue
            folder = write_bodies(contender, request, size, rows)
            if connections == 1:
                check(server, request, token, rows[:size], expected[:size])
                load(server, request, token, folder, 8, WARM_UP_SECONDS)
            cells[f"c{connections} b{size}"] = load(server, request, token, folder, connections, SECONDS)
        under_load = server.memory_mb()
    return {
        "start_seconds": round(server.start_seconds, 2),
        "rss_mb": {
            "started": {"all": round(memory[0], 1), "largest": round(memory[1], 1)},
            "loaded": {"all": round(under_load[0], 1), "largest": round(under_load[1], 1)},
        },
        "cells": cells,
    }


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    return {
        "processor": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "client": wrk.stdout.partition(" Copyright")[0],
    }


def versions(contender: Contender) -> dict[str, str]:
    """Of the libraries that matter in a contender's environment."""
    (site,) = install(contender).parent.glob("lib/python*/site-packages")
    found = {each.name: each.version for each in metadata.distributions(path=[str(site)])}
    return {name: found[name] for name in REPORTED if name in found}


def main(names: list[str]) -> None:
    """The command."""
    if shutil.which("wrk") is None:
        raise CompareError("wrk is not installed; install it (Debian, Ubuntu: apt install wrk)")
    chosen = [each for each in CONTENDERS if not names or each.name in names]
    if unknown := set(names) - {each.name for each in CONTENDERS}:
        known = ", ".join(each.name for each in CONTENDERS)
        raise CompareError(f"no contender {', '.join(sorted(unknown))}; there are {known}")
    HOME.mkdir(parents=True, exist_ok=True)
    for contender in chosen:
        install(contender)
    environments, token = prepare()
    rows = complete_rows()
    form = CompiledForm(Tables.from_bytes((HOME / "tables.npz").read_bytes()))
    expected = form.propensities(encode([Application.model_validate(row) for row in rows])).tolist()
    rounds: list[dict[str, Any]] = []
    for number in range(ROUNDS):
        this_round = {}
        for contender in chosen:
            started = time.perf_counter()
            found = measure(contender, environments[contender.form], token["TOKEN"], rows, expected)
            this_round[contender.name] = found
            rates = ", ".join(
                f"{cell}: {figures['requests'] / figures['seconds']:,.0f}/s"
                for cell, figures in found["cells"].items()
            )
            seconds = time.perf_counter() - started
            print(
                f"compare: round {number + 1} of {ROUNDS}: {contender.name} ({seconds:.0f} s): {rates}",
                flush=True,
            )
        rounds.append(this_round)
    if names:
        return
    report = {
        "machine": machine(),
        "seconds_a_cell": SECONDS,
        "contenders": {
            each.name: {"configured": each.configured, "is_peer": each.is_peer, "versions": versions(each)}
            for each in CONTENDERS
        },
        "reference": THIS,
        "rounds": rounds,
    }
    path = ROOT / "load_tests/compare.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"compare: wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CompareError as error:
        sys.exit(f"compare: {error}")
