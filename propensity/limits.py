"""How much one worker takes on. Everything that is bounded is bounded here."""

MAX_ROWS = 10_000
"""Applications in one request to `predict_batch`."""

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Request body; 10,000 applications take about 2.5 MB of JSON, 4 MB when indented."""

MAX_IN_FLIGHT = 1_024
"""Requests that a worker works on or has queued; one more is answered 429 at once."""

BODY_SECONDS = 10.0
"""In which the whole request body must have arrived."""

DEADLINE_SECONDS = 30.0
"""In which a request must be answered; after that the answer is 503."""

MAX_LATENCY_MS = 10_000
"""How long BentoML's dispatcher may plan to keep a request before it gives it up (503)."""

MAX_MERGED_ROWS = 512
"""Single predictions that one model call may merge."""

RETRY_AFTER_SECONDS = 1
"""What a caller is told to wait after 429 and 503."""
