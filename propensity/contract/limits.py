"""What one worker accepts at most. These limits are fixed; settings.py has those that can be set.

Those of `Limits` follow from the fields of the contract.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from propensity.contract.field import Field

MAX_ROWS = 10_000
"""Rows in one request to `predict_batch` as JSON or NDJSON, or in any format with explanations."""

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of request line and headers together, and of whatever else is not body, such as trailers."""

MAX_PARAMETERS = 50
"""Parameters in a query string; the API has one."""

MAX_TABLE_ROWS = 100_000
"""Rows in one request to `predict_batch` as Arrow; also the rows read from a file at a time."""

MAX_REASONS = 4
"""Reason codes in an explanation; as many as are customarily stated."""

MAX_IN_FLIGHT = 1_024
"""Requests that a worker handles or queues at a time; one more gets 429 at once."""

MAX_FOLLOWED_ROWS = 200_000
"""Predictions that wait to be logged or challenged; those beyond it are dropped, and counted."""

MAX_BYTES_IN_FLIGHT = 256 * 1024 * 1024
"""Bytes that a worker holds for requests: bodies, what is decoded from them, and responses.

They are charged before the memory is allocated. A request beyond the limit gets 429 at once, and 413 if it
exceeds the limit by itself."""

VALUE_BYTES = 64
"""Charged for each value of a JSON text: the decoded object, with its share of rows and features."""

PROBLEM_BYTES = 1_536
FIELD_ERROR_BYTES = 896
"""Charged for the problem of a row, and for each error in it, as objects and in the response."""

POINTER_BYTES = 12
"""Charged for each character of an error's pointer, since the client chooses the names of fields."""

PREDICTION_BYTES = 640
PREDICTION_COLUMN_BYTES = 96
"""Charged for each row of a response, as text and as columns."""

MAX_CONNECTIONS = 4_096
"""Connections of a worker; one more closes the one that has been idle for longest."""

HEAD_SECONDS = 10.0
"""Seconds from the first byte of a head to its last; after that the connection is closed."""

BODY_SECONDS = 10.0
"""Seconds for the whole request body to arrive."""

ANSWER_SECONDS = 30.0
"""Seconds for the client to read the whole response; after that the connection is closed."""

LINGER_SECONDS = 2.0
"""Seconds that a refused connection is read and ignored: closing it at once could lose the response."""

ANSWER_PIECE_BYTES = 256 * 1024
"""Bytes of a response that are handed to the connection at a time, as fast as the client reads."""

PRESENCE_SECONDS = 0.05
"""Seconds before a request is checked for a client that disconnected; most requests take less."""

RETRY_AFTER_SECONDS = 1
"""Seconds that a client should wait after 429 and 503."""

LARGE_BODY_BYTES = 512 * 1024
LARGE_ROWS = 1_024
"""Bytes or rows beyond which a body is handled in a thread; a few milliseconds do not justify the hand-over.
A table always is, since its size does not tell how many rows it has."""

THREADS = 2
"""Threads beside the event loop, for large bodies and long model calls."""


class Limits:
    """Limits that follow from the fields.

    Attributes:
        fields: fields of one row that are validated one by one.
        values: objects, arrays, names and values in one JSON text.
        row_bytes: bytes of a request body that is one row.
        body_bytes: bytes of a request body that is a batch in JSON or NDJSON.
        table_bytes: bytes of a request body that is a table.
        table_row_bytes: charged for each row of a table: its features, and the memory for checking them.
        explanation_bytes: charged for each row that is explained.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        text = sum(len(json.dumps(field.name)) + 4 + _width(field) for field in fields)
        cells = sum(8 if field.categories is None else 4 + _width(field) for field in fields)
        self.fields = max(50, 2 * len(fields))
        self.values = (len(fields) + 7) * MAX_ROWS
        self.row_bytes = max(64 * _KIB, 4 * text)
        # Twice the text, since it may be indented.
        self.body_bytes = max(8 * _MIB, _whole_mib(2 * text * MAX_ROWS))
        self.table_bytes = max(32 * _MIB, _whole_mib(2 * cells * MAX_TABLE_ROWS))
        self.table_row_bytes = 24 * len(fields) + 8
        self.explanation_bytes = max(8 * _KIB, 630 * len(fields))


_KIB, _MIB = 1024, 1024 * 1024


def _whole_mib(size: int) -> int:
    return -(-size // _MIB) * _MIB


def _width(field: Field) -> int:
    """Return the bytes of the longest value of a field in JSON, roughly."""
    if field.categories is not None:
        return max(len(json.dumps(category)) for category in field.categories)
    if field.kind == "boolean":
        return len("false")
    if field.kind == "integer":
        return max(len(f"{bound:.0f}") for bound in (field.lowest, field.highest))
    return len("-1.2345678901234567e-100")
