"""Tables: rows and predictions as Arrow columns.

Vectorised checks only pick out the rows that may be invalid; the contract then says what is wrong with each,
in the same words as for JSON.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from propensity.contract.contract import Contract
from propensity.contract.features import UNKNOWN
from propensity.contract.field import Field
from propensity.contract.problem import MAX_ERRORS, FieldError, Kind, Problem, ProblemError, pointer
from propensity.formats.batch import Answers, Batch, Hold, unbounded


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn the errors of reading a body into a problem: 400, the body is not `what`."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError, struct.error) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is cut off"
        raise ProblemError.of(Kind.UNREADABLE_BODY, f"the body is not {what}: {reason}") from None


def check_schema(schema: pa.Schema, contract: Contract) -> None:
    """Check that the columns of a table are the fields of the contract.

    Raises:
        ProblemError: 422, a column is unknown, missing, repeated, or of another type.
    """
    kinds: dict[str, list[pa.DataType]] = {name: [] for name in contract.by_name}
    for column in schema:
        kinds.setdefault(column.name, []).append(column.type)
    errors = [
        FieldError(pointer=pointer(name), field=name, detail=detail)
        for name, found in kinds.items()
        if (detail := _fault(found, contract.by_name.get(name))) is not None
    ]
    if len(errors) > MAX_ERRORS:
        raise ProblemError.of(Kind.INVALID_ROW, f"the table is not valid: {len(errors):,} columns are wrong")
    if errors:
        names = ", ".join(error.field for error in errors if error.field)
        detail = f"the columns of the table are not valid: {names}; see errors"
        raise ProblemError(Problem.of(Kind.INVALID_ROW, detail, errors))


def _fault(kinds: Sequence[pa.DataType], field: Field | None) -> str | None:
    """Return what is wrong with the columns of one name, which have these types."""
    if field is None:
        return "is not a field of this API; check its spelling, or leave it out"
    if not kinds:
        return None if field.nullable else "is required and missing"
    if len(kinds) > 1:
        return "is there more than once"
    (kind,) = kinds
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_null(values):
        return None
    checks, wanted = _TYPES[field.kind]
    return None if any(check(values) for check in checks) else f"must be a column of {wanted}, not {kind}"


_NUMBERS = (
    (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
    "integers, floats or decimals",
)
_TYPES = {
    "integer": _NUMBERS,
    "number": _NUMBERS,
    "boolean": ((pa.types.is_boolean,), "booleans"),
    "category": (
        (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
        "strings or a dictionary of strings",
    ),
}
"""For each kind of field, the checks of which a type must pass one, and what a message calls them."""


def read(table: pa.Table, contract: Contract, hold: Hold = unbounded) -> Batch:
    """Return the rows of a table.

    Args:
        table: passed by `check_schema`.
        contract: the contract of its rows.
        hold: charged for its rows, and for each problem among them, before they take memory.
    """
    hold(contract.limits.table_row_bytes * table.num_rows)
    fields = contract.columns.fields
    features = np.empty((len(fields), table.num_rows))
    missing: dict[int, npt.NDArray[np.bool_]] = {}
    columns = dict(zip(table.column_names, table.columns, strict=True))
    for place, field in enumerate(fields):
        if field.name not in columns:
            features[place], missing[place] = np.nan, np.ones(table.num_rows, dtype=bool)
            continue
        chunks = columns[field.name]
        with refusing("a table that can be read"):
            values = chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()
        features[place] = _numbers(values) if field.categories is None else _places(values, field.categories)
        if (nulls := _nulls(values)) is not None:
            missing[place] = nulls
    doubtful = contract.columns.doubtful(features.T)
    for place, field in enumerate(fields):
        # NaN is no missing value, and neither is a text that is no category.
        if field.nullable and np.isnan(features[place].min(initial=np.inf)):
            doubtful |= np.isnan(features[place]) & ~missing.get(place, np.False_)
    problems: dict[int, Problem] = {}
    for number in np.flatnonzero(doubtful).tolist():
        absent = {place for place, mask in missing.items() if mask[number]}
        row = contract.read_row(_row(fields, features[:, number].tolist(), absent), number)
        if isinstance(row, Problem):
            hold(row.bytes)
            problems[number] = row
        else:
            doubtful[number] = False
    return Batch(features[:, ~doubtful].T if problems else features.T, problems)


def _row(
    fields: Sequence[Field], values: list[float], absent: Container[int]
) -> dict[str, float | str | bool | None]:
    """Return a row as it would be in JSON.

    Args:
        fields: the fields.
        values: their features.
        absent: places of those that are null.
    """
    row: dict[str, float | str | bool | None] = {}
    for place, (field, value) in enumerate(zip(fields, values, strict=True)):
        if place in absent:
            row[field.name] = None
        elif field.categories is not None:
            # Unknown categories can be long, and no problem repeats them.
            row[field.name] = UNKNOWN if np.isnan(value) else field.categories[int(value)]
        else:
            row[field.name] = bool(value) if field.kind == "boolean" else value
    return row


def _numbers(values: pa.Array) -> npt.NDArray[Any]:
    """Return numbers of any type, NaN for nulls; without a copy where there are none."""
    kind = values.type
    if pa.types.is_null(kind):
        return np.full(len(values), np.nan)
    if values.null_count or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        values = values.cast(pa.float64(), safe=False)
    numbers: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return numbers


def _nulls(values: pa.Array) -> npt.NDArray[np.bool_] | None:
    """Return which values are null; None if none is."""
    if pa.types.is_dictionary(values.type) and values.dictionary.null_count:
        missing = values.dictionary.is_null().take(values.indices).fill_null(True)
    elif values.null_count:
        missing = values.is_null()
    else:
        return None
    mask: npt.NDArray[np.bool_] = missing.to_numpy(zero_copy_only=False)
    return mask


def _places(values: pa.Array, categories: tuple[str, ...]) -> npt.NDArray[Any]:
    """Return the places of categories; NaN for nulls and for unknown ones."""
    if pa.types.is_null(values.type):
        return np.full(len(values), np.nan)
    known = pa.array(categories, pa.string())
    if not pa.types.is_dictionary(values.type):
        return _numbers(pc.index_in(values.cast(pa.string()), known))
    # NaN last, where the nulls lead.
    places = np.append(_numbers(pc.index_in(values.dictionary.cast(pa.string()), known)), np.nan)
    indices = values.indices
    if indices.null_count:
        indices = indices.cast(pa.int64()).fill_null(len(places) - 1)
    found: npt.NDArray[Any] = places[indices.to_numpy()]
    return found


def write(answers: Answers) -> pa.Table:
    """Return a table with the members of a prediction, and `problem`: null, or a problem document as JSON.

    Explanations are JSON too; without any, their column is left out.
    """
    rows = len(answers.propensities)
    failed = np.isnan(answers.propensities)
    # A mask would take another copy.
    mask = failed if failed.any() else None

    def categorical(codes: npt.NDArray[np.int8], values: list[str]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=mask), pa.array(values), safe=False)

    def texts(documents: Mapping[int, BaseModel]) -> pa.Array:
        if not documents:
            return pa.nulls(rows, pa.string())
        cells: list[str | None] = [None] * rows
        for place, document in documents.items():
            cells[place] = document.model_dump_json(exclude_none=True)
        return pa.array(cells, pa.string())

    explained = {place: document for place, document in answers.explanations.items() if not failed[place]}
    columns = {"explanation": texts(explained)} if explained else {}
    return pa.table(
        {
            "propensity": pa.array(answers.propensities, mask=mask),
            "decision": categorical(answers.positive.view(np.int8), [*answers.contract.decision_names]),
            "threshold": pa.array(np.full(rows, answers.threshold), mask=mask),
            "model": categorical(np.zeros(rows, np.int8), [answers.model]),
            **columns,
            "problem": texts(answers.problems),
        }
    )
