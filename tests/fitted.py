"""Pipelines fitted to one small set of rows, for tests of the forms that they are served in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from propensity.contract.contract import Contract
from propensity.contract.features import Features
from propensity.model.pipeline import PipelineForm, frame

NUMBERS = ["age", "income", "spend", "visits"]
CATEGORIES = ["region", "plan"]

CONTRACT = Contract.model_validate(
    {
        "title": "Propensity to churn",
        "meaning": "the customer leaves within a year",
        "fields": [
            {"name": "age", "kind": "integer", "minimum": 18, "maximum": 100},
            {"name": "income", "kind": "number", "minimum": 0, "maximum": 1e6, "nullable": True},
            {"name": "spend", "kind": "number", "minimum": -1000, "maximum": 1e5},
            {"name": "visits", "kind": "integer", "minimum": 0, "maximum": 100_000},
            {"name": "member", "kind": "boolean"},
            {"name": "region", "kind": "category", "categories": [*"abcd"], "nullable": True},
            {"name": "plan", "kind": "category", "categories": ["basic", "extra", "none", "rare"]},
        ],
        "example": {
            "age": 30,
            "income": 1200.5,
            "spend": 10.25,
            "visits": 3,
            "member": True,
            "region": "a",
            "plan": "basic",
        },
    }
)


def contract_with(**changes: dict[str, Any]) -> Contract:
    """The contract with some members of some fields changed."""
    content = CONTRACT.model_dump()
    for field in content["fields"]:
        field.update(changes.get(field["name"], {}))
    return Contract.model_validate(content)


def rows(count: int, seed: int) -> Features:
    """Features of customers."""
    random = np.random.default_rng(seed)
    by_name = {
        "age": random.integers(18, 80, count),
        "income": np.where(random.random(count) < 0.1, np.nan, random.lognormal(7, 1, count)),
        "spend": random.normal(50, 30, count),
        "visits": random.poisson(random.lognormal(3, 1, count)),
        "member": random.random(count) < 0.4,
        "region": np.where(random.random(count) < 0.1, np.nan, random.integers(0, 4, count)),
        "plan": random.choice([0, 1, 2, 3], count, p=[0.5, 0.3, 0.19, 0.01]),
    }
    return np.column_stack([by_name[name] for name in CONTRACT.columns.names]).astype(np.float64)


def outcomes(features: Features, seed: int) -> Any:
    """Whether each customer leaves, as text."""
    column = dict(zip(CONTRACT.columns.names, features.T, strict=True))
    log_odds = (
        -1.0
        + 0.03 * (column["age"] - 45)
        + np.nan_to_num(0.4 * (np.log(column["income"]) - 7))
        - 0.02 * column["spend"]
        + 0.01 * column["visits"]
        - column["member"]
        + 0.5 * (column["plan"] == 1)
        + np.where(np.isnan(column["region"]), 0.7, 0.2 * column["region"])
    )
    leaves = np.random.default_rng(seed).random(len(features)) < 1 / (1 + np.exp(-log_odds))
    return np.where(leaves, "yes", "no")


TRAINING, HOLDOUT, UNSEEN = (rows(count, seed) for seed, count in enumerate((1_500, 800, 2_000)))
LABELS = outcomes(TRAINING, 0)


def encoded(
    numbers: Sequence[Any] = (), categories: Any = None, names: Sequence[str] = NUMBERS
) -> ColumnTransformer:
    """Preprocessing: steps for some numbers, after imputation and scaling, and an encoder of categories."""
    return ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), *numbers),
                [*names],
            ),
            ("member", "passthrough", ["member"]),
            ("categories", categories or OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
        ]
    )


def fitted(classifier: Any, preprocessing: Any = None, positive: str = "yes") -> PipelineForm:
    """The form of a fitted pipeline."""
    pipeline = Pipeline([("preprocessing", preprocessing or encoded()), ("classifier", classifier)])
    return form_of(pipeline.fit(frame(TRAINING, CONTRACT), LABELS), positive)


def form_of(pipeline: Any, positive: str = "yes", contract: Contract = CONTRACT) -> PipelineForm:
    """The form of a pipeline that takes a frame."""
    return PipelineForm(pipeline, contract, "frame", positive)


def within_bounds(count: int, seed: int = 5) -> Features:
    """Features of rows from anywhere within the contract."""
    random = np.random.default_rng(seed)
    columns = []
    for field in CONTRACT.columns.fields:
        values = field.lowest + random.random(count) * (field.highest - field.lowest)
        columns.append(values if field.kind == "number" else np.round(values))
        if field.nullable:
            columns[-1][random.random(count) < 0.1] = np.nan
    return np.column_stack(columns)


def input_of(features: Features) -> pd.DataFrame:
    """What the pipelines take."""
    return frame(features, CONTRACT)
