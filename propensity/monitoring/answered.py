"""What is kept of a request that was answered, for whoever takes notes of it afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from propensity.contract.application import FEATURES
from propensity.contract.features import Features, Propensities
from propensity.contract.problem import OTHER, Problem
from propensity.formats.batch import Answers, Batch


class Answered(NamedTuple):
    """A request whose rows were predicted, for whoever takes notes of it after it was answered.

    It outlives the request, so it holds what notes are made of and no more: neither problems nor
    explanations.
    """

    features: Features
    """Of the valid rows, in order."""
    propensities: Propensities
    """Of the valid rows; NaN where the model failed."""
    valid: npt.NDArray[np.int32] | None
    """The places of the valid rows; None where all are."""
    problems: Mapping[str, int]
    """How many rows have a problem of a kind, by its anchor."""
    fields: Mapping[str, int]
    """How often a field was refused, by its name; one that the contract does not know is `OTHER`."""
    threshold: float
    """On the propensity."""
    model: str
    """Model tag."""
    request_id: bytes
    at: float
    """When, in seconds since 1970."""
    seconds: float
    """From its arrival to its prediction."""

    @classmethod
    def of(cls, batch: Batch, answers: Answers, request_id: bytes, at: float, seconds: float) -> Answered:
        """What is noted of a request.

        Args:
            batch: its rows.
            answers: of them.
            request_id: what it is called.
            at: when it was predicted, in seconds since 1970.
            seconds: from its arrival to its prediction.
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
            refused_fields(problems) if problems else {},
            answers.threshold,
            answers.model,
            request_id,
            at,
            seconds,
        )

    @property
    def places(self) -> npt.NDArray[np.int32]:
        """The places of the valid rows."""
        return np.arange(len(self.features), dtype=np.int32) if self.valid is None else self.valid


def refused_fields(problems: Iterable[Problem]) -> Counter[str]:
    """How often each field was refused; one that the contract does not know is `OTHER`."""
    fields = (error.field for problem in problems for error in problem.errors or ())
    return Counter(field if field in FEATURES else OTHER for field in fields)
