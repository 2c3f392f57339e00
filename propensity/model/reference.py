"""The reference for drift: how fields and propensities were distributed in the hold-out set.

Values are counted in the bins of the reference, which is kept with the model: deciles of the hold-out set for
a number, the categories, and a bin for missing values. Counts of several workers and days can be added. Two
distributions are compared by the population stability index (PSI), the sum of (a - e) ln(a / e) over their
bins: customarily, below 0.1 they are called the same, above 0.25 different.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from propensity.contract.contract import Contract
from propensity.contract.features import Features, Propensities
from propensity.contract.field import Field
from propensity.model.manifest import Distribution

NOTICED, MOVED = 0.1, 0.25
"""The PSI from which on drift is worth a look, and that from which on the population is another."""

FLOOR = 1e-4
"""Least share of a bin, since an empty bin would make the index infinite."""

Counts = npt.NDArray[np.int64]
"""Rows in each bin of one field, shape (bins,)."""


def reference(features: Features, propensities: Propensities, contract: Contract) -> dict[str, Distribution]:
    """Return the distribution of each field and of the propensity, numbers in deciles."""
    distributions = {}
    for name, field, values in _columns(features, propensities, contract):
        bounds = None
        if field is None or field.kind in {"integer", "number"}:
            known = values[~np.isnan(values)]
            bounds = np.unique(np.quantile(known, _TENTHS, method="lower")).tolist() if len(known) else []
        counts = count(field, Distribution(bounds=bounds, ratios=[]), values)
        distributions[name] = Distribution(bounds=bounds, ratios=(counts / counts.sum()).tolist())
    return distributions


_TENTHS = np.arange(1, 10) / 10


def count_all(
    of: Mapping[str, Distribution], features: Features, propensities: Propensities, contract: Contract
) -> dict[str, Counts]:
    """Return the counts of each field and of the propensity, in the bins of the reference `of`."""
    return {
        name: count(field, of[name], values)
        for name, field, values in _columns(features, propensities, contract)
    }


def count(field: Field | None, of: Distribution, values: npt.NDArray[np.float64]) -> Counts:
    """Return how many values fall into each bin of a field, shape (bins,); NaN is missing.

    Args:
        field: the field; None for the propensity.
        of: its reference.
        values: as in the features, shape (n,).
    """
    names = bins(field, of)
    places = values if of.bounds is None else np.searchsorted(of.bounds, values)
    if field is not None and field.nullable:
        places = np.where(np.isnan(values), len(names) - 1, places)
    return np.bincount(places.astype(np.intp), minlength=len(names))


def bins(field: Field | None, of: Distribution) -> list[str]:
    """Return the name of each bin: a category, the highest number in it, or `missing`."""
    if of.bounds is not None:
        names = [*(f"{bound:.12g}" for bound in of.bounds), "+Inf"]
    elif field is not None and field.categories is not None:
        names = [*field.categories]
    else:
        names = ["false", "true"]
    return [*names, free_name("missing", names)] if field is not None and field.nullable else names


def of_propensity(contract: Contract) -> str:
    """Return the name of the propensity among the fields."""
    return free_name("propensity", contract.by_name)


def free_name(name: str, taken: Container[str]) -> str:
    """Return a name, with underscores after it until it is none of those that are taken."""
    while name in taken:
        name += "_"
    return name


def psi(expected: npt.ArrayLike, actual: npt.ArrayLike) -> float:
    """Return the population stability index of two distributions over the same bins.

    Args:
        expected: counts or shares, shape (bins,), not all 0.
        actual: counts or shares, shape (bins,), not all 0.
    """
    e, a = (np.maximum(np.asarray(counts) / np.sum(counts), FLOOR) for counts in (expected, actual))
    return float(np.sum((a - e) * np.log(a / e)))


def _columns(
    features: Features, propensities: Propensities, contract: Contract
) -> Iterator[tuple[str, Field | None, npt.NDArray[np.float64]]]:
    for field, values in zip(contract.columns.fields, features.T, strict=True):
        yield field.name, field, values
    yield of_propensity(contract), None, propensities
