"""Models of other teams: their frames, and pipelines that were fitted on them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

ROWS = 300


def customers(rows: int = ROWS) -> pd.DataFrame:
    """Customers of a telephone company, as they come: odd names, missing values, all types."""
    random = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "Edad (años)": random.integers(19, 80, rows),
            "saldo": random.normal(0, 10_000, rows).round(2),
            "líneas": np.where(random.random(rows) < 0.1, np.nan, random.integers(0, 5, rows)),
            "activo": random.random(rows) < 0.5,
            "plan": random.choice(["básico", "oro", "plata"], rows),
            "región": pd.Series(random.choice(["norte", "sur"], rows)).where(random.random(rows) > 0.1),
        }
    )
    frame["canal"] = pd.Series(
        [None if share < 0.1 else "tienda" if share < 0.5 else "web" for share in random.random(rows)],
        dtype=object,
    )
    frame["tamaño"] = pd.Categorical(random.choice(["s", "m", "l"], rows), categories=["s", "m", "l"])
    frame["zona"] = pd.Categorical(random.choice([10, 20, 30], rows))
    frame["clase"] = random.choice([1, 2, 3], rows)
    frame["nivel"] = random.choice([1, 2, 5], rows)
    return frame


def left(frame: pd.DataFrame) -> pd.Series[Any]:
    """Whether each customer left: `sí` or `no`."""
    noise = np.random.default_rng(8).normal(0, 8_000, len(frame))
    return pd.Series(np.where(frame["saldo"] + noise > 0, "sí", "no"), name="se fue", index=frame.index)


NUMBERS = ["Edad (años)", "saldo", "líneas"]
TEXTS = ["plan", "región"]


def logistic_regression(frame: pd.DataFrame) -> Pipeline:
    """A pipeline of the usual kind: imputed and scaled numbers, encoded texts; other columns are dropped."""
    preprocessing = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
        (OneHotEncoder(handle_unknown="ignore"), TEXTS),
    )
    return fitted(make_pipeline(preprocessing, LogisticRegression()), frame)


def random_forest(frame: pd.DataFrame) -> Pipeline:
    """A pipeline that takes every column, in the types that it has."""
    preprocessing = make_column_transformer(
        (SimpleImputer(), NUMBERS),
        (OneHotEncoder(), ["nivel", "clase", "activo", "canal", "tamaño", "zona", *TEXTS]),
    )
    forest = RandomForestClassifier(n_estimators=20, max_depth=4, random_state=0)
    return fitted(make_pipeline(preprocessing, forest), frame)


def fitted(pipeline: Any, frame: Any, outcomes: Any = None) -> Any:
    """Return a pipeline that was fitted on customers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pipeline.fit(frame, left(frame) if outcomes is None else outcomes)
