"""How much one worker takes on. What is bounded and can not be set (see settings.py) is bounded here."""

MAX_ROWS = 10_000
"""Applications in one request to `predict_batch`, as JSON or NDJSON, and that are explained in any format."""

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Request body; 10,000 applications take about 2.5 MB of JSON, 4 MB when indented."""

MAX_APPLICATION_BYTES = 64 * 1024
"""Request body to `predict`; an application takes about 250 bytes of JSON."""

MAX_VALUES = 20 * MAX_ROWS
"""Objects, arrays, names and values in one JSON text; an application has 14."""

MAX_FIELDS = 50
"""Fields of one application that are looked at one by one; it has 13."""

MAX_TABLE_ROWS = 100_000
"""Applications in one request to `predict_batch`, as Arrow or Parquet."""

MAX_TABLE_BYTES = 32 * 1024 * 1024
"""Request body that is a table; 100,000 applications take about 15 MB of Arrow."""

MAX_REASONS = 4
"""Reason codes that an explanation gives; as many as lenders customarily state."""

MAX_IN_FLIGHT = 1_024
"""Requests that a worker works on or has queued; one more is answered 429 at once."""

MAX_FOLLOWED_ROWS = 200_000
"""Predictions that wait to be logged or to be challenged; what exceeds it is dropped, and counted."""

MAX_BYTES_IN_FLIGHT = 64 * 1024 * 1024
"""Request bodies that a worker holds; what exceeds it is answered 429 at once."""

BODY_SECONDS = 10.0
"""In which the whole request body must have arrived."""

ANSWER_SECONDS = 30.0
"""In which the caller must have taken the answer; the connection is closed then."""

ANSWER_PIECE_BYTES = 256 * 1024
"""Of an answer that are handed to the connection at a time; the rest waits for the caller to read on."""

PRESENCE_SECONDS = 0.05
"""After which it is watched whether the caller of a request is still there; most are answered before."""

RETRY_AFTER_SECONDS = 1
"""What a caller is told to wait after 429 and 503."""

LARGE_BODY_BYTES = 256 * 1024
LARGE_TABLE_BYTES = 4 * 1024 * 1024
"""Beyond which a body is read and answered in a thread; a few milliseconds are not worth the way."""

THREADS = 2
"""Beside the event loop: for large bodies, and for model calls that take long."""
