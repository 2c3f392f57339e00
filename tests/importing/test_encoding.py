"""What a pipeline makes of each field is found to the last bit, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compiling import columns_of, fitted, narrowed
from fitted import CATEGORIES, HOLDOUT
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.impute import KNNImputer
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    PolynomialFeatures,
    PowerTransformer,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from propensity.contract.field import LARGEST
from propensity.importing.encoding import NotCompilableError
from propensity.importing.trees import compile_tables
from propensity.model.pipeline import PipelineForm


def tree(**settings: Any) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(**({"max_leaf_nodes": 20, "random_state": 0} | settings))


def probes_of(form: PipelineForm) -> dict[str, Any]:
    """The values on both sides of all that is told apart, by field."""
    probes = compile_tables(form, columns_of(HOLDOUT, form.contract)).probes
    return dict(zip(form.contract.columns.names, probes, strict=True))


def refusal(form: PipelineForm) -> str:
    with pytest.raises(NotCompilableError) as refused:
        compile_tables(form, columns_of(HOLDOUT, form.contract))
    return str(refused.value)


def test_numbers_are_told_apart_between_neighbouring_floats() -> None:
    form = fitted(tree(), contract=narrowed(["spend"]))
    nodes = form.pipeline.tree_
    splits = np.unique(nodes.threshold[nodes.children_left >= 0])
    lowest, *sides, highest = probes_of(form)["spend"]
    below, above = np.array(sides[::2]), np.array(sides[1::2])
    assert (lowest, highest) == (-1_000, 100_000)
    assert len(below) == len(splits)
    assert (np.nextafter(below, np.inf) == above).all()
    # The tree rounds to 32 bits before it compares.
    assert (np.float32(below) <= splits).all()
    assert (np.float32(above) > splits).all()


def test_whole_numbers_are_told_apart_between_whole_numbers() -> None:
    form = fitted(tree(), contract=narrowed(["visits"]))
    nodes = form.pipeline.tree_
    splits = np.unique(np.floor(nodes.threshold[nodes.children_left >= 0]))
    assert probes_of(form)["visits"].tolist() == sorted({0, 100_000, *splits, *(splits + 1)})


def test_categories_and_missing_values_are_all_probed() -> None:
    form = fitted(
        tree(), make_column_transformer((OneHotEncoder(), CATEGORIES)), contract=narrowed(CATEGORIES)
    )
    probes = probes_of(form)
    assert probes["plan"].tolist() == [0, 1, 2, 3]
    assert probes["region"][:-1].tolist() == [0, 1, 2, 3]
    assert np.isnan(probes["region"][-1])


def test_a_function_that_rises_and_falls_is_told_apart_on_both_sides() -> None:
    form = fitted(
        tree(max_depth=1), FunctionTransformer(lambda rows: np.abs(rows - 30)), contract=narrowed(["spend"])
    )
    _, *sides, _ = probes_of(form)["spend"]
    (split,) = form.pipeline[-1].tree_.threshold[:1]
    assert sides == pytest.approx([30 - split, 30 - split, 30 + split, 30 + split])
    assert len(set(sides)) == 4


def test_single_numbers_that_the_preprocessing_remembers_are_found() -> None:
    contract = narrowed(["visits"], visits={"kind": "number"})
    form = fitted(tree(), OneHotEncoder(handle_unknown="ignore"), contract=contract)
    encoder, classifier = form.pipeline
    tested = classifier.tree_.feature
    numbers = encoder.categories_[0][tested[tested >= 0]]
    assert len(numbers) > 10
    assert {*numbers, *np.nextafter(numbers, np.inf)} <= {*probes_of(form)["visits"]}


def wobbling(rows: Any) -> Any:
    """Every other float as if it were a few floats larger."""
    values = rows.to_numpy()
    return np.where(values.view(np.int64) & 1, values * (1 + 4 * np.finfo(np.float64).eps), values)


def test_rounding_errors_of_the_preprocessing_are_followed() -> None:
    form = fitted(tree(), FunctionTransformer(wobbling), contract=narrowed(["spend"]))
    compiled = compile_tables(form, columns_of(HOLDOUT, form.contract))
    sides = compiled.probes[0][1:-1]
    splits = (form.pipeline[-1].tree_.children_left >= 0).sum()
    assert len(sides) > 3 * 2 * splits  # It switches to and fro.
    rows = (sides.view(np.int64) + np.arange(-20, 21)[:, None]).view(np.float64).reshape(-1, 1)
    assert compiled.form.propensities(rows).tolist() == form.propensities(rows).tolist()


def test_values_that_the_pipeline_fails_on_are_encoded_as_the_last_that_it_takes() -> None:
    contract = narrowed(["spend"], spend={"minimum": None, "maximum": None})
    form = fitted(tree(), contract=contract)
    rows = np.array([[LARGEST], [1e30], [-1e30], [-LARGEST]])
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="infinity or a value too large"):
        form.propensities(rows[:1])
    compiled = compile_tables(form, columns_of(HOLDOUT, contract))
    expected = form.propensities(rows[1:3])
    assert compiled.form.propensities(rows).tolist() == [expected[0], expected[0], expected[1], expected[1]]
    form.propensities(compiled.probes[0][:, None])  # It takes all of them.


def test_numbers_that_a_transformation_does_not_take_are_left_out() -> None:
    contract = narrowed(["income"], income={"nullable": False})

    def positive(pipeline: Any, rows: Any, outcomes: Any) -> None:
        known = rows["income"].notna()
        pipeline.fit(rows[known], outcomes[known])

    form = fitted(tree(), PowerTransformer("box-cox"), contract=contract, fit=positive)
    lowest = probes_of(form)["income"][0]
    assert lowest > 0
    form.propensities(np.array([[lowest]]))


@pytest.mark.parametrize(
    "mixing",
    [
        PCA(2),
        PolynomialFeatures(2),
        FunctionTransformer(lambda rows: rows.assign(spend=rows.spend / rows.age)),
    ],
    ids=["components", "products", "ratio"],
)
def test_columns_made_of_several_fields_are_refused(mixing: Any) -> None:
    form = fitted(
        tree(), StandardScaler().set_output(transform="pandas"), mixing, contract=narrowed(["age", "spend"])
    )
    assert refusal(form) == "its preprocessing mixes age and spend into one column"


def test_imputation_by_other_fields_is_refused() -> None:
    form = fitted(tree(), KNNImputer(), contract=narrowed(["age", "income"]))
    assert refusal(form) in {
        "its preprocessing mixes age and income into one column",
        "its preprocessing of income depends on other values, too",
    }


def test_preprocessing_that_looks_at_other_rows_is_refused() -> None:
    centred = FunctionTransformer(lambda rows: rows - rows.mean())
    form = fitted(tree(), centred, contract=narrowed(["age", "spend"]))
    assert refusal(form).endswith("depends on other values, too")


def test_a_category_that_the_pipeline_fails_on_is_named() -> None:
    contract = narrowed(["plan"])
    form = fitted(tree(), OneHotEncoder(), contract=contract)
    other = narrowed(["plan"], plan={"categories": [*contract.columns.categories["plan"], "new"]})
    reason = refusal(PipelineForm(form.pipeline, other, "frame", "1"))
    assert reason.startswith("the pipeline fails on values of plan (ValueError: Found unknown categories")
    assert "\n" not in reason


def present(rows: Any) -> Any:
    if rows.isna().any(axis=None):
        raise ValueError("a value is missing")
    return rows


def test_a_missing_value_that_the_pipeline_fails_on_is_named() -> None:
    form = fitted(tree(), FunctionTransformer(present), contract=narrowed(["spend"]))
    nullable = narrowed(["spend"], spend={"nullable": True})
    reason = refusal(PipelineForm(form.pipeline, nullable, "frame", "1"))
    assert reason == "the pipeline fails where spend is missing (ValueError: a value is missing)"
