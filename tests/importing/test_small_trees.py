"""Small trees predict and explain alike when their leaves are added up in grids."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from compiling import columns_of, fitted, narrowed, near
from fitted import CATEGORIES, HOLDOUT
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from propensity.contract.features import Features
from propensity.importing import grids as importing
from propensity.importing import trees
from propensity.importing.encoding import NotCompilableError
from propensity.importing.grids import Size, compile_grids, grids_of
from propensity.importing.trees import compile_tables
from propensity.model.forms import Additive
from propensity.model.grids import GridsForm
from propensity.model.pipeline import PipelineForm
from propensity.model.tables import Tables, TablesForm

NUMBERS = ["age", "visits", "income", "spend"]

EXACT, SINGLE = 1e-12, 1e-6
"""Largest difference of propensities; XGBoost adds 32-bit floats."""


def preprocessing() -> Any:
    return ColumnTransformer(
        [
            ("numbers", SimpleImputer(add_indicator=True), NUMBERS),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES),
        ],
        remainder="passthrough",
    )


def assert_same(grids: GridsForm, tables: TablesForm, rows: Features) -> None:
    """Compare grids with the tables that they were made of."""
    assert np.abs(grids.propensities(rows) - tables.propensities(rows)).max() < EXACT
    assert isinstance(grids, Additive) == isinstance(tables, Additive)
    if isinstance(grids, Additive) and isinstance(tables, Additive):
        assert grids.base == tables.base
        contributions = grids.contributions(rows)
        assert np.abs(contributions - tables.contributions(rows)).max() < 1e-9
        added = grids.base + contributions.sum(axis=1)
        assert np.abs(1 / (1 + np.exp(-added)) - grids.propensities(rows)).max() < EXACT


FAMILIES: dict[str, tuple[Callable[[], Any], float]] = {
    "gradient boosting": (lambda: GradientBoostingClassifier(n_estimators=40, random_state=0), EXACT),
    "stumps": (lambda: GradientBoostingClassifier(n_estimators=60, max_depth=1, random_state=0), EXACT),
    "exponential loss": (
        lambda: GradientBoostingClassifier(loss="exponential", n_estimators=40, random_state=0),
        EXACT,
    ),
    "histogram": (lambda: HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=6), EXACT),
    "XGBoost": (lambda: xgboost.XGBClassifier(n_estimators=40, max_depth=3, n_jobs=1), SINGLE),
    "LightGBM": (
        lambda: lightgbm.LGBMClassifier(n_estimators=60, num_leaves=6, verbose=-1, n_jobs=1),
        EXACT,
    ),
    "random forest": (lambda: RandomForestClassifier(60, max_depth=3, random_state=0), EXACT),
    "extra trees": (lambda: ExtraTreesClassifier(60, max_depth=3, random_state=0), EXACT),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_predicts_and_explains_alike(family: str) -> None:
    make, tolerance = FAMILIES[family]
    form = fitted(make(), preprocessing())
    holdout = columns_of(HOLDOUT, form.contract)
    compiled = compile_tables(form, holdout)
    tables = compiled.form
    rows = np.concatenate([holdout, near(compiled.probes, form.contract)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = form.propensities(rows)
    assert np.ptp(expected) > 0.1
    loaded = GridsForm.from_bytes(GridsForm.of(grids_of(tables)).to_bytes())
    assert np.abs(loaded.propensities(rows) - expected).max() < tolerance
    assert len(loaded.grids.firsts) < len(tables.tables.leaves) / 2
    assert_same(loaded, tables, rows)


@pytest.fixture(scope="module")
def boosted() -> tuple[PipelineForm, TablesForm]:
    contract = narrowed(["age", "visits", "spend", "member"])
    form = fitted(GradientBoostingClassifier(n_estimators=30, random_state=0), contract=contract)
    return form, compile_tables(form, columns_of(HOLDOUT, contract)).form


def rows_of(form: PipelineForm) -> Features:
    return columns_of(HOLDOUT, form.contract)


def test_leaves_that_fill_a_grid_are_put_in_several(
    boosted: tuple[PipelineForm, TablesForm], monkeypatch: pytest.MonkeyPatch
) -> None:
    form, tables = boosted
    whole = grids_of(tables)
    for size in ("PREDICTING", "EXPLAINING"):
        monkeypatch.setattr(importing, size, Size(of_grid=16, of_all=10_000))
    monkeypatch.setattr(importing, "NS_OF_TREE", 1_000)
    parts = grids_of(tables)
    assert len(parts.firsts) > 2 * len(whole.firsts)
    assert np.diff([*parts.firsts, len(parts.cells)]).max() <= 16
    assert_same(GridsForm.of(parts), tables, rows_of(form))


def test_grids_are_merged_up_to_a_number_of_cells(
    boosted: tuple[PipelineForm, TablesForm], monkeypatch: pytest.MonkeyPatch
) -> None:
    form, tables = boosted
    monkeypatch.setattr(importing, "PREDICTING", Size(of_grid=65_536, of_all=5_000))
    some = grids_of(tables)
    assert len(some.cells) <= 5_000
    monkeypatch.undo()
    fewer = grids_of(tables)
    assert len(fewer.cells) > 5_000
    assert len(fewer.firsts) < len(some.firsts)
    assert_same(GridsForm.of(some), tables, rows_of(form))


@pytest.mark.parametrize("logit", [True, False])
def test_a_tree_of_a_single_leaf_adds_it_for_every_row(
    boosted: tuple[PipelineForm, TablesForm], logit: bool
) -> None:
    form, tables = boosted
    arrays = {name: array.copy() for name, array in vars(tables.tables).items()}
    arrays["leaves"][3] = [0.3, *[0.0] * 7]
    arrays["reachable"][:, 3] = 1
    arrays["paths"][3], arrays["shares"][3] = len(arrays["sizes"]), 1.0
    changed = Tables(**arrays | {"logit": np.array(logit), "prior": np.array(0.0)})
    assert_same(GridsForm.of(grids_of(TablesForm.of(changed))), TablesForm.of(changed), rows_of(form))


def test_trees_with_many_leaves_are_left_to_tables() -> None:
    contract = narrowed(["spend", "visits"])
    form = fitted(lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1), contract=contract)
    with pytest.raises(NotCompilableError, match=r"^a tree of it has 31 leaves, more than 16$"):
        compile_grids(form, rows_of(form))


def test_a_tree_is_left_to_tables_if_they_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    form = fitted(DecisionTreeClassifier(max_leaf_nodes=8, random_state=0), preprocessing())
    with pytest.raises(
        NotCompilableError, match=r"^its leaves fill \d grids, which are slower than its tables$"
    ):
        compile_grids(form, HOLDOUT)
    # What the preprocessing does is known by then; to find it out takes long.
    monkeypatch.delattr(trees, "find_encoding")
    assert len(compile_tables(form, HOLDOUT).form.tables.leaves) == 1


def test_what_is_not_worth_merging_is_left_to_tables(
    boosted: tuple[PipelineForm, TablesForm], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, tables = boosted
    monkeypatch.setattr(importing, "MAX_SETS", 3)
    with pytest.raises(
        NotCompilableError, match=r"^its leaves depend on \d+ different sets of columns, more than 3$"
    ):
        grids_of(tables)
    monkeypatch.undo()
    monkeypatch.setattr(importing, "EXPLAINING", Size(of_grid=2_048, of_all=1_000))
    with pytest.raises(NotCompilableError, match=r"^its leaves need \d,\d{3} cells, more than 1,000$"):
        grids_of(tables)
    monkeypatch.setattr(importing, "PREDICTING", Size(of_grid=4, of_all=10_000))
    with pytest.raises(NotCompilableError, match=r"^a leaf of it depends on 3 columns, too many for a grid$"):
        grids_of(tables)


def test_a_model_that_depends_on_nothing_has_no_grids() -> None:
    contract = narrowed(["spend"])
    form = fitted(DecisionTreeClassifier(min_samples_leaf=1_000), contract=contract)
    with pytest.raises(NotCompilableError, match=r"^no leaf of it depends on a column$"):
        compile_grids(form, rows_of(form))
