"""The ladder: a model is served in the first form that is proven equal to its pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fitted import CONTRACT, HOLDOUT, LABELS, TRAINING, UNSEEN, encoded, fitted, form_of, input_of
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from propensity.contract.features import Features, Propensities
from propensity.importing import ladder, parity
from propensity.importing.ladder import InconsistentPipelineError, check_consistency, climb
from propensity.importing.parity import generated
from propensity.model.additive import AdditiveForm
from propensity.model.forms import load
from propensity.model.pipeline import PipelineForm

COLUMNS = CONTRACT.columns.names


@pytest.fixture
def few_generated_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "MOST_ROWS", 2_000)
    monkeypatch.setattr(parity, "FEWEST_ROWS", 2_000)


def logistic() -> LogisticRegression:
    return LogisticRegression(max_iter=2_000)


@pytest.fixture(scope="module")
def pipeline() -> PipelineForm:
    return fitted(logistic())


def test_the_form_is_compared_on_many_rows(pipeline: PipelineForm) -> None:
    climbed = climb(pipeline, 0.5, HOLDOUT)
    assert climbed.name == "additive"
    assert climbed.parity is not None
    assert 20_000 + len(HOLDOUT) <= climbed.parity.rows <= 100_000 + len(HOLDOUT)
    assert climbed.parity.max_difference < 1e-12
    assert climbed.parity.decisions_changed == 0
    assert [over.form for over in climbed.passed_over] == ["grids", "tables"]
    assert all(over.reason for over in climbed.passed_over)
    stored = load("additive", climbed.content)
    assert np.array_equal(stored.propensities(UNSEEN), climbed.form.propensities(UNSEEN))


@pytest.mark.parametrize(
    ("classifier", "name"),
    [
        (GradientBoostingClassifier(n_estimators=30), "grids"),
        (GradientBoostingClassifier(n_estimators=5, max_depth=5), "tables"),
        (RandomForestClassifier(n_estimators=3, random_state=0), "forest"),
        (MLPClassifier((4,), max_iter=1_000, random_state=0), "pipeline"),
    ],
)
@pytest.mark.usefixtures("few_generated_rows")
def test_each_model_takes_the_first_form_that_it_has(classifier: Any, name: str) -> None:
    pipeline = fitted(classifier)
    climbed = climb(pipeline, 0.5, HOLDOUT)
    assert climbed.name == name
    assert np.abs(climbed.form.propensities(UNSEEN) - pipeline.propensities(UNSEEN)).max() < 1e-9
    rungs = ["grids", "tables", "additive", "mixture", "forest", "pipeline"]
    assert [over.form for over in climbed.passed_over] == rungs[: rungs.index(name)]


@pytest.mark.usefixtures("few_generated_rows")
def test_the_pipeline_is_stored_by_the_caller() -> None:
    pipeline = fitted(MLPClassifier((4,), max_iter=1_000, random_state=0))
    climbed = climb(pipeline, 0.5, HOLDOUT)
    assert (climbed.form, climbed.content, climbed.parity) == (pipeline, b"", None)


@pytest.mark.usefixtures("few_generated_rows")
def test_what_only_chose_a_classifier_is_left_out(pipeline: PipelineForm) -> None:
    search = GridSearchCV(pipeline.pipeline, {"classifier__C": [0.1, 1.0]}, cv=2)
    tuned = make_pipeline(encoded(), TunedThresholdClassifierCV(GradientBoostingClassifier(max_depth=1)))
    for classifier, name in ((search, "additive"), (tuned, "grids")):
        form = form_of(classifier.fit(input_of(TRAINING), LABELS))
        climbed = climb(form, 0.5, HOLDOUT)
        assert climbed.name == name
        assert np.abs(climbed.form.propensities(UNSEEN) - form.propensities(UNSEEN)).max() < 1e-9


def broken(monkeypatch: pytest.MonkeyPatch, by: float, where: float = -np.inf) -> None:
    """Let the additive form predict more, for rows that spend more than some number."""
    propensities = AdditiveForm.propensities

    def more(form: AdditiveForm, features: Features) -> Propensities:
        return propensities(form, features) + by * (features[:, COLUMNS.index("spend")] > where)

    monkeypatch.setattr(AdditiveForm, "propensities", more)


@pytest.mark.usefixtures("few_generated_rows")
@pytest.mark.parametrize(("by", "where"), [(2e-9, -np.inf), (1e-6, 99_999.9)])
def test_a_form_that_differs_is_passed_over(
    pipeline: PipelineForm, monkeypatch: pytest.MonkeyPatch, by: float, where: float
) -> None:
    broken(monkeypatch, by, where)
    climbed = climb(pipeline, 0.5, HOLDOUT)
    assert climbed.name == "pipeline"
    reason = climbed.passed_over[2].reason
    assert reason == f"compiled, it differs by up to {by:.1e} and changes 0 decisions on 2,800 rows"


@pytest.mark.usefixtures("few_generated_rows")
def test_a_decision_may_change_only_as_near_the_threshold_as_propensities_differ(
    pipeline: PipelineForm, monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold = float(pipeline.propensities(HOLDOUT)[0])
    broken(monkeypatch, -1e-10)
    climbed = climb(pipeline, threshold, HOLDOUT)
    assert climbed.name == "additive"
    assert climbed.parity is not None
    assert climbed.parity.decisions_changed >= 1
    broken(monkeypatch, -1e-6)
    monkeypatch.setattr(ladder, "TOLERANCE", 1e-5)
    assert climb(pipeline, threshold, HOLDOUT).name == "additive"
    monkeypatch.setattr(ladder, "TOLERANCE", 1e-7)
    assert climb(pipeline, threshold, HOLDOUT).name == "pipeline"


@pytest.mark.usefixtures("few_generated_rows")
def test_a_form_whose_rows_influence_each_other_is_passed_over(
    pipeline: PipelineForm, monkeypatch: pytest.MonkeyPatch
) -> None:
    propensities = AdditiveForm.propensities

    def slanted(form: AdditiveForm, features: Features) -> Propensities:
        return propensities(form, features) + 1e-3 * (len(features) == 1)

    monkeypatch.setattr(AdditiveForm, "propensities", slanted)
    climbed = climb(pipeline, 0.5, HOLDOUT)
    assert climbed.name == "pipeline"
    assert climbed.passed_over[2].reason == "compiled, it predicts a row alone otherwise, by up to 1.0e-03"


@pytest.mark.usefixtures("few_generated_rows")
def test_a_compilation_that_fails_is_passed_over(
    pipeline: PipelineForm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise IndexError("beyond\nthe end")

    monkeypatch.setattr(ladder, "compile_additive", fails)
    climbed = climb(pipeline, 0.5, HOLDOUT)
    assert climbed.name == "pipeline"
    assert climbed.passed_over[2].reason == "compiling it fails with IndexError: beyond"


def test_generated_rows_hold_every_value_that_may_make_a_difference() -> None:
    probes = [np.array([17.5, 40.0]) if name == "spend" else np.empty(0) for name in COLUMNS]
    features = generated(CONTRACT, HOLDOUT, probes, 20_000)
    assert np.array_equal(features, generated(CONTRACT, HOLDOUT, probes, 20_000), equal_nan=True)
    values = {name: set(column.tolist()) for name, column in zip(COLUMNS, features.T, strict=True)}
    above, below = (np.nextafter(17.5, to) for to in (np.inf, -np.inf))
    single = float(np.nextafter(np.float32(17.5), np.float32(np.inf)))
    assert {17.5, above, below, single, 40.0, -1000.0, 1e5} <= values["spend"]
    assert {18.0, 100.0} <= values["age"]
    assert values["member"] == {0.0, 1.0}
    assert values["plan"] == {0.0, 1.0, 2.0, 3.0}
    for field in CONTRACT.columns.fields:
        column = features[:, COLUMNS.index(field.name)]
        assert np.isnan(column).any() == field.nullable
        known = column[~np.isnan(column)]
        assert field.lowest <= known.min()
        assert known.max() <= field.highest
    assert not CONTRACT.columns.doubtful(features).any()


def test_a_pipeline_whose_rows_are_independent_passes(pipeline: PipelineForm) -> None:
    check_consistency(pipeline, HOLDOUT[:40])


def test_a_pipeline_whose_rows_influence_each_other_is_not_served() -> None:
    centred = FunctionTransformer(lambda numbers: numbers - np.asarray(numbers).mean(axis=0))
    steps = [("preprocessing", encoded([centred])), ("classifier", logistic())]
    form = form_of(Pipeline(steps).fit(input_of(TRAINING), LABELS))
    message = r"depends on the rows beside it, by up to 0\.\d+; the first is row \d+ of the hold-out set"
    with pytest.raises(InconsistentPipelineError, match=message):
        check_consistency(form, HOLDOUT[:40])
