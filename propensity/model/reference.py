"""The reference for drift: how fields and propensities were distributed in the hold-out set.

Values are counted in the bins of the reference, which is kept with the model: deciles of the hold-out set for
a number, the categories, and a bin for missing values. Counts of several workers and days can be added. Two
distributions are compared by the population stability index (PSI), the sum of (a - e) ln(a / e) over their
bins: customarily, below 0.1 they are called the same, above 0.25 different.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from propensity.contract.application import CATEGORIES, NULLABLE
from propensity.contract.features import COLUMNS, Features, Propensities
from propensity.model.manifest import Distribution

PROPENSITY = "propensity"
"""Name of the propensity among the fields."""

MISSING = "missing"

NOTICED, MOVED = 0.1, 0.25
"""The PSI from which on drift is worth a look, and that from which on the population is another."""

FLOOR = 1e-4
"""Least share of a bin, since an empty bin would make the index infinite."""

Counts = npt.NDArray[np.int64]
"""Applications in each bin of one field, shape (bins,)."""


def reference(features: Features, propensities: Propensities) -> dict[str, Distribution]:
    """Return the distribution of each field and of the propensity, numbers in deciles."""
    distributions = {}
    for field, values in _columns(features, propensities):
        bounds = None
        if field not in CATEGORIES:
            known = values[~np.isnan(values)]
            bounds = np.unique(np.quantile(known, np.arange(1, 10) / 10, method="lower")).tolist()
        counts = count(field, Distribution(bounds=bounds, ratios=[]), values)
        distributions[field] = Distribution(bounds=bounds, ratios=(counts / counts.sum()).tolist())
    return distributions


def count_all(
    of: Mapping[str, Distribution], features: Features, propensities: Propensities
) -> dict[str, Counts]:
    """Return the counts of each field and of the propensity, in the bins of the reference `of`."""
    return {field: count(field, of[field], values) for field, values in _columns(features, propensities)}


def count(field: str, of: Distribution, values: npt.NDArray[np.float64]) -> Counts:
    """Return how many values fall into each bin of a field, shape (bins,); NaN is missing."""
    places = values if of.bounds is None else np.searchsorted(of.bounds, values)
    if field in NULLABLE:
        places = np.where(np.isnan(values), len(bins(field, of)) - 1, places)
    return np.bincount(places.astype(np.intp), minlength=len(bins(field, of)))


def bins(field: str, of: Distribution) -> list[str]:
    """Return the name of each bin: a category, the highest number in it, or `missing`."""
    numbers = (*(f"{bound:.12g}" for bound in of.bounds or ()), "+Inf")
    names = CATEGORIES[field] if of.bounds is None else numbers
    return [*names, MISSING] if field in NULLABLE else [*names]


def psi(expected: npt.ArrayLike, actual: npt.ArrayLike) -> float:
    """Return the population stability index of two distributions over the same bins.

    Args:
        expected: counts or shares, shape (bins,), not all 0.
        actual: counts or shares, shape (bins,), not all 0.
    """
    e, a = (np.maximum(np.asarray(counts) / np.sum(counts), FLOOR) for counts in (expected, actual))
    return float(np.sum((a - e) * np.log(a / e)))


def _columns(features: Features, propensities: Propensities) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    yield from zip(COLUMNS, features.T, strict=True)
    yield PROPENSITY, propensities
