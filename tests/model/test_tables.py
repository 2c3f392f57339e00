"""Tables: exact for any float, alike alone and in company, and explained where they add log-odds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compiling import columns_of, fitted, narrowed
from fitted import HOLDOUT, UNSEEN
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from propensity.importing.trees import compile_forest, compile_tables
from propensity.model.forest import ForestForm
from propensity.model.forms import Additive
from propensity.model.tables import BLOCK, TablesForm

PRESENT = ["age", "visits", "spend", "member"]


@pytest.fixture(scope="module")
def boosted() -> Any:
    form = fitted(GradientBoostingClassifier(n_estimators=30, random_state=0), contract=narrowed(PRESENT))
    return compile_tables(form, columns_of(HOLDOUT, form.contract)).form


@pytest.fixture(scope="module")
def averaged() -> Any:
    classifier = RandomForestClassifier(15, max_leaf_nodes=40, random_state=0)
    form = fitted(classifier, contract=narrowed(PRESENT))
    rows = columns_of(HOLDOUT, form.contract)
    return compile_tables(form, rows).form, compile_forest(form, rows).form


def unseen() -> Any:
    return columns_of(UNSEEN, narrowed(PRESENT))


def test_log_odds_are_explained_and_means_are_not(boosted: Any, averaged: Any) -> None:
    assert isinstance(boosted, Additive)
    assert not any(isinstance(form, Additive) for form in averaged)


def test_a_row_is_predicted_and_explained_the_same_alone_as_in_company(boosted: Any, averaged: Any) -> None:
    rows = unseen()
    assert len(rows) > BLOCK
    for form in (boosted, *averaged):
        together = form.propensities(rows)
        assert [form.propensities(row[None])[0] for row in rows[:50]] == together[:50].tolist()
    together = boosted.contributions(rows[:50])
    assert boosted.contributions(rows[7:8]) == pytest.approx(together[7:8], abs=1e-12)


def test_forms_are_what_they_were_after_they_were_stored(boosted: Any, averaged: Any) -> None:
    tables, forest = averaged
    rows = unseen()
    for form, kind in ((boosted, TablesForm), (tables, TablesForm), (forest, ForestForm)):
        loaded = kind.from_bytes(form.to_bytes())
        assert type(loaded) is type(form)
        assert loaded.propensities(rows).tolist() == form.propensities(rows).tolist()
        assert loaded.instant_rows == form.instant_rows > 0
    loaded = TablesForm.from_bytes(boosted.to_bytes())
    assert isinstance(loaded, Additive)
    assert loaded.contributions(rows[:20]).tolist() == boosted.contributions(rows[:20]).tolist()


def test_no_rows_are_no_propensities(boosted: Any, averaged: Any) -> None:
    for form in (boosted, *averaged):
        assert form.propensities(np.empty((0, 4))).shape == (0,)
    assert boosted.contributions(np.empty((0, 4))).shape == (0, 4)


def test_certain_leaves_give_propensities_of_exactly_0_and_1(averaged: Any) -> None:
    form = fitted(RandomForestClassifier(70, max_depth=2, random_state=0), contract=narrowed(["member"]))
    tables = compile_tables(form, columns_of(HOLDOUT, form.contract)).form.tables
    certain = TablesForm(type(tables)(**{**vars(tables), "leaves": np.ones(tables.leaves.shape)}))
    assert certain.propensities(np.array([[0.0], [1.0]])).tolist() == [1.0, 1.0]
