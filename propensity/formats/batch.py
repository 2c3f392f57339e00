"""A batch and its answers: what passes between the formats of the API and the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from propensity.contract.application import Application, Row
from propensity.contract.features import Features, Propensities, encode
from propensity.contract.prediction import Explanation
from propensity.contract.problem import Kind, Problem

Hold = Callable[[int], None]
"""Told how many bytes more a request is about to hold in memory; ends it with a problem where that is too
many."""


def unbounded(_: int) -> None:
    """Holds whatever it takes: the caller bounds it."""


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
    def of(cls, rows: Iterable[Row], hold: Hold = unbounded) -> Batch:
        """The batch of these rows.

        Args:
            rows: taken one by one.
            hold: told what the problems among them take, before the next row is taken.
        """
        applications: list[Application] = []
        problems: dict[int, Problem] = {}
        for place, row in enumerate(rows):
            if isinstance(row, Problem):
                hold(row.bytes)
                problems[place] = row
            else:
                applications.append(row)
        return cls(encode(applications), problems)

    @property
    def places(self) -> npt.NDArray[np.intp]:
        """The places of the valid rows."""
        valid = np.ones(self.rows, dtype=bool)
        valid[list(self.problems)] = False
        return np.flatnonzero(valid)


_FAILED = Problem.of(Kind.MODEL_FAILED, "the model failed on this application; it has been logged")


@dataclass(frozen=True)
class Answers:
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
    ) -> Answers:
        """The answers of a batch.

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
