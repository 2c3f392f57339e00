"""A batch and its outcomes: what passes between the formats of the API and the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from propensity.contract.application import FEATURES, Application, Explanation, Row
from propensity.contract.features import Features, Propensities, encode
from propensity.contract.problem import OTHER, Kind, Problem
from propensity.serving.in_flight import Hold, unbounded


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
    def of(cls, batch: Batch, outcomes: Outcomes, request_id: bytes, at: float, seconds: float) -> Answered:
        """What is noted of a request.

        Args:
            batch: its rows.
            outcomes: of them.
            request_id: what it is called.
            at: when it was predicted, in seconds since 1970.
            seconds: from its arrival to its prediction.
        """
        propensities, valid = outcomes.propensities, None
        if batch.problems:
            places = batch.places
            propensities, valid = propensities[places], places.astype(np.int32)
        problems = outcomes.problems.values()
        return cls(
            batch.features,
            propensities,
            valid,
            Counter(problem.anchor for problem in problems) if problems else {},
            refused_fields(problems) if problems else {},
            outcomes.threshold,
            outcomes.model,
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
