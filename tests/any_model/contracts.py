"""Small models of other teams: of each, the pipeline, its rows, and what its contract is to say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from propensity import handover

Rows = list[dict[str, Any]]

TRAINING, HOLDOUT = 600, 200
"""Rows that a model is trained on, and those that it is handed over with."""

THRESHOLD = 0.4


@dataclass(frozen=True)
class Example:
    """A model of another team.

    Attributes:
        name: of the model.
        form: that it is served in.
        pipeline: fitted.
        frame: the hold-out set as the pipeline takes it.
        outcomes: of the hold-out set.
        training: the training set.
        stated: what the contract is to say.
        invalid: a value that is not valid, by the name of its field, and what is said of it.
    """

    name: str
    form: str
    pipeline: Any
    frame: pd.DataFrame
    outcomes: pd.Series[Any]
    training: pd.DataFrame
    stated: dict[str, Any]
    invalid: dict[str, tuple[Any, str]]

    @cached_property
    def rows(self) -> Rows:
        """The hold-out set, as callers send it."""
        return rows_of(self.frame)

    @cached_property
    def propensities(self) -> Any:
        """What the pipeline itself says of the hold-out set, without any of this project's code."""
        return self.pipeline.predict_proba(self.frame)[:, 1]

    def handed_over(self, folder: Path) -> Path:
        """Write what its team would; return the path of the pickle."""
        written = handover.write(
            folder, self.pipeline, self.frame, self.outcomes, name=self.name, threshold=THRESHOLD,
            training=self.training, contract=self.stated,
        )  # fmt: skip
        return written.files[0]


def rows_of(frame: pd.DataFrame) -> Rows:
    """The rows of a frame as JSON has them: null where a value is missing."""
    cells = frame.astype(object).where(frame.notna(), None)
    rows: Rows = [
        {str(name): _plain(value) for name, value in row.items()} for row in cells.to_dict("records")
    ]
    return rows


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _split(frame: pd.DataFrame, outcomes: Any) -> tuple[pd.DataFrame, Any, pd.DataFrame, Any]:
    truth = pd.Series(outcomes, name="outcome")
    later = frame[TRAINING:].reset_index(drop=True), truth[TRAINING:].reset_index(drop=True)
    return frame[:TRAINING], truth[:TRAINING], *later


def _random(seed: int) -> tuple[np.random.Generator, int]:
    return np.random.default_rng(seed), TRAINING + HOLDOUT


def floats() -> Example:
    """Numbers alone, below zero, tiny and huge; the contract says nothing that can be left out."""
    random, count = _random(1)
    frame = pd.DataFrame({
        "balance": random.normal(-500, 2_000, count),
        "tiny": random.normal(0, 3e-9, count),
        "huge": random.normal(5e14, 2e14, count),
    })  # fmt: skip
    odds = frame["balance"] / 1_000 + frame["tiny"] * 4e8 - frame["huge"] / 4e14
    training, learned, later, truth = _split(frame, odds + random.logistic(size=count) > 0)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(training, learned)
    stated = {"title": "Propensity to buy", "meaning": "somebody buys"}
    invalid = {
        "balance": ("12", "must be a finite number"),
        "huge": (None, "must be a finite number"),
    }
    return Example("floats", "additive", pipeline, later, truth, training, stated, invalid)


def _words(english: str, spanish: str, french: str) -> dict[str, str]:
    return {"en": english, "es": spanish, "fr": french}


def ugly() -> Example:
    """Names that stand for something else in this product, in CSV, in URLs, in JSON pointers or in Python."""
    random, count = _random(2)
    schema = random.choice(np.array(["missing", "a:b", '"quoted"', "línea, coma", None], object), count)
    frame = pd.DataFrame({
        "class": random.normal(0, 1, count),
        "model": random.choice([1.0, 2.0, 3.0, np.nan], count),
        "problem": random.random(count) < 0.4,
        "rows": random.integers(0, 9, count).astype(float),
        "schema": pd.Series(schema, dtype="object"),
        "año de alta": random.integers(1990, 2026, count).astype(float),
        "a/b~c": random.normal(10, 4, count),
        "Name with spaces": random.random(count) < 0.5,
        "propensity": random.random(count),
        "missing": pd.Series(random.choice(["yes", "no"], count), dtype="object"),
    })  # fmt: skip
    odds = frame["class"] + frame["problem"] + (frame["schema"] == "a:b") - frame["propensity"] * 2
    training, learned, later, truth = _split(frame, odds + random.logistic(size=count) > 0)
    texts = make_column_selector(dtype_include=object)
    encoder = OneHotEncoder(handle_unknown="ignore")
    others = make_pipeline(SimpleImputer(), StandardScaler())
    pipeline = make_pipeline(
        ColumnTransformer([("texts", encoder, texts)], remainder=others), LogisticRegression()
    ).fit(training, learned)
    stated = {
        "title": "Propensión a irse", "meaning": "the person leaves", "row": "person", "rows": "people",
        "decisions": {"negative": "wait", "positive": "call"},
        "fields": {
            "class": {"words": _words("Class", "Clase", "Classe")},
            "model": {"minimum": 1, "maximum": 3, "nullable": True},
            "schema": {
                "words": _words("Plan", "Plan", "Forfait"),
                "category_words": {"a:b": _words("from A to B", "de A a B", "de A à B")},
            },
            "problem": {"words": _words("Has a problem", "Tiene un problema", "A un problème")},
        },
    }  # fmt: skip
    invalid = {
        "model": (4, "must be at most 3"),
        "problem": (1, "must be true or false"),
        "schema": ("missing_", "must be one of '\"quoted\"', 'a:b', 'línea, coma' or 'missing'"),
        "a/b~c": (True, "must be a finite number"),
        "Name with spaces": ("yes", "must be true or false"),
    }
    return Example("ugly", "additive", pipeline, later, truth, training, stated, invalid)


