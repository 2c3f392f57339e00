"""How much one worker takes on. What is bounded and can not be set (see settings.py) is bounded here."""

MAX_ROWS = 10_000
"""Applications in one request to `predict_batch`, as JSON or NDJSON, and that are explained in any format."""

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Request body; 10,000 applications take about 2.5 MB of JSON, 4 MB when indented."""

MAX_APPLICATION_BYTES = 64 * 1024
"""Request body to `predict`; an application takes about 250 bytes of JSON."""

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers together, and whatever else of a request is neither body."""

MAX_PARAMETERS = 50
"""In a query string; one is known."""

MAX_VALUES = 20 * MAX_ROWS
"""Objects, arrays, names and values in one JSON text; an application has 14."""

MAX_FIELDS = 50
"""Fields of one application that are looked at one by one; it has 13."""

MAX_TABLE_ROWS = 100_000
"""Applications in one request to `predict_batch`, as Arrow; also read together from a file."""

MAX_TABLE_BYTES = 32 * 1024 * 1024
"""Request body that is a table; 100,000 applications take about 15 MB of Arrow."""

MAX_REASONS = 4
"""Reason codes that an explanation gives; as many as lenders customarily state."""

MAX_IN_FLIGHT = 1_024
"""Requests that a worker works on or has queued; one more is answered 429 at once."""

MAX_FOLLOWED_ROWS = 200_000
"""Predictions that wait to be logged or to be challenged; what exceeds it is dropped, and counted."""

MAX_BYTES_IN_FLIGHT = 256 * 1024 * 1024
"""Memory that a worker holds for requests: bodies, what is decoded of them, and answers. It is charged before
it is taken; what exceeds it is answered 429 at once, and 413 where one request alone does."""

VALUE_BYTES = 64
"""Charged for each value of a JSON text: what it takes as an object, with its share of rows and features."""

TABLE_ROW_BYTES = 320
"""Charged for each row of a table: its features, and what checking them takes."""

PROBLEM_BYTES = 1_536
FIELD_ERROR_BYTES = 896
"""Charged for the problem of a row, and for each error that it lists, as objects and in the answer."""

POINTER_BYTES = 12
"""Charged for each character of an error's pointer: the names of fields come from the caller."""

PREDICTION_BYTES = 640
PREDICTION_COLUMN_BYTES = 96
"""Charged for each row of an answer, as text and in columns."""

EXPLANATION_BYTES = 8_192
"""Charged for each row that is explained."""

MAX_CONNECTIONS = 4_096
"""Of a worker; one more ends the one that has been idle for longest."""

HEAD_SECONDS = 10.0
"""In which the whole head must have arrived, from its first byte on; the connection is closed then."""

BODY_SECONDS = 10.0
"""In which the whole request body must have arrived."""

ANSWER_SECONDS = 30.0
"""In which the caller must have taken the answer; the connection is closed then."""

LINGER_SECONDS = 2.0
"""For which a connection that was refused is read, unheard: closed at once it could take the answer along."""

ANSWER_PIECE_BYTES = 256 * 1024
"""Of an answer that are handed to the connection at a time; the rest waits for the caller to read on."""

PRESENCE_SECONDS = 0.05
"""After which it is watched whether the caller of a request is still there; most are answered before."""

RETRY_AFTER_SECONDS = 1
"""What a caller is told to wait after 429 and 503."""

LARGE_BODY_BYTES = 256 * 1024
LARGE_ROWS = 256
"""Beyond which a body is read and answered in a thread; a few milliseconds are not worth the way. A table
always is: how many rows it has does not show from its size."""

THREADS = 2
"""Beside the event loop: for large bodies, and for model calls that take long."""
