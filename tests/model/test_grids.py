"""Grids: alike alone and in company, and what they were after they were stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compiling import columns_of, fitted, narrowed
from fitted import HOLDOUT, UNSEEN
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from propensity.importing.grids import compile_grids
from propensity.model.forms import Additive, load
from propensity.model.grids import BLOCK, EXPLAINED_BLOCK, GridsForm

PRESENT = narrowed(["age", "visits", "spend", "member"])


def compiled(classifier: Any) -> GridsForm:
    return compile_grids(fitted(classifier, contract=PRESENT), columns_of(HOLDOUT, PRESENT)).form


@pytest.fixture(scope="module")
def boosted() -> Any:
    return compiled(GradientBoostingClassifier(n_estimators=30, random_state=0))


@pytest.fixture(scope="module")
def averaged() -> Any:
    return compiled(RandomForestClassifier(60, max_leaf_nodes=8, random_state=0))


def many_rows() -> Any:
    return np.tile(columns_of(UNSEEN, PRESENT), (4, 1))


def test_log_odds_are_explained_and_means_are_not(boosted: Any, averaged: Any) -> None:
    assert isinstance(boosted, Additive)
    assert not isinstance(averaged, Additive)


def test_a_row_is_predicted_and_explained_the_same_alone_as_in_company(boosted: Any, averaged: Any) -> None:
    rows = many_rows()
    assert len(rows) > BLOCK > EXPLAINED_BLOCK
    for form in (boosted, averaged):
        together = form.propensities(rows)
        for count in (1, 2, 7, 33, 100):
            for start in (0, 500, 1_200):
                part = slice(start, start + count)
                assert form.propensities(rows[part]).tolist() == together[part].tolist()
    together = boosted.contributions(rows[:300])
    assert boosted.contributions(rows[7:8]).tolist() == together[7:8].tolist()


def test_forms_are_what_they_were_after_they_were_stored(boosted: Any, averaged: Any) -> None:
    rows = many_rows()
    for form in (boosted, averaged):
        loaded = load("grids", form.to_bytes())
        assert type(loaded) is type(form)
        assert loaded.propensities(rows).tolist() == form.propensities(rows).tolist()
        assert loaded.instant_rows == form.instant_rows > 0
    loaded = load("grids", boosted.to_bytes())
    assert isinstance(loaded, Additive)
    assert loaded.base == boosted.base
    assert loaded.contributions(rows[:20]).tolist() == boosted.contributions(rows[:20]).tolist()


def test_no_rows_are_no_propensities(boosted: Any, averaged: Any) -> None:
    for form in (boosted, averaged):
        assert form.propensities(np.empty((0, 4))).shape == (0,)
    assert boosted.contributions(np.empty((0, 4))).shape == (0, 4)
