"""The answered request: what metrics, log and challenger need of it afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from propensity.contract.contract import Contract
from propensity.contract.features import Features, Propensities
from propensity.contract.problem import OTHER, Problem
from propensity.formats.batch import Answers, Batch


class AnsweredRequest(NamedTuple):
    """A request whose rows were predicted.

    It outlives the request, so it holds only what is recorded: neither problems nor explanations.
    """

    features: Features
    """Features of the valid rows, in order; shape (n, columns)."""
    propensities: Propensities
    """Propensities of the valid rows, NaN where the model failed; shape (n,)."""
    valid: npt.NDArray[np.int32] | None
    """Places of the valid rows in the request, shape (n,); None if all rows are valid."""
    problems: Mapping[str, int]
    """Number of rows with a problem, by the anchor of its kind."""
    fields: Mapping[str, int]
    """Number of rejected values by field; `OTHER` stands for fields that the contract does not know."""
    threshold: float
    """Threshold on the propensity."""
    model: str
    """Model tag."""
    request_id: bytes
    at: float
    """Time of the prediction, in seconds since 1970."""
    seconds: float
    """Seconds from the arrival of the request to its prediction."""

    @classmethod
    def of(
        cls, batch: Batch, answers: Answers, request_id: bytes, at: float, seconds: float
    ) -> AnsweredRequest:
        """Keep what is recorded of a request.

        Args:
            batch: the rows of the request.
            answers: the answers to these rows.
            request_id: the id of the request.
            at: time of the prediction, in seconds since 1970.
            seconds: seconds from the arrival of the request to its prediction.
        """
        propensities, valid = answers.propensities, None
        if batch.problems:
            places = batch.places
            propensities, valid = propensities[places], places.astype(np.int32)
        problems = answers.problems.values()
        return cls(
            batch.features,
            propensities,
            valid,
            Counter(problem.anchor for problem in problems) if problems else {},
            refused_fields(problems, answers.contract) if problems else {},
            answers.threshold,
            answers.model,
            request_id,
            at,
            seconds,
        )

    @property
    def places(self) -> npt.NDArray[np.int32]:
        """The places of the valid rows in the request; shape (n,)."""
        return np.arange(len(self.features), dtype=np.int32) if self.valid is None else self.valid


def refused_fields(problems: Iterable[Problem], contract: Contract) -> Counter[str]:
    """Count the rejected values by field; `OTHER` stands for fields that the contract does not know."""
    fields = (error.field for problem in problems for error in problem.errors or ())
    return Counter(field if field in contract.by_name else OTHER for field in fields)
