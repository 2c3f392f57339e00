"""The additive form: whatever the pipeline is built of, its effects are found by evaluating it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest
from fitted import (
    CONTRACT,
    HOLDOUT,
    LABELS,
    NUMBERS,
    TRAINING,
    UNSEEN,
    contract_with,
    encoded,
    fitted,
    form_of,
    input_of,
    within_bounds,
)
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import AdaBoostClassifier, GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)

from propensity.contract.contract import Contract
from propensity.contract.features import Features
from propensity.importing import additive
from propensity.importing.additive import compile_additive
from propensity.importing.encoding import NotCompilableError
from propensity.model.additive import AdditiveForm
from propensity.model.forms import Additive, load
from propensity.model.pipeline import PipelineForm, frame

TOLERANCE = 1e-9
COLUMNS = CONTRACT.columns.names


def logistic_regression(**settings: Any) -> LogisticRegression:
    return LogisticRegression(max_iter=2_000, **settings)


def difference(form: AdditiveForm, pipeline: PipelineForm, features: Features) -> float:
    """The largest difference of propensities."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(np.abs(form.propensities(features) - pipeline.propensities(features)).max())


def indicated() -> ColumnTransformer:
    """Preprocessing with a column that says whether a number is missing."""
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), NUMBERS),
            ("member", "passthrough", ["member"]),
        ]
    )


def spending(step: Any) -> ColumnTransformer:
    """Preprocessing of one number, and of the categories."""
    return encoded([step], names=["spend"])


def bins(encode: str) -> KBinsDiscretizer:
    return KBinsDiscretizer(n_bins=6, encode=encode, quantile_method="averaged_inverted_cdf")


Kind = tuple[Callable[[], Any], Callable[[], Any]]

