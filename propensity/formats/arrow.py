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
        _check_views(table, contract.limits.table_bytes)
        # pyarrow trusts the offsets and lengths in a stream unless told to check them.
        table.validate(full=True)
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


def _check_views(table: pa.Table, max_bytes: int) -> None:
    """Check that the texts of string views are not longer together than a body may be.

    Views may all refer to the same long text, and comparing each of them could take hours. A view takes 16
    bytes, the first 4 of which are its length.
    """
    for column in table.columns:
        for chunk in column.chunks:
            values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
            if not pa.types.is_string_view(values.type) or not len(values):
                continue
            lengths = np.frombuffer(values.buffers()[1], "<u4")[4 * values.offset :: 4]
            if lengths[: len(values)].sum(dtype=np.uint64) > max_bytes:
                raise ProblemError.of(
                    Kind.LARGE_BODY,
                    f"the texts of the table are longer than {max_bytes:,} bytes; split the batch",
                )


def to_stream(table: pa.Table) -> bytes:
    """Return a table as an Arrow stream."""
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()
