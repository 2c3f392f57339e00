"""Arrow streams: tables as bytes, read with care, since pyarrow trusts what a stream states of itself."""

from __future__ import annotations

import io
import struct

import numpy as np
import pyarrow as pa

from propensity.contract.contract import Contract
from propensity.contract.limits import MAX_TABLE_ROWS
from propensity.contract.problem import Kind, ProblemError
from propensity.formats.tables import check_schema, refusing

MAX_MESSAGES = 1_000
"""Messages of a stream: schema, dictionaries and record batches; one record batch holds any request."""

_OTHER_FORMATS = {b"ARROW1": "an Arrow file (Feather)", b"FEA1": "a Feather file", b"PAR1": "a Parquet file"}
"""Formats that are mistaken for streams, by their first bytes."""


def from_stream(body: bytes, contract: Contract) -> pa.Table:
    """Return the table of an Arrow stream.

    Args:
        body: the stream.
        contract: the contract of its rows.

    Raises:
        ProblemError: 400, the body is not a stream; 413, its texts are too long; 415, it is compressed; 422,
            it breaks the contract as a whole.
    """
    for beginning, name in _OTHER_FORMATS.items():
        if body.startswith(beginning):
            raise ProblemError.of(
                Kind.UNREADABLE_BODY,
                f"the body is {name}, not an Arrow stream; write a stream: pyarrow.ipc.new_stream, or"
                " write_ipc_stream of Polars",
            )
    with refusing("an Arrow stream"):
        for number, message in enumerate(pa.ipc.MessageReader.open_stream(body)):
            if number > MAX_MESSAGES:
                raise ProblemError.of(
                    Kind.INVALID_ROW, f"the stream must hold at most {MAX_MESSAGES:,} record batches"
                )
            if _is_compressed(message):
                raise ProblemError.of(
                    Kind.UNSUPPORTED_FORMAT, "send the Arrow stream without compressing its buffers"
                )
        with pa.ipc.open_stream(body) as reader:
            check_schema(reader.schema, contract)
            table = reader.read_all()
        _check_rows(table.num_rows, contract)
        table.validate()
        for column in table.columns:
            for chunk in column.chunks:
                _check_values(chunk, contract.limits.table_bytes)
    return table


_COMPRESSION = {"record batch": (2, 3), "dictionary batch": (2, 1, 3)}
"""The fields that lead from a message to the compression of its buffers (Message.fbs of the Arrow format)."""


def _is_compressed(message: pa.Message) -> bool:
    """Whether a message has compressed buffers, which could decompress to any size.

    pyarrow does not tell, as of 26, and so its flatbuffer is followed here.
    """
    metadata = message.metadata
    if message.type not in _COMPRESSION:
        return False
    (table,) = struct.unpack_from("<I", metadata)
    for field in _COMPRESSION[message.type]:
        (back,) = struct.unpack_from("<i", metadata, table)
        vtable, entry = table - back, 4 + 2 * field
        (size,) = struct.unpack_from("<H", metadata, vtable)
        (offset,) = struct.unpack_from("<H", metadata, vtable + entry) if entry < size else (0,)
        if not offset:
            return False
        table += offset
        table += struct.unpack_from("<I", metadata, table)[0]
    return True


def _check_rows(rows: int, contract: Contract) -> None:
    if rows == 0:
        raise ProblemError.of(Kind.INVALID_ROW, f"the table must hold at least 1 {contract.row}")
    if rows > MAX_TABLE_ROWS:
        raise ProblemError.of(
            Kind.INVALID_ROW,
            f"the table must hold at most {MAX_TABLE_ROWS:,} {contract.rows}; split the batch",
        )


def _check_values(values: pa.Array, max_bytes: int) -> None:
    """Check what pyarrow trusts in a stream unless told otherwise: offsets, lengths, indices, texts.

    Raises:
        ProblemError: 413, texts are longer than a body may be.
        pa.ArrowInvalid: something else is wrong.
    """
    texts = values.dictionary if pa.types.is_dictionary(values.type) else values
    if pa.types.is_string_view(texts.type) and len(texts):
        _check_views(texts, max_bytes)
    if not _is_plain(values):
        values.validate(full=True)


def _check_views(texts: pa.StringViewArray, max_bytes: int) -> None:
    """Check that the texts of string views are not longer together than a body may be.

    Views may all refer to the same long text, and comparing each of them could take hours. A view takes 16
    bytes, the first 4 of which are its length.
    """
    lengths = np.frombuffer(texts.buffers()[1], "<u4")[4 * texts.offset :: 4]
    if lengths[: len(texts)].sum(dtype=np.uint64) > max_bytes:
        raise ProblemError.of(
            Kind.LARGE_BODY, f"the texts of the table are longer than {max_bytes:,} bytes; split the batch"
        )


LAST_OF_ASCII = 127


def _is_plain(values: pa.Array) -> bool:
    """Whether these are texts in ASCII without nulls, and sound.

    pyarrow would look at each text, which takes several times as long; ASCII is UTF-8 wherever it is cut.
    """
    if values.type != pa.string() or values.offset or not len(values):
        return False
    nulls, offsets, content = values.buffers()
    if nulls is not None or content is None:
        return False
    ends = np.frombuffer(offsets, "<i4", len(values) + 1)
    letters = np.frombuffer(content, np.uint8)
    return bool(
        ends[0] >= 0
        and ends[-1] <= len(letters)
        and (np.diff(ends) >= 0).all()
        and letters.max(initial=0) <= LAST_OF_ASCII
    )


def to_stream(table: pa.Table) -> bytes:
    """Return a table as an Arrow stream."""
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()