CLASSIFIERS: dict[str, Kind] = {
    "logistic regression": (logistic_regression, encoded),
    "without penalty": (lambda: logistic_regression(C=np.inf), encoded),
    "sparse": (lambda: logistic_regression(l1_ratio=1, solver="liblinear", C=0.05), encoded),
    "min and max": (logistic_regression, lambda: encoded([MinMaxScaler(clip=True)])),
    "robust": (logistic_regression, lambda: encoded([RobustScaler()])),
    "one-hot, first dropped": (
        logistic_regression,
        lambda: encoded(categories=OneHotEncoder(drop="first", handle_unknown="ignore")),
    ),
    "one-hot, rare together": (
        logistic_regression,
        lambda: encoded(categories=OneHotEncoder(min_frequency=40, handle_unknown="infrequent_if_exist")),
    ),
    "ordinal": (
        logistic_regression,
        lambda: encoded(categories=OrdinalEncoder(encoded_missing_value=-1)),
    ),
    "indicators of missing values": (logistic_regression, indicated),
    "splines": (logistic_regression, lambda: encoded([SplineTransformer(n_knots=4)])),
    "power": (logistic_regression, lambda: encoded([PowerTransformer()])),
    "uniform quantiles": (logistic_regression, lambda: spending(QuantileTransformer(n_quantiles=30))),
    "normal quantiles": (
        logistic_regression,
        lambda: spending(QuantileTransformer(n_quantiles=5, output_distribution="normal")),
    ),
    "bins": (logistic_regression, lambda: spending(bins("onehot"))),
    "ordinal bins": (logistic_regression, lambda: spending(bins("ordinal"))),
    "principal components": (logistic_regression, lambda: make_pipeline(encoded(), PCA(5))),
    "discriminant analysis": (LinearDiscriminantAnalysis, encoded),
    "naive Bayes": (GaussianNB, encoded),
    "gradient descent": (lambda: SGDClassifier(loss="log_loss", random_state=0), encoded),
    "stumps": (lambda: GradientBoostingClassifier(max_depth=1, n_estimators=40), encoded),
    "stumps of histograms": (lambda: HistGradientBoostingClassifier(max_depth=1, max_iter=40), encoded),
    "adaptive boosting": (lambda: AdaBoostClassifier(n_estimators=20), encoded),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_sum_of_effects_equals_the_pipeline(name: str) -> None:
    classifier, preprocessing = CLASSIFIERS[name]
    pipeline = fitted(classifier(), preprocessing())
    form = AdditiveForm.from_bytes(compile_additive(pipeline, HOLDOUT).form.to_bytes())
    assert difference(form, pipeline, np.concatenate([UNSEEN, within_bounds(1_000)])) < TOLERANCE
    assert np.isnan(UNSEEN).any()


@pytest.fixture(scope="module")
def pipeline() -> PipelineForm:
    return fitted(logistic_regression(), encoded([SplineTransformer()]))


@pytest.fixture(scope="module")
def form(pipeline: PipelineForm) -> AdditiveForm:
    return compile_additive(pipeline, HOLDOUT).form


def test_either_class_may_be_the_positive_one() -> None:
    yes, no = (fitted(logistic_regression(), positive=positive) for positive in ("yes", "no"))
    assert list(yes.pipeline.classes_) == ["no", "yes"]
    forms = [compile_additive(each, HOLDOUT).form for each in (yes, no)]
    assert difference(forms[1], no, UNSEEN) < TOLERANCE
    assert np.allclose(forms[0].propensities(UNSEEN) + forms[1].propensities(UNSEEN), 1, rtol=0, atol=1e-12)


def test_a_row_is_predicted_alike_alone_and_in_any_company(form: AdditiveForm) -> None:
    together = form.propensities(UNSEEN)
    order = np.random.default_rng(0).permutation(len(UNSEEN))
    assert np.array_equal(form.propensities(UNSEEN[order]), together[order])
    alone = [form.propensities(UNSEEN[[place]])[0] for place in range(100)]
    assert alone == together[:100].tolist()


def test_contributions_add_up_to_the_log_odds(form: AdditiveForm, pipeline: PipelineForm) -> None:
    assert isinstance(form, Additive)
    for rows in (UNSEEN, UNSEEN[:3]):
        contributions = form.contributions(rows)
        assert contributions.shape == rows.shape
        log_odds = pipeline.pipeline.decision_function(input_of(rows))
        assert np.allclose(form.base + contributions.sum(axis=1), log_odds, rtol=0, atol=1e-10)
    assert np.allclose(form.contributions(HOLDOUT).mean(axis=0), 0, atol=1e-12)
    assert np.array_equal(form.contributions(UNSEEN[:3]), form.contributions(UNSEEN)[:3])


def test_contributions_are_shapley_values() -> None:
    fields = [field for field in CONTRACT.fields if field.name in {"age", "spend", "plan"}]
    example = {name: CONTRACT.example[name] for name in ("age", "spend", "plan")}
    contract = CONTRACT.model_copy(update={"fields": tuple(fields), "example": example})
    contract = Contract.model_validate(contract.model_dump())
    places = [COLUMNS.index(name) for name in contract.columns.names]
    preprocessing = ColumnTransformer(
        [("numbers", PowerTransformer(), ["age", "spend"]), ("plan", OneHotEncoder(), ["plan"])]
    )
    pipeline = Pipeline([("preprocessing", preprocessing), ("classifier", logistic_regression())])
    pipeline.fit(frame(TRAINING[:, places], contract), LABELS)
    background, row = HOLDOUT[:40, places], UNSEEN[0, places]

    def expected(known: tuple[int, ...]) -> float:
        """Mean log-odds of the background, where some columns are as in the row."""
        rows = background.copy()
        rows[:, known] = row[list(known)]
        return float(pipeline.decision_function(frame(rows, contract)).mean())

    shares = [factorial(size) * factorial(2 - size) / factorial(3) for size in range(3)]
    form = compile_additive(form_of(pipeline, contract=contract), background).form
    contributions = form.contributions(row[None])[0]
    assert abs(form.base - expected(())) < TOLERANCE
    for column in range(3):
        others = [other for other in range(3) if other != column]
        shapley = sum(
            shares[size] * (expected((*known, column)) - expected(known))
            for size in range(3)
            for known in combinations(others, size)
        )
        assert abs(contributions[column] - shapley) < TOLERANCE


REFUSED: dict[str, Kind] = {
    "polynomial features": (logistic_regression, lambda: encoded([PolynomialFeatures(2)])),
    "imputation by neighbours": (
        logistic_regression,
        lambda: ColumnTransformer([("numbers", make_pipeline(KNNImputer(), StandardScaler()), NUMBERS)]),
    ),
    "deep trees": (lambda: GradientBoostingClassifier(n_estimators=5), encoded),
    "another loss": (lambda: SGDClassifier(loss="modified_huber", random_state=0), encoded),
}


@pytest.mark.parametrize("name", REFUSED)
def test_fields_that_interact_are_refused(name: str) -> None:
    classifier, preprocessing = REFUSED[name]
    with pytest.raises(NotCompilableError, match=r"its fields interact: log-odds are up to [\d.e+-]+ off"):
        compile_additive(fitted(classifier(), preprocessing()), HOLDOUT)


def test_an_effect_that_is_nowhere_smooth_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additive, "MOST_PIECES", 64)
    jagged = FunctionTransformer(np.vectorize(lambda number: hash(float(number)) % 1_000 / 1_000))
    with pytest.raises(NotCompilableError, match=r"the effect of \w+ is no polynomial in 64 pieces"):
        compile_additive(fitted(logistic_regression(), encoded([jagged])), HOLDOUT)


def test_a_pipeline_that_fails_within_the_contract_is_refused() -> None:
    preprocessing = ColumnTransformer(
        [("plan", OneHotEncoder(categories=[["basic", "extra", "none"]], handle_unknown="error"), ["plan"])]
    )
    pipeline = make_pipeline(preprocessing, logistic_regression())
    place = COLUMNS.index("plan")
    common = TRAINING[:, place] < 3
    pipeline.fit(input_of(TRAINING[common]), LABELS[common])
    message = r"it fails on rows that the contract allows \(ValueError: Found unknown categories"
    with pytest.raises(NotCompilableError, match=message):
        compile_additive(form_of(pipeline), HOLDOUT[HOLDOUT[:, place] < 3])


