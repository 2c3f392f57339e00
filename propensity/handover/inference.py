"""The inference of a contract: from a fitted pipeline and the rows that it was made with."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from propensity.contract.contract import Contract
from propensity.contract.field import Kind
from propensity.handover.column import Column
from propensity.handover.faults import first_fault
from propensity.handover.labels import Labels
from propensity.importing.anatomy import Anatomy, is_missing, text_of
from propensity.model.gate import GateError
from propensity.model.pipeline import Input

Rows = pd.DataFrame
"""Rows as a data scientist holds them: a column for each field."""


@dataclass(frozen=True)
class Inferred:
    """A contract, and how sure one may be of it.

    Attributes:
        contract: of the pipeline's rows.
        takes: whether the pipeline takes a frame or an array.
        notes: what a person should look at.
    """

    contract: Contract
    takes: Input
    notes: list[str]


def infer(
    pipeline: Any,
    samples: Sequence[Any],
    labels: Labels,
    target: str,
    *,
    stated: Mapping[str, Any],
    kinds: Mapping[str, Kind],
    knows_training: bool,
) -> Inferred:
    """Return the contract of a pipeline's rows.

    Args:
        pipeline: a fitted classifier.
        samples: frames or arrays of rows; the first is of the type that the pipeline was trained with.
        labels: its two classes.
        target: name of the outcome.
        stated: members of the contract that a person has stated; they win. `fields` maps names to members of
            the fields.
        kinds: the kinds of fields that the pipeline's file states.
        knows_training: whether the samples include the rows that the pipeline was trained with.

    Raises:
        GateError: a column can't be a field; the message names it and says what to do.
    """
    anatomy = Anatomy.of(pipeline, columns_of(samples[0]))
    frames = [frame_of(sample, anatomy) for sample in samples]
    names = [*frames[0].columns]
    stated_fields = stated.get("fields", {})
    _check_known(stated_fields, names)
    notes = []
    if anatomy.dropped:
        notes.append(f"the pipeline ignores {', '.join(sorted(anatomy.dropped))}: callers don't send it")
    fields, remarks = [], dict[str, list[str]]()
    for name in names:
        samples_of = [frame[name] for frame in frames]
        column = Column.of(name, samples_of, anatomy.encoders.get(name), name in anatomy.imputed)
        fields.append(column.field(kinds.get(name), stated_fields.get(name, {}), knows_training))
        for remark in column.remarks:
            remarks.setdefault(remark, []).append(name)
    notes += [f"{', '.join(of)}: {remark}" for remark, of in remarks.items()]
    meaning = f"{target} is {labels.positive}"
    members = {"title": f"Propensity: {meaning}", "meaning": meaning} | dict(stated) | {"fields": fields}
    if "example" not in stated:
        members["example"] = _typical(frames[-1], fields)
        notes.append(
            "the example that the API publishes is a row of the hold-out set; state another if it must not"
        )
    try:
        contract = Contract.model_validate(members)
    except ValidationError as error:
        raise GateError(f"contract: {first_fault(error)}") from error
    has_names = anatomy.names is not None and isinstance(samples[-1], pd.DataFrame)
    return Inferred(contract, "frame" if has_names else _takes(pipeline, samples[-1]), notes)


def frame_of(rows: Any, anatomy: Anatomy) -> Rows:
    """Return rows as a frame of the columns that the pipeline needs, in its order.

    Raises:
        GateError: the pipeline needs a column that the rows don't have.
    """
    if not isinstance(rows, pd.DataFrame):
        rows = np.asarray(rows)
        if rows.ndim != 2:  # noqa: PLR2004
            raise GateError(f"rows must be a frame or an array of two dimensions, not of {rows.ndim}")
        named = anatomy.names is not None and len(anatomy.names) == rows.shape[1]
        names = anatomy.names if named else [f"x{place}" for place in range(rows.shape[1])]
        return pd.DataFrame(rows, columns=names)
    named_rows: Rows = rows.rename(columns=str)
    if anatomy.taken is None or not set(anatomy.taken) & set(named_rows.columns):
        return named_rows
    absent = [name for name in anatomy.taken if name not in named_rows.columns]
    if absent:
        raise GateError(f"the pipeline takes {', '.join(absent)}, which the data don't have")
    return named_rows[[*anatomy.taken]]


def plain_rows(rows: Rows, contract: Contract) -> list[dict[str, Any]]:
    """Return the rows of a frame as callers send them."""
    columns = {}
    for field in contract.fields:
        plain = _PLAIN[field.kind]
        cells = rows[field.name].astype(object).tolist()
        columns[field.name] = [None if is_missing(cell) else plain(cell) for cell in cells]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _number(cell: Any) -> Any:
    return float(cell) if isinstance(cell, int | float | np.number | np.bool_) else cell


_PLAIN: dict[str, Any] = {
    "integer": _number,
    "number": _number,
    "boolean": lambda cell: bool(cell) if cell in {0, 1} else cell,
    "category": text_of,
}


def columns_of(rows: Any) -> list[str] | None:
    """Return the names of the columns of a frame; of an array, None."""
    return [*map(str, rows.columns)] if isinstance(rows, pd.DataFrame) else None


def _takes(pipeline: Any, rows: Any) -> Input:
    """Return what a pipeline takes that was not fitted with names."""
    if not isinstance(rows, pd.DataFrame):
        return "array"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            pipeline.predict_proba(rows.head(1))
        except Exception:  # its own code may raise anything
            return "array"
    return "array" if any("feature names" in str(warning.message) for warning in warned) else "frame"


def _check_known(stated: Mapping[str, Any], names: list[str]) -> None:
    for name in stated:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            nearest = f"; the nearest is {near[0]}" if near else ""
            raise GateError(f"contract: fields: the pipeline takes no {name}{nearest}")


def _typical(rows: Rows, fields: Sequence[Any]) -> dict[str, Any]:
    """Return the row that is nearest to the middle: little missing, common categories, middling numbers."""
    distance = np.zeros(len(rows))
    for field in fields:
        cells = rows[field.name]
        if field.kind in {"integer", "number"}:
            rank = pd.to_numeric(cells).astype("float64").rank(pct=True)
            distance += (rank - 0.5).abs().fillna(1).to_numpy()
        else:
            texts = cells.astype(object).map(text_of, na_action="ignore")
            share = texts.map(texts.value_counts(normalize=True)).astype("float64")
            distance += (1 - share).fillna(1).to_numpy()
    row = rows.iloc[[int(distance.argmin())]]
    example = {}
    for field in fields:
        cell = row[field.name].astype(object).iloc[0]
        value = None if is_missing(cell) else _PLAIN[field.kind](cell)
        example[field.name] = int(value) if field.kind == "integer" and value is not None else value
    return example
