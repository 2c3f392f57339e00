"""A batch and its outcomes: what passes between the formats of the API and the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from propensity.contract import Application, Explanation, Row
from propensity.features import Features, Propensities, encode
from propensity.problem import Kind, Problem


@dataclass(frozen=True)
class Batch:
    """The rows of a request.

    Attributes:
        features: of the valid rows, in order.
        problems: of the other rows, by place.
    """

    features: Features
    problems: Mapping[int, Problem]

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.features) + len(self.problems)

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Batch:
        """The batch of these rows."""
        problems = {place: row for place, row in enumerate(rows) if isinstance(row, Problem)}
        return cls(encode([row for row in rows if isinstance(row, Application)]), problems)

    @property
    def places(self) -> npt.NDArray[np.intp]:
        """The places of the valid rows."""
        valid = np.ones(self.rows, dtype=bool)
        valid[list(self.problems)] = False
        return np.flatnonzero(valid)


_FAILED = Problem.of(Kind.MODEL_FAILED, "the model failed on this application; it has been logged")


@dataclass(frozen=True)
class Outcomes:
    """What becomes of the rows of a request.

    Attributes:
        propensities: of all rows, in order; NaN where there is a problem instead.
        declined: which of them the threshold declines.
        problems: by place.
        threshold: on the propensity.
        model: model tag.
        explanations: by place; of the rows that were predicted, where they were asked for.
    """

    propensities: Propensities
    declined: npt.NDArray[np.bool_]
    problems: Mapping[int, Problem]
    threshold: float
    model: str
    explanations: Mapping[int, Explanation] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        batch: Batch,
        predicted: Propensities,
        threshold: float,
        model: str,
        explained: Sequence[Explanation] = (),
    ) -> Outcomes:
        """The outcomes of a batch.

        Args:
            batch: the rows of the request.
            predicted: for its valid rows; NaN where the model failed.
            threshold: on the propensity.
            model: model tag.
            explained: the explanation of each valid row, or none at all.
        """
        problems = dict(batch.problems)
        propensities = predicted
        if problems:
            propensities = np.full(batch.rows, np.nan)
            propensities[batch.places] = predicted
        for place in np.flatnonzero(np.isnan(propensities)).tolist():
            problems.setdefault(place, _FAILED)
        explanations = {}
        if explained:
            explanations = dict(zip(batch.places.tolist(), explained, strict=True))
        return cls(propensities, propensities >= threshold, problems, threshold, model, explanations)


class Answered(NamedTuple):
    """A request whose rows were predicted, for whoever takes notes of it."""

    batch: Batch
    outcomes: Outcomes
    request_id: bytes
    at: float
    """When, in seconds since 1970."""
    seconds: float
    """From its arrival to its prediction."""

    @property
    def places(self) -> npt.NDArray[np.intp]:
        """The places of the valid rows."""
        return self.batch.places
