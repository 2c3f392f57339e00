"""Request bodies of batches, in each format."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa

JSON = "application/json"
NDJSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def body(rows: list[Any], media_type: str, many: str = "applications") -> bytes:
    if media_type == JSON:
        return json.dumps({many: rows}).encode()
    if media_type == NDJSON:
        return "\n".join(json.dumps(row) for row in rows).encode()
    return stream(pa.Table.from_pylist(rows))
