"""Versions of BentoML: the oldest and the newest that the project allows serve the Bento alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx2
import pytest
from conftest import AUTHORIZED, METRICS_AUTHORIZED, PREDICT_TOKEN, ROOT
from demonstration import EXAMPLE
from servers import serving
from starlette.applications import Starlette

from propensity.app import BentoMLChangedError, PredictionApp
from service import Propensity

ALLOWED = next(
    requirement
    for requirement in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    if requirement.startswith("bentoml>")
)

CLIENT = """
import json, sys, bentoml
with bentoml.SyncHTTPClient(sys.argv[1], token=sys.argv[2]) as propensity:
    print(json.dumps(propensity.predict(**json.loads(sys.argv[3]))))
"""


@pytest.mark.thorough
@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_the_oldest_and_the_newest_bentoml_that_are_allowed_serve_the_bento(
    bento: Path, tmp_path: Path, resolution: str
) -> None:
    library = tmp_path / "library"
    subprocess.run(
        [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--no-deps", "--target", library,
         "--python", sys.executable, "--resolution", resolution, ALLOWED],
        check=True,
    )  # fmt: skip
    first = {"PYTHONPATH": str(library)}
    (version,) = [
        path.name.split("-")[1].removesuffix(".dist") for path in library.glob("bentoml-*.dist-info")
    ]
    with serving(bento, tmp_path, first) as served:
        asked = subprocess.run(
            [sys.executable, "-c", "import bentoml; print(bentoml.__version__)"],
            env=os.environ | first, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert asked.stdout.strip() == version
        answer = httpx2.post(f"{served.url}/v1/predict", json=EXAMPLE, headers=AUTHORIZED)
        assert answer.status_code == 200
        batch = {"applications": [EXAMPLE, {}]}
        answers = httpx2.post(f"{served.url}/v1/predict_batch", json=batch, headers=AUTHORIZED).json()
        assert answers["predictions"][0] == answer.json()
        assert answers["problems"] == 1
        for path, status in (("/livez", 200), ("/readyz", 200), ("/docs.json", 200), ("/nothing", 401)):
            assert httpx2.get(f"{served.url}{path}").status_code == status, path
        assert httpx2.get(f"{served.url}/static_content/swagger-ui.css").status_code == 200
        metrics = httpx2.get(f"{served.url}/metrics", headers=METRICS_AUTHORIZED).text
        assert 'bentoml_service_adaptive_batch_size_count{method_name="predict"' in metrics
        called = subprocess.run(
            [sys.executable, "-c", CLIENT, served.url, PREDICT_TOKEN, json.dumps(EXAMPLE)],
            env=os.environ | first, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert json.loads(called.stdout) == answer.json()


def test_a_bentoml_without_the_routes_that_are_kept_of_it_is_named(tag: str) -> None:
    with pytest.raises(
        BentoMLChangedError, match=r"BentoML 1\.4\.\d+ lacks the routes healthz, livez, static_content"
    ):
        PredictionApp(Propensity, Starlette())  # type: ignore[arg-type]
    assert tag
