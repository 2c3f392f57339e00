"""How much one worker takes on. What is bounded and can not be set (see settings.py) is bounded here."""

MAX_ROWS = 10_000
"""Applications in one request to `predict_batch`, as JSON or NDJSON."""

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Request body; 10,000 applications take about 2.5 MB of JSON, 4 MB when indented."""

MAX_TABLE_ROWS = 100_000
"""Applications in one request to `predict_batch`, as Arrow or Parquet."""

MAX_TABLE_BYTES = 32 * 1024 * 1024
"""Request body that is a table; 100,000 applications take about 15 MB of Arrow."""

MAX_IN_FLIGHT = 1_024
"""Requests that a worker works on or has queued; one more is answered 429 at once."""

BODY_SECONDS = 10.0
"""In which the whole request body must have arrived."""

RETRY_AFTER_SECONDS = 1
"""What a caller is told to wait after 429 and 503."""

LARGE_BODY_BYTES = 256 * 1024
LARGE_TABLE_BYTES = 4 * 1024 * 1024
"""Beyond which a body is read and answered in a thread; a few milliseconds are not worth the way."""

THREADS = 2
"""Beside the event loop: for large bodies, and for model calls that take long."""