PLACES = 300
"""Values of the category of the wide model."""


def wide() -> Example:
    """120 fields, one of which has 300 categories: more than a byte can count."""
    random, count = _random(3)
    columns: dict[str, Any] = {}
    for number in range(50):
        columns[f"whole_{number}"] = random.integers(-1_000, 1_000, count).astype(float)
        columns[f"part_{number}"] = random.normal(0, 1, count)
    for number in range(19):
        columns[f"flag_{number}"] = random.random(count) < 0.5
    # Each place stands in the training set and in the hold-out set.
    places = np.concatenate([np.arange(TRAINING) % PLACES, random.integers(0, PLACES, HOLDOUT)])
    columns["place"] = pd.Series([f"place {place:03d}" for place in places], dtype="object")
    frame = pd.DataFrame(columns)
    odds = frame["whole_3"] / 500 + frame["part_7"] + frame["flag_2"] * 2 - 1 + (places > 200)
    training, learned, later, truth = _split(frame, odds + random.logistic(size=count) > 0)
    encoding = ColumnTransformer([("texts", OrdinalEncoder(), ["place"])], remainder="passthrough")
    classifier = GradientBoostingClassifier(n_estimators=30, max_depth=3, random_state=3)
    pipeline = make_pipeline(encoding, classifier).fit(training, learned)
    stated = {
        "title": "Propensity to return", "meaning": "the visitor returns", "row": "visit", "rows": "visits",
        "decisions": {"negative": "rest", "positive": "invite"},
    }  # fmt: skip
    invalid = {
        "whole_3": (0.5, "must be a whole number"),
        "flag_2": ("true", "must be true or false"),
        "place": ("place 300", "must be one of 300 categories, which /docs.json lists"),
    }
    return Example("wide", "pipeline", pipeline, later, truth, training, stated, invalid)


def nullable() -> Example:
    """Categories and one number, all of which may be missing; nothing faster equals the pipeline."""
    random, count = _random(4)

    def texts(*values: str | None) -> pd.Series[Any]:
        return pd.Series(random.choice(np.array([*values, None], object), count), dtype="object")

    frame = pd.DataFrame({
        "colour": texts("red", "green", "blue"),
        "size": texts("S", "M", "L", "XL"),
        "weight": np.where(random.random(count) < 0.3, np.nan, random.gamma(3, 2, count)),
        "shape": texts("round", "square"),
    })  # fmt: skip
    odds = (frame["colour"] == "red") * 2 + frame["weight"].fillna(4) / 4 - 2 + (frame["size"] == "XL")
    training, learned, later, truth = _split(frame, odds + random.logistic(size=count) > 0)
    encoding = ColumnTransformer(
        [("texts", OneHotEncoder(handle_unknown="ignore"), ["colour", "size", "shape"])],
        remainder=make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()),
    )
    pipeline = make_pipeline(encoding, KNeighborsClassifier(15)).fit(training, learned)
    names = [*frame.columns]
    stated = {
        "title": "Propensity to be returned", "meaning": "the parcel comes back", "row": "parcel",
        "rows": "parcels", "decisions": {"negative": "ship", "positive": "hold"},
        "fields": {name: {"nullable": True} for name in names},
        "example": dict.fromkeys(names),
    }  # fmt: skip
    invalid = {
        "colour": ("", "must be one of 'blue', 'green' or 'red'"),
        "weight": ("heavy", "must be a finite number"),
    }
    return Example("nullable", "pipeline", pipeline, later, truth, training, stated, invalid)


EXAMPLES = {"floats": floats, "ugly": ugly, "wide": wide, "nullable": nullable}
