"""Fixtures. Servers and stores of the tests live in a BENTOML_HOME of their own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Before anything imports BentoML, which reads them once.
_HOME = tempfile.TemporaryDirectory(prefix="propensity-tests-")
os.environ["BENTOML_HOME"] = f"{_HOME.name}/bentoml"
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
os.environ["PROMETHEUS_MULTIPROC_DIR"] = f"{_HOME.name}/metrics"
os.environ["PROPENSITY_TOKENS_FILE"] = f"{_HOME.name}/tokens"
os.environ["PROPENSITY_DRAIN_SECONDS"] = "0"
# The store is empty still, and will have models of other names as well.
os.environ["PROPENSITY_MODEL"] = "propensity:latest"

import bentoml
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore
from servers import BENTOML, serving
from starlette.testclient import TestClient

from import_model import import_model
from propensity.app import PredictionApp
from propensity.http.request_metrics import report_stale
from propensity.importing import ladder, parity
from propensity.model import forms, store
from propensity.model.grids import ExplainedGridsForm
from propensity.model.signature import new_key
from propensity.serving import clock
from service import Propensity

ROOT = Path(__file__).parents[1]
ARTIFACTS = ROOT / "artifacts"

PREDICT_TOKEN = "predict-token"
METRICS_TOKEN = "metrics-token"
AUTHORIZED = {"Authorization": f"Bearer {PREDICT_TOKEN}"}
METRICS_AUTHORIZED = {"Authorization": f"Bearer {METRICS_TOKEN}"}


def token_line(name: str, scope: str, token: str) -> str:
    return f"{name}:{scope}:{hashlib.sha256(token.encode()).hexdigest()}\n"


TOKEN_LINES = token_line("scoring", "predict", PREDICT_TOKEN) + token_line(
    "prometheus", "metrics", METRICS_TOKEN
)
Path(os.environ["PROPENSITY_TOKENS_FILE"]).write_text(TOKEN_LINES)
Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).mkdir()
os.environ["PROPENSITY_SIGNING_KEY"] = f"{_HOME.name}/signing-key"
os.environ["PROPENSITY_MODEL_KEY"] = str(new_key(Path(os.environ["PROPENSITY_SIGNING_KEY"])))


@pytest.fixture(scope="session")
def pickle_path() -> Path:
    path = ARTIFACTS / "propensity.pkl"
    if not path.is_file():
        pytest.exit(
            "artifacts/propensity.pkl is missing; `make test` builds it, `make notebook` builds it alone"
        )
    return path


@pytest.fixture(scope="session")
def pipeline(pickle_path: Path) -> Any:
    """The notebook's pipeline, loaded without any of this project's code."""
    return pickle.loads(pickle_path.read_bytes())


@pytest.fixture(scope="session")
def manifest() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ARTIFACTS / "propensity.json").read_bytes())
    return content


@pytest.fixture(scope="session")
def holdout() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((ROOT / "load_tests/data/applications.json").read_bytes())
    return rows


@pytest.fixture(scope="session")
def applications(holdout: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row["application"] for row in holdout]


@pytest.fixture(scope="session")
def form(tag: str) -> ExplainedGridsForm:
    """The form in which the model is served."""
    model = bentoml.models.get(tag)
    served = forms.load(store.manifest_of(model).served.form, store.check(model))
    assert isinstance(served, ExplainedGridsForm)
    return served


@contextmanager
def few_generated_rows() -> Iterator[None]:
    """Imports try compiled forms on few rows: all 100,000 take seconds each time."""
    with pytest.MonkeyPatch.context() as patched:
        for name, rows in (("FEWEST_ROWS", 1_000), ("MOST_ROWS", 1_000), ("CHUNK", 500), ("COMPANY", 20)):
            patched.setattr(parity, name, rows)
        patched.setattr(ladder, "COMPANY", 20)
        yield


@pytest.fixture(scope="session")
def tag(pickle_path: Path) -> str:
    """The model, imported into the store of the tests."""
    with few_generated_rows():
        return import_model(pickle_path)


@pytest.fixture
def empty_store(tmp_path: Path) -> Iterator[ModelStore]:
    """An empty BentoML model store for one test."""
    (tmp_path / "models").mkdir()
    model_store = ModelStore(tmp_path / "models")
    BentoMLContainer.model_store.set(model_store)
    yield model_store
    BentoMLContainer.model_store.reset()


@pytest.fixture(scope="session")
def app(tag: str) -> PredictionApp:
    app: PredictionApp = Propensity.to_asgi()  # type: ignore[attr-defined]
    return app


@pytest.fixture(scope="session")
def client(app: PredictionApp) -> Iterator[TestClient]:
    """The service, in process, started and warm; its clock ticks more often than it would."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(clock, "SECONDS", _TICK_SECONDS)
        with TestClient(app, base_url="http://service", raise_server_exceptions=False) as client:
            yield client


