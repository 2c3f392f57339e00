"""The draft of a manifest: the contract, proven on the rows of the hold-out set."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from propensity.contract.contract import Contract
from propensity.contract.features import Features, Propensities
from propensity.contract.field import Kind
from propensity.contract.problem import Problem
from propensity.handover.inference import Rows, columns_of, frame_of, infer, plain_rows
from propensity.handover.labels import Labels
from propensity.importing import figures, holdout
from propensity.importing.anatomy import Anatomy, check_classifier
from propensity.importing.figures import Truth
from propensity.model.gate import GateError
from propensity.model.pipeline import Input, PipelineForm

ADDITIONS = 1e-12
"""Largest difference that may remain: the threads of a forest add its trees in any order."""

FEW_ROWS = 50
"""Rows of a class below which its figures are hardly worth reading."""


@dataclass(frozen=True)
class Draft:
    """A contract with the hold-out set, of n rows, on which it was proven.

    Attributes:
        contract: of the rows.
        takes: whether the pipeline takes a frame or an array.
        labels: the two classes.
        features: of the rows, shape (n, columns).
        truth: whether each is of the positive class, shape (n,).
        propensities: of the pipeline, shape (n,).
        text: content of the hold-out file.
        notes: what a person should look at.
    """

    contract: Contract
    takes: Input
    labels: Labels
    features: Features
    truth: Truth
    propensities: Propensities
    text: str
    notes: list[str]


def draft(
    pipeline: Any,
    rows: Any,
    outcomes: Any,
    *,
    target: str,
    positive: object = None,
    others: Sequence[Any] = (),
    stated: Mapping[str, Any] | None = None,
    kinds: Mapping[str, Kind] | None = None,
    knows_training: bool = False,
) -> Draft:
    """Infer the contract of a pipeline, and prove that the API will predict what the pipeline predicts.

    Args:
        pipeline: a fitted binary classifier.
        rows: the hold-out set, a frame or an array of n rows.
        outcomes: its outcomes, n of them.
        target: name of the outcome.
        positive: the class whose probability is the propensity.
        others: further rows that bounds and categories are inferred from, such as those of the training.
        stated: members of the contract that a person has stated.
        kinds: the kinds of fields that the pipeline's file states.
        knows_training: whether `others` are the rows that the pipeline was trained with.

    Raises:
        GateError: the pipeline can't be served, or a column can't be a field; the message says what to do.
    """
    check_classifier(pipeline)
    listed = np.asarray(outcomes, dtype=object).ravel().tolist()
    if len(listed) != len(rows):
        raise GateError(f"there are {len(rows):,} rows, but {len(listed):,} outcomes")
    labels = Labels.of([*pipeline.classes_], listed, positive)
    truth = labels.truth(listed)
    inferred = infer(
        pipeline, [*others, rows], labels, target,
        stated=stated or {}, kinds=kinds or {}, knows_training=knows_training,
    )  # fmt: skip
    contract = inferred.contract
    if target == contract.row:
        raise GateError(f"the outcome and a row are both called {target}; call one of them otherwise")
    frame = frame_of(rows, Anatomy.of(pipeline, columns_of(rows)))
    text = holdout.text_of(contract, target, _features(frame, contract), truth)
    with threadpool_limits(limits=1):
        form = PipelineForm(pipeline, contract, inferred.takes, labels.positive)
        features, truth = holdout.parse(text.encode(), contract, target)
        propensities = _Proof(form, labels.positive, frame).propensities(rows, features)
    figures.check_computable(truth, propensities)
    return Draft(
        contract,
        inferred.takes,
        labels,
        features,
        truth,
        propensities,
        text,
        _first(labels, truth) + inferred.notes,
    )


def _first(labels: Labels, truth: Truth) -> list[str]:
    notes = []
    if labels.is_guess:
        notes.append(
            f"the positive class is taken to be {labels.positive}, not {labels.negative}; state it if that is"
            " wrong"
        )
    for label, count in ((labels.positive, truth.sum()), (labels.negative, (~truth).sum())):
        if count < FEW_ROWS:
            notes.append(f"the hold-out set has {count} rows of class {label} only: its figures are rough")
    return notes


def _features(frame: Rows, contract: Contract) -> Features:
    values = []
    for number, row in zip(frame.index, plain_rows(frame, contract), strict=True):
        read = contract.read_row(row)
        if isinstance(read, Problem):
            where, why = holdout.first_error(read)
            raise GateError(
                f"row {number}: {where} holds {row.get(where)!r}, which {why}; correct the row, or the field"
                f" in contract={{'fields': {{{where!r}: ...}}}}"
            )
        values.append(read)
    return contract.columns.of_tuples(values)


class _Proof:
    """The comparison of rows that travelled as JSON with the rows themselves."""

    def __init__(self, form: PipelineForm, positive: str, frame: Rows) -> None:
        self._form = form
        self._frame = frame
        self._place = [str(each) for each in form.pipeline.classes_].index(positive)

    def propensities(self, rows: Any, features: Features) -> Propensities:
        """Return the propensities of features, which must be those of the rows, n of each.

        Raises:
            GateError: they differ; the message names a row, and the column that makes the difference.
        """
        expected = self._direct(rows)
        propensities = self._probabilities(self._form.input(features))
        differing = _differ(expected, propensities)
        if differing.any():
            place = int(differing.argmax())
            raise GateError(
                f"the API would predict {propensities[place]} for row {self._frame.index[place]}, where the"
                f" pipeline predicts {expected[place]}; {self._culprit(features, expected)}"
            )
        return propensities

    def _direct(self, rows: Any) -> Propensities:
        given = rows.to_numpy() if self._form.takes == "array" and isinstance(rows, pd.DataFrame) else rows
        return self._probabilities(given)

    def _probabilities(self, given: Any) -> Propensities:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of categories that an encoder does not know, for one
                probabilities = self._form.pipeline.predict_proba(given)
        except Exception as error:  # the pipeline's own code may raise anything
            reason = " ".join(str(error).split())
            raise GateError(
                f"the pipeline fails on these rows ({type(error).__name__}: {reason}); give it rows that it"
                " predicts, as they were in training"
            ) from error
        return np.asarray(probabilities, dtype=np.float64)[:, self._place]

    def _culprit(self, features: Features, expected: Propensities) -> str:
        """Return which column makes the difference, if the API gives it and the others are as they were."""
        given = self._form.input(features)
        if self._form.takes == "array":
            given = pd.DataFrame(given, columns=self._frame.columns)
        for name in self._frame.columns:
            was, here = self._frame[name], given[name].set_axis(self._frame.index)
            mixed = self._direct(self._frame.assign(**{name: here}))
            if _differ(expected, mixed).any():
                return (
                    f"column {name} is {was.dtype} there and {here.dtype} here, and the pipeline takes them"
                    " for different values; train it on one type that holds them all"
                )
        return "no column alone makes the difference; train it on numbers, booleans and texts"


def _differ(expected: Propensities, found: Propensities) -> Any:
    return ~(np.abs(expected - found) <= ADDITIONS)
