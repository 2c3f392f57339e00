"""The mixture form: calibrated and voting classifiers, by what they are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fitted import HOLDOUT, LABELS, TRAINING, UNSEEN, encoded, fitted, form_of, input_of, within_bounds
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, LinearSVC

from propensity.importing import parity
from propensity.importing.ladder import climb
from propensity.model.forms import Additive, load
from propensity.model.mixture import MixtureForm
from propensity.model.pipeline import PipelineForm

THRESHOLD = 0.4


@pytest.fixture(autouse=True)
def few_generated_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "MOST_ROWS", 2_000)
    monkeypatch.setattr(parity, "FEWEST_ROWS", 2_000)


def logistic() -> LogisticRegression:
    return LogisticRegression(max_iter=2_000)


def boosting() -> GradientBoostingClassifier:
    return GradientBoostingClassifier(n_estimators=8, random_state=0)


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=5, min_samples_leaf=20, random_state=0)


def calibrated(classifier: Any, method: str = "sigmoid", **settings: Any) -> CalibratedClassifierCV:
    return CalibratedClassifierCV(classifier, method=method, cv=2, **settings)


def voting(*classifiers: Any, weights: list[float] | None = None) -> VotingClassifier:
    named = [(f"voter{place}", classifier) for place, classifier in enumerate(classifiers)]
    return VotingClassifier(named, voting="soft", weights=weights)


def frozen() -> PipelineForm:
    """A calibrated pipeline that was fitted before."""
    inner = FrozenEstimator(fitted(boosting()).pipeline)
    return form_of(CalibratedClassifierCV(inner, method="isotonic").fit(input_of(TRAINING), LABELS))


def whole(classifier: Any) -> PipelineForm:
    """A classifier that does its preprocessing itself."""
    return form_of(classifier.fit(input_of(TRAINING), LABELS))


MIXTURES: dict[str, Callable[[], PipelineForm]] = {
    "sigmoid of logistic regressions": lambda: fitted(calibrated(logistic())),
    "isotonic of logistic regressions": lambda: fitted(calibrated(logistic(), "isotonic")),
    "isotonic of one": lambda: fitted(calibrated(logistic(), "isotonic", ensemble=False)),
    "temperature of logistic regressions": lambda: fitted(calibrated(logistic(), "temperature")),
    "sigmoid of forests": lambda: fitted(calibrated(forest())),
    "isotonic of forests": lambda: fitted(calibrated(forest(), "isotonic")),
    "sigmoid of boosting": lambda: fitted(calibrated(boosting())),
    "isotonic of boosting": lambda: fitted(calibrated(boosting(), "isotonic")),
    "sigmoid of one boosting": lambda: fitted(calibrated(boosting(), ensemble=False)),
    "sigmoid of support vectors": lambda: fitted(calibrated(LinearSVC())),
    "isotonic of support vectors": lambda: fitted(calibrated(LinearSVC(), "isotonic")),
    "frozen": frozen,
    "of pipelines": lambda: whole(calibrated(make_pipeline(encoded(), logistic()))),
    "votes": lambda: fitted(voting(logistic(), boosting())),
    "weighted votes": lambda: fitted(voting(logistic(), "drop", forest(), weights=[1, 5, 2])),
    "votes of pipelines": lambda: whole(
        voting(make_pipeline(encoded(), logistic()), make_pipeline(encoded(), boosting()))
    ),
    "votes of calibrated": lambda: fitted(voting(calibrated(forest()), logistic())),
}


SLOW = {"sigmoid of forests", "isotonic of boosting", "sigmoid of one boosting", "votes of calibrated"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.thorough if name in SLOW else ()) for name in MIXTURES]
)
def test_a_mixture_equals_the_pipeline(name: str) -> None:
    pipeline = MIXTURES[name]()
    climbed = climb(pipeline, THRESHOLD, HOLDOUT)
    assert climbed.name == "mixture"
    assert [over.form for over in climbed.passed_over] == ["grids", "tables", "additive"]
    assert not isinstance(climbed.form, Additive)
    rows = np.concatenate([UNSEEN, within_bounds(500)])
    form = load("mixture", climbed.content)
    assert isinstance(form, MixtureForm)
    assert np.abs(form.propensities(rows) - pipeline.propensities(rows)).max() < 1e-9


@pytest.mark.parametrize(
    "classifier", [calibrated(forest(), "isotonic"), voting(logistic(), boosting(), weights=[1, 2])]
)
def test_either_class_may_be_the_positive_one(classifier: Any) -> None:
    pipeline = fitted(classifier, positive="no")
    climbed = climb(pipeline, THRESHOLD, HOLDOUT)
    assert climbed.name == "mixture"
    assert np.abs(climbed.form.propensities(UNSEEN) - pipeline.propensities(UNSEEN)).max() < 1e-9


@pytest.mark.parametrize(
    "classifier",
    [
        calibrated(logistic(), ensemble=False),
        calibrated(LinearSVC(), ensemble=False),
        calibrated(logistic(), "temperature", ensemble=False),
    ],
)
def test_a_single_line_in_additive_decisions_stays_additive(classifier: Any) -> None:
    pipeline = fitted(classifier)
    climbed = climb(pipeline, THRESHOLD, HOLDOUT)
    assert climbed.name == "additive"
    rows = np.concatenate([UNSEEN, within_bounds(500)])
    assert np.abs(climbed.form.propensities(rows) - pipeline.propensities(rows)).max() < 1e-9


def test_a_member_without_a_compiled_form_says_why() -> None:
    climbed = climb(fitted(calibrated(SVC())), THRESHOLD, HOLDOUT)
    assert climbed.name == "pipeline"
    (reason,) = (over.reason for over in climbed.passed_over if over.form == "mixture")
    assert reason.startswith("member 1 of 2: grids: ")
    assert "additive: its fields interact" in reason


def test_what_is_no_mixture_says_so() -> None:
    climbed = climb(fitted(forest()), THRESHOLD, HOLDOUT)
    assert climbed.name in {"tables", "forest"}
    climbed = climb(fitted(calibrated(forest(), "temperature")), THRESHOLD, HOLDOUT)
    assert climbed.name == "pipeline"
    assert climbed.passed_over[3].reason == "temperature calibration of probabilities has no compilation here"
