"""Drift: how far what is asked and predicted has moved from what the model was made on.

Each field, and the propensity, is counted in the bins of a reference that is kept with the model: tenths of
the hold-out set for a number, the categories themselves, and what is missing. Counts of many workers and
days add up. Two such distributions are compared by the population stability index, the sum of (a - e) ln(a /
e) over their bins: below 0.1 they are customarily called the same, above 0.25 different.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from propensity.contract.application import CATEGORIES, NULLABLE
from propensity.contract.features import COLUMNS, Features, Propensities
from propensity.model.manifest import Distribution

PROPENSITY = "propensity"
"""What stands for the propensity beside the fields."""

MISSING = "missing"

NOTICED, MOVED = 0.1, 0.25
"""A PSI to look at, and one that means that the model is asked about another world."""

FLOOR = 1e-4
"""Of a bin's share: an empty bin would make the index infinite."""

Counts = npt.NDArray[np.int64]
"""Applications in each bin of one field, shape (bins,)."""


def reference(features: Features, propensities: Propensities) -> dict[str, Distribution]:
    """The distribution of each field, and of the propensity, in tenths where it is a number."""
    found = {}
    for field, values in _columns(features, propensities):
        bounds = None
        if field not in CATEGORIES:
            known = values[~np.isnan(values)]
            bounds = np.unique(np.quantile(known, np.arange(1, 10) / 10, method="lower")).tolist()
        counted = count(field, Distribution(bounds=bounds, ratios=[]), values)
        found[field] = Distribution(bounds=bounds, ratios=(counted / counted.sum()).tolist())
    return found


def count_all(
    of: Mapping[str, Distribution], features: Features, propensities: Propensities
) -> dict[str, Counts]:
    """How many applications fall into each bin of each field, and propensities into theirs."""
    return {field: count(field, of[field], values) for field, values in _columns(features, propensities)}


def count(field: str, of: Distribution, values: npt.NDArray[np.float64]) -> Counts:
    """How many values fall into each bin of a field; NaN is missing."""
    places = values if of.bounds is None else np.searchsorted(of.bounds, values)
    if field in NULLABLE:
        places = np.where(np.isnan(values), len(bins(field, of)) - 1, places)
    return np.bincount(places.astype(np.intp), minlength=len(bins(field, of)))


def bins(field: str, of: Distribution) -> list[str]:
    """What each bin is called: a category, the highest number in it, or `missing`."""
    numbers = (*(f"{bound:.12g}" for bound in of.bounds or ()), "+Inf")
    names = CATEGORIES[field] if of.bounds is None else numbers
    return [*names, MISSING] if field in NULLABLE else [*names]


def psi(expected: npt.ArrayLike, found: npt.ArrayLike) -> float:
    """The population stability index of two distributions over the same bins.

    Args:
        expected: counts or ratios, shape (bins,).
        found: the same; must not be empty.
    """
    shares = [np.asarray(each, dtype=np.float64) for each in (expected, found)]
    e, a = (np.maximum(each / each.sum(), FLOOR) for each in shares)
    return float(np.sum((a - e) * np.log(a / e)))


def _columns(features: Features, propensities: Propensities) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    yield from zip(COLUMNS, features.T, strict=True)
    yield PROPENSITY, propensities