_TICK_SECONDS = 0.01


def written(client: TestClient) -> None:
    """Return once the service in process has written what it noted.

    Timers of one event loop fire in their order, so this holds on a busy machine, too.
    """
    assert client.portal is not None
    client.portal.call(asyncio.sleep, 3 * _TICK_SECONDS)


(CORS,) = re.findall(r"```yaml\n(services:.*?)```", (ROOT / "docs/serving.md").read_text(), re.DOTALL)
"""As the page configures it."""

(ORIGIN,) = re.findall(r'allow_origins: \["(.*)"\]', CORS)


@pytest.fixture(scope="session")
def bento(tag: str) -> Path:
    """The built Bento, in its folder."""
    built = subprocess.run(
        [BENTOML, "build", "--output", "tag", str(ROOT)], capture_output=True, text=True, check=True
    )
    name, version = built.stdout.strip().splitlines()[-1].removeprefix("__tag__:").split(":")
    return Path(os.environ["BENTOML_HOME"]) / "bentos" / name / version


@pytest.fixture(scope="session")
def server(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The built Bento, served as a process of its own, with CORS on; gives its URL."""
    folder = tmp_path_factory.mktemp("server")
    config = folder / "bentoml.yaml"
    config.write_text(CORS)
    other = other_model()
    with serving(bento, folder, {"BENTOML_CONFIG": str(config)}) as served:
        bentoml.models.delete(other)
        yield served.url


def other_model() -> bentoml.Tag:
    """A model that the store calls the latest: the Bento must keep to the one that it was built with."""
    imported = bentoml.models.get("propensity:latest")
    manifest = store.manifest_of(imported)
    other = manifest.model_copy(update={"threshold": manifest.threshold.model_copy(update={"value": 0.9})})
    return store.save(store.check(imported), other).tag


def checked_out(folder: Path, *paths: str) -> Path:
    """A folder with what git would check out, or of it what some pathspecs name."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *paths]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def stale_here_alone() -> Iterator[None]:
    """What tests of a file could not read is not stale in others: one process has one gauge."""
    yield
    for source in ("tokens", "keys"):
        report_stale(source, False)


@contextmanager
def another_user() -> Iterator[int]:
    """Root may read anything, and so is nobody for a moment."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65_534)
    try:
        yield os.geteuid()
    finally:
        os.seteuid(before)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was skipped, and what to install for it, in one line."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        reasons = sorted({report.longrepr[2].removeprefix("Skipped: ") for report in skipped})
        terminalreporter.write_line(f"NOT TESTED, {len(skipped)} tests: {'; '.join(reasons)}", yellow=True)


SLOW = ("guest", "served", "bento", "challenged_bento", "server", "second_run")
"""Fixtures that start a server or execute the notebook."""


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Fast tests first."""
    items.sort(key=lambda item: any(fixture in SLOW for fixture in item.fixturenames))
