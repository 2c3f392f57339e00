"""The logistic function: from log-odds to propensities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from propensity.contract.features import Propensities

MOST_LOG_ODDS = 709.0
"""Beyond them, `exp` overflows; sums of leaves never get there."""


def propensities_of(log_odds: npt.NDArray[np.float64]) -> Propensities:
    """Return the propensities of any log-odds, shape (n,)."""
    return into_propensities(np.maximum(log_odds, -MOST_LOG_ODDS))


def into_propensities(log_odds: npt.NDArray[np.float64]) -> Propensities:
    """Return propensities in the array of their log-odds, shape (n,).

    A single row is predicted in so little time that each new array counts.
    """
    np.negative(log_odds, out=log_odds)
    np.exp(log_odds, out=log_odds)
    log_odds += 1
    return np.reciprocal(log_odds, out=log_odds)
