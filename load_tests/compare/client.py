"""The client: what it sends, how it measures, and what it needs to be there."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bentoml

from load_tests.compare.contenders import CONTENDERS, THIS, Contender, Request, Rows
from load_tests.compare.server import HOME, ROOT, CompareError, Server, base_environment
from load_tests.demonstration import CONTRACT, FILE, MANIFEST, PICKLE
from load_tests.demonstration import rows as rows_of
from load_tests.resample import resample
from propensity.access.tokens import new_token
from propensity.model import store
from propensity.model.manifest import Served

COMPILED = HOME / "compiled"
"""The compiled form of the model, as it is stored."""

TIMEOUT_SECONDS = 60
BODIES = {1: 64, 100: 8, 1_000: 4, 10_000: 2}
"""Different request bodies, by batch size, sent in turn."""


def complete_rows() -> Rows:
    """Rows without missing values: not every peer's protocol has a place for those.

    Numbers are written as floats, as the pipeline wants them from those who build a DataFrame of them.
    """
    texts = CONTRACT.columns.categories
    rows = [
        {name: value if name in texts or value is None else float(value) for name, value in row.items()}
        for row in rows_of(resample(FILE, 20_000))
    ]
    return [row for row in rows if None not in row.values()][: max(BODIES) + 2]


def require_wrk() -> None:
    """See that the client is there.

    Raises:
        CompareError: it is not.
    """
    if shutil.which("wrk") is None:
        raise CompareError("wrk is not installed; install it (Debian, Ubuntu: apt install wrk)")


def imported() -> bentoml.Model:
    """The demonstration model, as it was imported last."""
    return bentoml.models.get(f"{MANIFEST.name}:latest")


def prepare() -> tuple[dict[str, dict[str, str]], str]:
    """Stores, compiled form and tokens for the servers; gives their environments by form, and the token."""
    HOME.mkdir(parents=True, exist_ok=True)
    model = imported()
    manifest = store.manifest_of(model)
    COMPILED.write_bytes(store.check(model))
    (HOME / "manifest.json").write_text(manifest.model_dump_json(exclude_none=True), encoding="utf-8")
    tokens = HOME / "tokens"
    tokens.unlink(missing_ok=True)
    token = new_token(tokens, "compare", ["predict"])
    common = base_environment(
        PICKLE=str(PICKLE),
        COMPILED=str(COMPILED),
        MANIFEST=str(HOME / "manifest.json"),
        PROPENSITY_TOKENS_FILE=str(tokens),
    )
    environments = {}
    for form in ("compiled", "pipeline"):
        home = HOME / f"store-{form}"
        shutil.rmtree(home, ignore_errors=True)
        environments[form] = common | {"BENTOML_HOME": str(home)}
        stored = home / "models"
        stored.mkdir(parents=True)
        shutil.copytree(Path(model.path).parent, stored / MANIFEST.name)
    served = Served(form="pipeline", sha256=manifest.pickle.sha256)
    as_pipeline = manifest.model_copy(update={"served": served})
    save = "import sys; from propensity.model import store; "
    save += "from propensity.model.manifest import ServedManifest as M; "
    save += "store.save(open(sys.argv[1], 'rb').read(), M.model_validate_json(sys.argv[2]))"
    subprocess.run(
        [sys.executable, "-c", save, str(PICKLE), as_pipeline.model_dump_json()],
        env=environments["pipeline"], cwd=ROOT, check=True,
    )  # fmt: skip
    return environments, token


def load(
    server: Server, request: Request, token: str, folder: Path, connections: int, seconds: int
) -> dict[str, Any]:
    """Let wrk send the bodies of a folder, once the server has done with what came before."""
    environment = os.environ | {
        "TOKEN": token,
        "CONTENT_TYPE": request.content_type,
        "URL_PATH": request.path,
        "FOLDER": str(folder),
        "BODIES": str(len(list(folder.iterdir()))),
    }
    options = [f"-c{connections}", f"-d{seconds}", f"--timeout={TIMEOUT_SECONDS}"]
    script = str(Path(__file__).with_name("client.lua"))
    server.wait_until_idle()
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


@dataclass(frozen=True)
class Trial:
    """What it takes to measure this bundle's single predictions.

    Attributes:
        contender: this bundle.
        request: a single prediction.
        environment: of its server, with the compiled form in the store.
        token: with the scope `predict`.
        folder: of the bodies to send.
    """

    contender: Contender
    request: Request
    environment: dict[str, str]
    token: str
    folder: Path


def single_predictions() -> Trial:
    """Prepare to measure single predictions.

    Raises:
        CompareError: the client is not installed.
    """
    require_wrk()
    (contender,) = [each for each in CONTENDERS if each.name == THIS]
    assert contender.single is not None  # noqa: S101 — for mypy
    environments, token = prepare()
    folder = write_bodies(contender, contender.single, 1, complete_rows())
    return Trial(contender, contender.single, environments["compiled"], token, folder)


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
        "client": " ".join(wrk.stdout.split()[:2]),
    }
