"""A batch and its answers: what the formats exchange with the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from propensity.contract.contract import Contract
from propensity.contract.features import Columns, Features, Propensities, Values
from propensity.contract.prediction import Explanation
from propensity.contract.problem import Kind, Problem
from propensity.contract.row import Row

Hold = Callable[[int], None]
"""Is called with the bytes that a request is about to allocate; raises a problem if they are too many."""


def unbounded(_: int) -> None:
    """Allow any allocation, where something else bounds the rows."""


class Asked(msgspec.Struct, frozen=True):
    """What a request asks of its response, where the body says it.

    Attributes:
        outputs: names of what is to be returned.
        is_explained: whether explanations are needed for it.
        request_id: what the client calls the request, if it does.
    """

    outputs: tuple[str, ...]
    is_explained: bool = False
    request_id: str | msgspec.UnsetType | None = msgspec.UNSET


class Batch(msgspec.Struct, frozen=True):
    """The rows of a request.

    Attributes:
        features: of the valid rows, in order, shape (valid rows, columns).
        problems: of the other rows, by place.
        asked: what the request asks of its response; None in formats that leave this to the query string.
    """

    features: Features
    problems: dict[int, Problem]
    asked: Asked | None = None

    @property
    def rows(self) -> int:
        """Number of rows, valid or not."""
        return len(self.features) + len(self.problems)

    @classmethod
    def of(cls, rows: Iterable[Row], columns: Columns, hold: Hold = unbounded) -> Batch:
        """Return the batch of these rows.

        Args:
            rows: consumed one by one.
            columns: the columns of their features.
            hold: charged for each problem among them before the next row is consumed.
        """
        valid: list[Values] = []
        problems: dict[int, Problem] = {}
        for place, row in enumerate(rows):
            if isinstance(row, Problem):
                hold(row.bytes)
                problems[place] = row
            else:
                valid.append(row)
        return cls(columns.of_tuples(valid), problems)

    @property
    def places(self) -> npt.NDArray[np.intp]:
        """Places of the valid rows, shape (valid rows,)."""
        valid = np.ones(self.rows, dtype=bool)
        valid[list(self.problems)] = False
        return np.flatnonzero(valid)


class Answers(msgspec.Struct, frozen=True):
    """The answers to the rows of a request.

    Attributes:
        propensities: of all rows, in order, shape (rows,); NaN for a row with a problem.
        problems: by place.
        threshold: propensity from which on the decision is the positive one.
        model: model tag.
        contract: the contract of the model.
        explanations: of the valid rows, by place; empty if none were requested.
        asked: as in the batch.
    """

    propensities: Propensities
    problems: dict[int, Problem]
    threshold: float
    model: str
    contract: Contract
    explanations: Mapping[int, Explanation] = msgspec.field(default_factory=dict)
    asked: Asked | None = None

    @property
    def positive(self) -> npt.NDArray[np.bool_]:
        """Which rows reach the threshold, shape (rows,)."""
        return self.propensities >= self.threshold

    @classmethod
    def of(
        cls,
        batch: Batch,
        predicted: Propensities,
        threshold: float,
        model: str,
        contract: Contract,
        *,
        explained: Sequence[Explanation] = (),
    ) -> Answers:
        """Return the answers to a batch.

        Args:
            batch: the rows of the request.
            predicted: propensities of its valid rows; NaN where the model failed.
            threshold: propensity from which on the decision is the positive one.
            model: model tag.
            contract: the contract of the model.
            explained: the explanations of all valid rows, or none.
        """
        problems, propensities = batch.problems, predicted
        if problems:
            propensities = np.full(batch.rows, np.nan)
            propensities[batch.places] = predicted
        # NaN if one of them is: the one number that is not equal to itself.
        if (squares := predicted.dot(predicted)) != squares:
            failed = f"the model failed on this {contract.row}; it has been logged"
            places = np.flatnonzero(np.isnan(propensities)).tolist()
            problems = {place: Problem.of(Kind.MODEL_FAILED, failed) for place in places} | problems
        explanations = dict(zip(batch.places.tolist(), explained, strict=True)) if explained else {}
        return cls(propensities, problems, threshold, model, contract, explanations, batch.asked)
