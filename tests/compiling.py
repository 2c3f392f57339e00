"""Pipelines of some of the fields, for tests of what they are compiled to."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fitted import CONTRACT, LABELS, TRAINING
from sklearn.pipeline import make_pipeline

from propensity.contract.contract import Contract
from propensity.contract.features import Features
from propensity.model.pipeline import Input, PipelineForm, frame

OUTCOMES = (LABELS == "yes").astype(int)


def columns_of(features: Features, contract: Contract) -> Features:
    places = [CONTRACT.columns.names.index(name) for name in contract.columns.names]
    return features[:, places]


def narrowed(names: Sequence[str], **changes: dict[str, Any]) -> Contract:
    """The contract of some of the fields, with some of their members changed."""
    content = CONTRACT.model_dump()
    content["fields"] = [
        field | changes.get(field["name"], {}) for field in content["fields"] if field["name"] in names
    ]
    content["example"] = {name: content["example"][name] for name in names}
    return Contract.model_validate(content)


def fitted(
    classifier: Any,
    *preprocessing: Any,
    contract: Contract = CONTRACT,
    takes: Input = "frame",
    positive: str = "1",
    fit: Callable[[Any, Any, Any], object] = lambda pipeline, rows, outcomes: pipeline.fit(rows, outcomes),
) -> PipelineForm:
    rows = frame(columns_of(TRAINING, contract), contract)
    pipeline = make_pipeline(*preprocessing, classifier) if preprocessing else classifier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(pipeline, rows if takes == "frame" else rows.to_numpy(), OUTCOMES)
    return PipelineForm(pipeline, contract, takes, positive)


def near(probes: Sequence[Any], contract: Contract, count: int = 1_500) -> Features:
    """Rows of the values that a form tells apart, and of floats beside them."""
    random = np.random.default_rng(3)
    columns = []
    for field, values in zip(contract.columns.fields, probes, strict=True):
        if field.kind == "number":
            beside = [np.nextafter(values, -np.inf), np.nextafter(values, np.inf), np.float32(values)]
            values = np.concatenate([values, *beside])  # noqa: PLW2901
        within = values[~((values < field.lowest) | (values > field.highest))]
        columns.append(random.choice(within, count))
    return np.column_stack(columns)
