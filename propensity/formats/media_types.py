"""The media types of request and response bodies, and which of them a request asks for."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

from propensity.contract.limits import (
    LARGE_BODY_BYTES,
    LARGE_ROWS,
    MAX_APPLICATION_BYTES,
    MAX_BODY_BYTES,
    MAX_TABLE_BYTES,
    MAX_VALUES,
    PREDICTION_BYTES,
    PREDICTION_COLUMN_BYTES,
    VALUE_BYTES,
)
from propensity.contract.problem import Kind, ProblemError
from propensity.formats import json, ndjson
from propensity.formats.batch import Answers, Batch, Hold, unbounded


class Format(ABC):
    """How rows come in and answers go out."""

    media_type: str
    name: str
    max_bytes: int = MAX_BODY_BYTES
    prediction_bytes: int = PREDICTION_BYTES
    """What a row of the answer takes in memory, about."""

    def is_large(self, body: bytes) -> bool:
        """Whether a request body should be read and answered beside the event loop."""
        return len(body) > LARGE_BODY_BYTES or body.count(b"{") > LARGE_ROWS

    @abstractmethod
    def read(self, body: bytes, hold: Hold = unbounded) -> Batch:
        """The rows of a request body.

        Args:
            body: as it came.
            hold: told what is about to be decoded of it.

        Raises:
            ProblemError: 400, it is not of this format; 422, it breaks the contract as a whole.
        """

    @abstractmethod
    def write(self, answers: Answers) -> bytes:
        """The response body.

        Raises:
            ProblemError: the format has no place for a problem, and there is one.
        """


class SingleJson(Format):
    """One application, one prediction."""

    media_type = "application/json"
    name = "JSON"
    max_bytes = MAX_APPLICATION_BYTES

    def read(self, body: bytes, hold: Hold = unbounded) -> Batch:
        """The one application."""
        return Batch.of([json.read_application(body.removeprefix(json.BOM))], hold)

    def write(self, answers: Answers) -> bytes:
        """The one prediction."""
        for problem in answers.problems.values():
            raise ProblemError(problem)
        return json.documents(answers)[0].encode()


class BatchJson(Format):
    """`{"applications": [...]}`, answered with `{"predictions": [...], "problems": n}`."""

    media_type = "application/json"
    name = "JSON"

    def read(self, body: bytes, hold: Hold = unbounded) -> Batch:
        """The applications."""
        hold(_decoded_bytes(body))
        body = body.removeprefix(json.BOM)
        features = json.read_batch_fast(body)
        return Batch.of(json.read_batch(body), hold) if features is None else Batch(features, {})

    def write(self, answers: Answers) -> bytes:
        """The predictions and problems, and how many are problems."""
        rows = ",".join(json.documents(answers))
        return f'{{"predictions":[{rows}],"problems":{len(answers.problems)}}}'.encode()


class NdJson(Format):
    """An application a line, answered with a prediction or problem a line."""

    media_type = "application/x-ndjson"
    name = "NDJSON"

    def read(self, body: bytes, hold: Hold = unbounded) -> Batch:
        """The applications; empty lines are passed over."""
        hold(_decoded_bytes(body))
        body = body.removeprefix(json.BOM)
        features = json.read_lines_fast(body)
        return Batch.of(ndjson.read_lines(body), hold) if features is None else Batch(features, {})

    def write(self, answers: Answers) -> bytes:
        """The predictions and problems."""
        return "".join(f"{document}\n" for document in json.documents(answers)).encode()


class ArrowStream(Format):
    """An Arrow IPC stream: columns, named like the fields of an application and of a prediction."""

    media_type = "application/vnd.apache.arrow.stream"
    name = "Arrow stream"
    max_bytes = MAX_TABLE_BYTES
    prediction_bytes = PREDICTION_COLUMN_BYTES

    def is_large(self, body: bytes) -> bool:  # noqa: ARG002
        """Always: how many rows there are does not show from the size."""
        return True

    def read(self, body: bytes, hold: Hold = unbounded) -> Batch:
        """The rows of the stream."""
        # pyarrow comes with the first table: who sends none need not hold it in memory.
        from propensity.formats import arrow, tables  # noqa: PLC0415

        return tables.read(arrow.from_stream(body), hold)

    def write(self, answers: Answers) -> bytes:
        """A table of predictions, and of problems where there are any."""
        from propensity.formats import arrow, tables  # noqa: PLC0415

        return arrow.to_stream(tables.write(answers))


SINGLE = (SingleJson(),)
BATCH = (BatchJson(), NdJson(), ArrowStream())
"""The formats of each operation; the first is the default."""


class MediaTypes:
    """The formats of one operation, and which of them a request asks for."""

    def __init__(self, formats: Sequence[Format]) -> None:
        self._formats = {each.media_type: each for each in formats}
        choice = [f"{each.name} with the header `Content-Type: {each.media_type}`" for each in formats]
        self._choice = ", or ".join(choice)

    def negotiate(self, headers: Iterable[tuple[bytes, bytes]]) -> tuple[Format, Format]:
        """What the body is in, and what the answer is to be in.

        Raises:
            ProblemError: 415, the body is in no format of this operation; 406, no format is acceptable.
        """
        content_type = b""
        accepted = []
        for name, value in headers:
            if name == b"content-type":
                content_type = value
            elif name == b"accept":
                accepted.append(value.decode("latin-1"))
            elif name == b"content-encoding" and value.strip().lower() != b"identity":
                raise ProblemError.of(
                    Kind.UNSUPPORTED_FORMAT, "send the body uncompressed, without Content-Encoding"
                )
        given = self._formats.get(content_type.decode("latin-1").partition(";")[0].strip().lower())
        if given is None:
            raise ProblemError.of(Kind.UNSUPPORTED_FORMAT, f"send {self._choice}")
        wanted = _acceptable(",".join(accepted), given, self._formats)
        if wanted is None:
            detail = f"ask in the header Accept for one of {', '.join(self._formats)}"
            raise ProblemError.of(Kind.NOT_ACCEPTABLE, detail)
        return given, wanted


def _acceptable(accepted: str, given: Format, formats: Mapping[str, Format]) -> Format | None:
    """What a header Accept prefers (RFC 9110, 12.5.1); where it has no preference, what was given.

    Args:
        accepted: the header; empty where there is none.
        given: the format of the request body.
        formats: by media type.
    """
    if accepted in {"", "*/*"}:
        return given
    qualities: dict[str, float] = {}
    for part in accepted.split(","):
        media_range, *parameters = [piece.strip().lower() for piece in part.split(";")]
        stated = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        qualities[media_range] = float(stated) if _QUALITY.fullmatch(stated) else 1.0
    best, highest = None, 0.0
    for each in (given, *formats.values()):
        kind = each.media_type.partition("/")[0]
        quality = qualities.get(each.media_type, qualities.get(f"{kind}/*", qualities.get("*/*", 0.0)))
        if quality > highest:
            best, highest = each, quality
    return best


_QUALITY = re.compile(r"[01](\.\d{0,3})?")


def _decoded_bytes(text: bytes) -> int:
    """About what decoding a JSON text takes in memory."""
    return VALUE_BYTES * min(json.values(text), MAX_VALUES)