def without_bounds(preprocessing: Any) -> PipelineForm:
    """The form of a pipeline whose contract bounds no number but age."""
    unbounded = {name: {"minimum": None, "maximum": None} for name in NUMBERS[1:]}
    pipeline = make_pipeline(preprocessing, logistic_regression()).fit(input_of(TRAINING), LABELS)
    return form_of(pipeline, contract=contract_with(**unbounded))


@pytest.mark.parametrize("preprocessing", [encoded(), encoded([SplineTransformer(n_knots=3)])])
def test_lines_go_on_without_bounds(preprocessing: Any) -> None:
    pipeline = without_bounds(preprocessing)
    form = compile_additive(pipeline, HOLDOUT).form
    far = UNSEEN.copy()
    far[:, COLUMNS.index("spend")] *= np.logspace(-3, 100, len(far))
    assert difference(form, pipeline, far) < TOLERANCE
    far[:, COLUMNS.index("income")] = 1.7e308
    assert np.isin(form.propensities(far), [0, 1]).any() or np.isfinite(form.propensities(far)).all()


def test_a_curve_without_bounds_is_refused() -> None:
    message = "the effect of visits is no line where it has no bounds; give visits a minimum and a maximum"
    with pytest.raises(NotCompilableError, match=message):
        compile_additive(without_bounds(encoded([PowerTransformer()])), HOLDOUT)


def test_jumps_are_found_to_the_last_bit() -> None:
    edge = 61.234567
    steps = FunctionTransformer(lambda numbers: (numbers > edge).astype(float))
    preprocessing = ColumnTransformer([("spend", steps, ["spend"])])
    pipeline = fitted(logistic_regression(), preprocessing)
    compiled = compile_additive(pipeline, HOLDOUT)
    around = UNSEEN[:3].copy()
    around[:, COLUMNS.index("spend")] = [np.nextafter(edge, -np.inf), edge, np.nextafter(edge, np.inf)]
    below, at, above = compiled.form.propensities(around)
    assert below == at
    assert at - above > 0.1
    assert difference(compiled.form, pipeline, around) < TOLERANCE
    assert np.nextafter(edge, np.inf) in compiled.probes[COLUMNS.index("spend")]


def test_numbers_that_the_pipeline_rounds_are_rounded() -> None:
    contract = contract_with(spend={"dtype": "float32"})
    pipeline = make_pipeline(encoded([PowerTransformer()]), logistic_regression())
    rounded = form_of(pipeline.fit(frame(TRAINING, contract), LABELS), contract=contract)
    form = compile_additive(rounded, HOLDOUT).form
    assert difference(form, rounded, UNSEEN) < TOLERANCE
    assert difference(form, form_of(pipeline), UNSEEN) > TOLERANCE


def test_a_stored_form_predicts_alike(form: AdditiveForm) -> None:
    loaded = load("additive", form.to_bytes())
    assert isinstance(loaded, AdditiveForm)
    assert np.array_equal(loaded.propensities(UNSEEN), form.propensities(UNSEEN))
    assert np.array_equal(loaded.contributions(UNSEEN), form.contributions(UNSEEN))
    assert loaded.base == form.base


class OnlyProbabilities(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of another library, without a decision function."""

    def fit(self, rows: Any, labels: Any) -> OnlyProbabilities:
        self.inner_ = logistic_regression().fit(rows, labels)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, rows: Any) -> Any:
        return self.inner_.predict_proba(rows)


def test_probabilities_suffice_where_lines_go_on_beyond_0_and_1() -> None:
    pipeline = fitted(OnlyProbabilities())
    assert not hasattr(pipeline.pipeline, "decision_function")
    rows = np.concatenate([UNSEEN, within_bounds(1_000)])
    assert np.isin(pipeline.propensities(rows), [0, 1]).any()
    form = compile_additive(pipeline, HOLDOUT).form
    assert difference(form, pipeline, rows) < TOLERANCE


def test_a_category_that_alone_decides_is_refused() -> None:
    preprocessing = ColumnTransformer([("plan", FunctionTransformer(heavily), ["plan"])])
    pipeline = make_pipeline(preprocessing, OnlyProbabilities())
    common = TRAINING[:, COLUMNS.index("plan")] < 3
    pipeline.fit(input_of(TRAINING[common]), LABELS[common])
    message = "plan alone can push the propensity to 0 or 1, .* narrower bounds in the contract may help"
    with pytest.raises(NotCompilableError, match=message):
        compile_additive(form_of(pipeline), HOLDOUT)


def heavily(plans: Any) -> Any:
    """A number for each plan, far from all others for the rare one."""
    return np.where(plans == "rare", 1e6, np.where(plans == "extra", 1.0, 0.0))
