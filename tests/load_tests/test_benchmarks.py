"""Benchmarks of the steps of a prediction: validate, score, serialise.

Here they run once and must be right; `make benchmark` times them and compares with its last run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bodies import ARROW, JSON, NDJSON, body
from propensity.contract.application import Application

from propensity.contract.features import Features, encode
from propensity.formats.batch import Answers, Batch
from propensity.formats.media_types import BATCH
from propensity.importing.compiler import compile_pipeline
from propensity.model.compiled import CompiledForm
from propensity.model.pipeline import PipelineForm

THRESHOLD = 0.26
BY_MEDIA_TYPE = {each.media_type: each for each in BATCH}


@pytest.fixture(scope="module")
def rows(holdout: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row["application"] for row in holdout[:1_000]]


@pytest.fixture(scope="module")
def features(rows: list[dict[str, Any]]) -> Features:
    return encode([Application.model_validate(row) for row in rows])


@pytest.mark.benchmark(group="validate")
@pytest.mark.parametrize("media_type", [JSON, NDJSON, ARROW])
@pytest.mark.parametrize("size", [1, 1_000])
def test_validate(
    benchmark: Any, rows: list[dict[str, Any]], features: Features, media_type: str, size: int
) -> None:
    batch: Batch = benchmark(BY_MEDIA_TYPE[media_type].read, body(rows[:size], media_type))
    assert not batch.problems
    assert np.array_equal(batch.features, features[:size], equal_nan=True)


@pytest.mark.benchmark(group="score")
@pytest.mark.parametrize("form", ["compiled", "pipeline"])
@pytest.mark.parametrize("size", [1, 32, 1_000])
def test_score(benchmark: Any, features: Features, pipeline: Any, form: str, size: int) -> None:
    made = PipelineForm(pipeline) if form == "pipeline" else CompiledForm(compile_pipeline(pipeline))
    propensities = benchmark(made.propensities, features[:size])
    expected = PipelineForm(pipeline).propensities(features[:size])
    assert propensities == pytest.approx(expected, abs=1e-12, rel=0)


@pytest.mark.benchmark(group="serialise")
@pytest.mark.parametrize("media_type", [JSON, NDJSON, ARROW])
@pytest.mark.parametrize("size", [1, 1_000])
def test_serialise(benchmark: Any, features: Features, media_type: str, size: int) -> None:
    propensities = np.linspace(0, 1, size)
    outcomes = Answers.of(Batch(features[:size], {}), propensities, THRESHOLD, "propensity:model")
    answer: bytes = benchmark(BY_MEDIA_TYPE[media_type].write, outcomes)
    assert len(answer) > size
