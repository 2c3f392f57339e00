"""Benchmarks of the steps of a prediction: validate, score, serialise.

Here they run once and must be right; `make benchmark` times them and compares with its last run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bodies import ARROW, JSON, NDJSON, body
from demonstration import CONTRACT

from load_tests.demonstration import MANIFEST, pipeline_form
from propensity.contract.features import Features
from propensity.formats.batch import Answers, Batch
from propensity.formats.media_types import formats_of
from propensity.importing.grids import compile_grids
from propensity.model.forms import Form
from propensity.model.pipeline import PipelineForm

BY_MEDIA_TYPE = {each.media_type: each for each in formats_of(CONTRACT)["predict_batch"]}


@pytest.fixture(scope="module")
def rows(holdout: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row[CONTRACT.row] for row in holdout[:1_000]]


@pytest.fixture(scope="module")
def features(rows: list[dict[str, Any]]) -> Features:
    return CONTRACT.encode(rows)


@pytest.fixture(scope="module")
def in_pipeline_form(pickle_path: Any) -> PipelineForm:
    return pipeline_form()


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
@pytest.mark.parametrize("name", ["compiled", "pipeline"])
@pytest.mark.parametrize("size", [1, 32, 1_000])
def test_score(
    benchmark: Any, features: Features, in_pipeline_form: PipelineForm, name: str, size: int
) -> None:
    form: Form = in_pipeline_form
    if name == "compiled":
        form = compile_grids(in_pipeline_form, features).form
    propensities = benchmark(form.propensities, features[:size])
    expected = in_pipeline_form.propensities(features[:size])
    assert propensities == pytest.approx(expected, abs=1e-12, rel=0)


@pytest.mark.benchmark(group="serialise")
@pytest.mark.parametrize("media_type", [JSON, NDJSON, ARROW])
@pytest.mark.parametrize("size", [1, 1_000])
def test_serialise(benchmark: Any, features: Features, media_type: str, size: int) -> None:
    propensities = np.linspace(0, 1, size)
    threshold = MANIFEST.threshold.value
    answers = Answers.of(Batch(features[:size], {}), propensities, threshold, MANIFEST.name, CONTRACT)
    answer: bytes = benchmark(BY_MEDIA_TYPE[media_type].write, answers)
    assert len(answer) > size
