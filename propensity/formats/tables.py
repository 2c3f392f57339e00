"""Tables: applications and predictions as Arrow columns.

The vectorised checks only pick out the rows that may be wrong; what is wrong with them, the contract says,
in the same words as for JSON.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from propensity.contract.application import CATEGORIES, FEATURES, NULLABLE, read_row
from propensity.contract.features import COLUMNS, breaks_bounds
from propensity.contract.limits import MAX_TABLE_BYTES, MAX_TABLE_ROWS, TABLE_ROW_BYTES
from propensity.contract.problem import MAX_ERRORS, FieldError, Kind, Problem, ProblemError
from propensity.formats.batch import Answers, Batch, Hold, unbounded

_NULLABLE = np.array([[name in NULLABLE] for name in COLUMNS])
_VALUES = {name: pa.array(categories) for name, categories in CATEGORIES.items()}


_OTHERS = {b"ARROW1": "an Arrow file (Feather)", b"FEA1": "a Feather file", b"PAR1": "a Parquet file"}
"""What is sent as a stream and is none, by how it begins."""

MAX_MESSAGES = 1_000
"""Of an Arrow stream: schema, dictionaries and record batches; a caller needs one batch."""


def from_stream(body: bytes) -> pa.Table:
    """The table of an Arrow stream.

    Raises:
        ProblemError: 400, it is none; 415, it is compressed; 422, it breaks the contract as a whole.
    """
    for beginning, name in _OTHERS.items():
        if body.startswith(beginning):
            raise ProblemError.of(
                Kind.UNREADABLE_BODY,
                f"the body is {name}, not an Arrow stream; write a stream: pyarrow.ipc.new_stream, or"
                " write_ipc_stream of Polars",
            )
    with _refusing("an Arrow stream"):
        for number, message in enumerate(pa.ipc.MessageReader.open_stream(body)):
            if number > MAX_MESSAGES:
                raise ProblemError.of(
                    Kind.INVALID_APPLICATION, f"the stream must hold at most {MAX_MESSAGES:,} record batches"
                )
            if _is_compressed(message.metadata.to_pybytes()):
                raise ProblemError.of(
                    Kind.UNSUPPORTED_FORMAT, "send the Arrow stream without compressing its buffers"
                )
        with pa.ipc.open_stream(body) as reader:
            check_schema(reader.schema)
            table = reader.read_all()
        _check_rows(table.num_rows)
        _check_views(table)
        # A stream states offsets and lengths, and pyarrow believes them until told to look.
        table.validate(full=True)
    return table


def _check_views(table: pa.Table) -> None:
    """See that texts are not longer together than what was sent.

    Views may all point to the same long text, and whoever looks at each would be busy for hours. Their
    lengths stand beside the pointers: 16 bytes a view, of which the first 4 are its length.
    """
    for column in table.columns:
        for chunk in column.chunks:
            values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
            if not pa.types.is_string_view(values.type) or not len(values):
                continue
            views = np.frombuffer(values.buffers()[1], "<u4")[4 * values.offset :: 4]
            if views[: len(values)].sum(dtype=np.uint64) > MAX_TABLE_BYTES:
                raise ProblemError.of(
                    Kind.LARGE_BODY,
                    f"the texts of the table are longer than {MAX_TABLE_BYTES:,} bytes; split the batch",
                )


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError, struct.error) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is cut off"
        raise ProblemError.of(Kind.UNREADABLE_BODY, f"the body is not {what}: {reason}") from None


def _is_compressed(metadata: bytes) -> bool:
    """Whether a message of a stream has compressed buffers, which could unpack to any size.

    pyarrow does not tell. The message is a flatbuffer (Message.fbs of the Arrow format): a table whose field
    2 is the record batch, or the dictionary batch, whose own field 1 is one; field 3 of that is the codec.
    """

    def field(table: int, slot: int) -> int | None:
        (back,) = struct.unpack_from("<i", metadata, table)
        vtable = table - back
        (size,) = struct.unpack_from("<H", metadata, vtable)
        if 4 + 2 * slot >= size:
            return None
        (offset,) = struct.unpack_from("<H", metadata, vtable + 4 + 2 * slot)
        return table + offset if offset else None

    def follow(position: int) -> int:
        (offset,) = struct.unpack_from("<I", metadata, position)
        return position + int(offset)

    message = follow(0)
    kind, header = field(message, 1), field(message, 2)
    if kind is None or header is None:
        return False
    batch: int | None = follow(header)
    if metadata[kind] == 2:  # noqa: PLR2004 — a dictionary batch
        inner = field(follow(header), 1)
        batch = None if inner is None else follow(inner)
    elif metadata[kind] != 3:  # noqa: PLR2004 — neither a record batch
        batch = None
    return batch is not None and field(batch, 3) is not None


def check_schema(schema: pa.Schema) -> None:
    """See that the columns of a table are the fields of an application.

    Raises:
        ProblemError: 422, one is not, is missing, or is of another type.
    """
    errors = [
        FieldError(pointer=f"/{name}", field=name, detail=detail)
        for name in dict.fromkeys([*FEATURES, *schema.names])
        if (detail := _wrong(schema, name)) is not None
    ]
    if len(errors) > MAX_ERRORS:
        raise ProblemError.of(
            Kind.INVALID_APPLICATION, f"the table is not valid: {len(errors):,} columns are wrong"
        )
    if errors:
        names = ", ".join(error.field for error in errors if error.field)
        detail = f"the columns of the table are not valid: {names}; see errors"
        raise ProblemError(Problem.of(Kind.INVALID_APPLICATION, detail, errors))


def _wrong(schema: pa.Schema, name: str) -> str | None:
    """What is wrong with a column of the table."""
    places = schema.get_all_field_indices(name)
    if name not in FEATURES:
        return "is not a field of this API; check its spelling, or leave it out"
    if not places:
        return None if name in NULLABLE else "is required and missing"
    if len(places) > 1:
        return "is there more than once"
    kind = schema.field(places[0]).type
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_null(values):
        return None
    if name not in CATEGORIES:
        is_number = any(check(values) for check in _NUMBERS)
        return None if is_number else f"must be a column of integers, floats or decimals, not {kind}"
    is_text = any(check(values) for check in _TEXTS)
    return None if is_text else f"must be a column of strings or a dictionary of strings, not {kind}"


_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def _check_rows(rows: int) -> None:
    if rows == 0:
        raise ProblemError.of(Kind.INVALID_APPLICATION, "the table must hold at least 1 application")
    if rows > MAX_TABLE_ROWS:
        raise ProblemError.of(
            Kind.INVALID_APPLICATION,
            f"the table must hold at most {MAX_TABLE_ROWS:,} applications; split the batch",
        )


def read(table: pa.Table, hold: Hold = unbounded) -> Batch:
    """The rows of a table whose columns have been checked.

    Args:
        table: of applications.
        hold: told what its rows, and the problems among them, take in memory.
    """
    hold(TABLE_ROW_BYTES * table.num_rows)
    features = np.empty((len(COLUMNS), table.num_rows))
    missing = np.zeros(features.shape, dtype=bool)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    for place, name in enumerate(COLUMNS):
        if name not in columns:
            features[place], missing[place] = np.nan, True
            continue
        chunks = columns[name]
        with _refusing("a table that can be read"):
            values = chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()
        features[place] = _places(values, name) if name in CATEGORIES else _numbers(values)
        if values.null_count or (pa.types.is_dictionary(values.type) and values.dictionary.null_count):
            missing[place] = _missing(values)
    doubtful = breaks_bounds(features.T) | (np.isnan(features) & ~(missing & _NULLABLE)).any(axis=0)
    problems: dict[int, Problem] = {}
    valid = np.ones(table.num_rows, dtype=bool)
    for number in np.flatnonzero(doubtful).tolist():
        row = read_row(_row(features[:, number].tolist(), missing[:, number].tolist()), number)
        if isinstance(row, Problem):
            hold(row.bytes)
            problems[number] = row
            valid[number] = False
    return Batch(features.T[valid] if problems else features.T, problems)


def _row(values: list[float], missing: list[bool]) -> dict[str, float | str | None]:
    """A row as JSON would have it."""
    row: dict[str, float | str | None] = {}
    for name, value, is_missing in zip(COLUMNS, values, missing, strict=True):
        if is_missing:
            row[name] = None
        elif name in CATEGORIES:
            # Whatever an unknown category was, it may be long, and no problem repeats it.
            row[name] = "unknown" if np.isnan(value) else CATEGORIES[name][int(value)]
        else:
            row[name] = value
    return row


def _numbers(values: pa.Array) -> npt.NDArray[np.float64]:
    if pa.types.is_null(values.type):
        return np.full(len(values), np.nan)
    if values.type != pa.float64():
        values = values.cast(pa.float64(), safe=False)
    found: npt.NDArray[np.float64] = values.to_numpy(zero_copy_only=False)
    return found


def _missing(values: pa.Array) -> npt.NDArray[np.bool_]:
    missing = values.is_null()
    if pa.types.is_dictionary(values.type) and values.dictionary.null_count:
        missing = values.dictionary.is_null().take(values.indices).fill_null(True)
    found: npt.NDArray[np.bool_] = missing.to_numpy(zero_copy_only=False)
    return found


def _places(values: pa.Array, name: str) -> npt.NDArray[np.float64]:
    """Places of categories; NaN for a missing and for an unknown one."""
    if pa.types.is_null(values.type):
        return np.full(len(values), np.nan)
    if pa.types.is_dictionary(values.type):
        known = pc.index_in(values.dictionary.cast(pa.string()), _VALUES[name])
        places = known.take(values.indices)
    else:
        places = pc.index_in(values.cast(pa.string()), _VALUES[name])
    return _numbers(places)


def write(answers: Answers) -> pa.Table:
    """The members of a prediction as columns, and `problem`: null, or a problem document as JSON.

    Explanations, where there are any, are JSON too.
    """
    rows = len(answers.propensities)
    failed = np.isnan(answers.propensities)

    def of_all(codes: npt.NDArray[np.int8], values: list[str]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=failed), pa.array(values))

    def texts(documents: Mapping[int, BaseModel]) -> pa.Array:
        if not documents:
            return pa.nulls(rows, pa.string())
        found: list[str | None] = [None] * rows
        for place, document in documents.items():
            found[place] = document.model_dump_json(exclude_none=True)
        return pa.array(found, pa.string())

    explained = {place: each for place, each in answers.explanations.items() if not failed[place]}
    columns = {"explanation": texts(explained)} if explained else {}
    return pa.table(
        {
            "propensity": pa.array(answers.propensities, mask=failed),
            "decision": of_all(answers.declined.astype(np.int8), ["approve", "decline"]),
            "threshold": pa.array(np.full(rows, answers.threshold), mask=failed),
            "model": of_all(np.zeros(rows, np.int8), [answers.model]),
            **columns,
            "problem": texts(answers.problems),
        }
    )


def to_stream(table: pa.Table) -> bytes:
    """A table as an Arrow stream."""
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()
