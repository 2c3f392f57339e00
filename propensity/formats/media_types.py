"""The media types of request and response bodies, and their negotiation."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial

from propensity.contract.contract import Contract
from propensity.contract.limits import (
    LARGE_BODY_BYTES,
    LARGE_ROWS,
    PREDICTION_BYTES,
    PREDICTION_COLUMN_BYTES,
    VALUE_BYTES,
)
from propensity.contract.problem import Kind, ProblemError
from propensity.formats import json, ndjson, predictions
from propensity.formats.batch import Answers, Batch, Hold, unbounded
from propensity.formats.decoder import RowDecoder
from propensity.formats.json import RowReader


class Format(ABC):
    """A media type in which rows are read and answers are written."""

    media_type: str
    name: str
    prediction_bytes: int = PREDICTION_BYTES
    """Bytes that a row of the response takes in memory, roughly."""

    is_default: bool = False
    """Whether a body without Content-Type is taken for one of this format."""

    def __init__(self, decoder: RowDecoder, reader: RowReader) -> None:
        self._decoder = decoder
        self._reader = reader
        self._contract = reader.contract

    @cached_property
    def max_bytes(self) -> int:
        """Bytes that a request body may have."""
        return self._contract.limits.body_bytes

    def is_large(self, body: bytes) -> bool:
        """Whether a request body should be handled in a thread."""
        return len(body) > LARGE_BODY_BYTES or self._rows_at_most(body) > LARGE_ROWS

    def _rows_at_most(self, body: bytes) -> int:
        """Return how many rows a text can hold: objects, or values that are none, each after a comma."""
        return max(json.count(body, b"{"), json.count(body, b",") - json.count(body, b":"))

    @abstractmethod
    def read(self, body: bytes, hold: Hold = unbounded) -> Batch:
        """Return the rows of a request body.

        Args:
            body: the body.
            hold: charged before the body is decoded.

        Raises:
            ProblemError: 400, the body is not of this format; 422, it breaks the contract as a whole.
        """

    def _may_decode(self, text: bytes, hold: Hold) -> bool:
        """Charge the memory of a JSON text's values, roughly; return whether any batch has as many."""
        count, most = json.values(text), self._contract.limits.values
        hold(VALUE_BYTES * min(count, most))
        return count <= most

    @abstractmethod
    def write(self, answers: Answers) -> bytes:
        """Return the response body.

        Raises:
            ProblemError: an answer is a problem, and the format has no place for it.
        """


class SingleJson(Format):
    """One row, answered with one prediction."""

    media_type = "application/json"
    name = "JSON"

    @cached_property
    def max_bytes(self) -> int:
        """Bytes that a request body may have."""
        return self._contract.limits.row_bytes

    def _rows_at_most(self, body: bytes) -> int:  # noqa: ARG002
        return 1

    def read(self, body: bytes, hold: Hold = unbounded) -> Batch:  # noqa: ARG002
        """Return the row."""
        body = body.removeprefix(json.BOM)
        features = self._decoder.row(body)
        if features is None:
            features = self._contract.columns.of_tuples([self._reader.read_row(body)])
        return Batch(features, {})

    def write(self, answers: Answers) -> bytes:
        """Return the prediction."""
        for problem in answers.problems.values():
            raise ProblemError(problem)
        return predictions.ENCODER.encode(predictions.documents(answers)[0])


class BatchJson(Format):
    """An object with a list of rows, answered with `{"predictions": [...], "problems": n}`."""

    media_type = "application/json"
    name = "JSON"

    def read(self, body: bytes, hold: Hold = unbounded) -> Batch:
        """Return the rows of the list."""
        may_decode = self._may_decode(body, hold)
        body = body.removeprefix(json.BOM)
        batch = self._decoder.batch(body, self._reader.parse_row, hold) if may_decode else None
        if batch is None:
            batch = Batch.of(self._reader.read_batch(body), self._contract.columns, hold)
        return batch

    def write(self, answers: Answers) -> bytes:
        """Return the predictions and problems, and the number of problems."""
        batch = {"predictions": predictions.documents(answers), "problems": len(answers.problems)}
        return predictions.ENCODER.encode(batch)


class NdJson(Format):
    """One row per line, answered with one prediction or problem per line."""

    media_type = "application/x-ndjson"
    name = "NDJSON"

    def _rows_at_most(self, body: bytes) -> int:
        return body.count(b"\n") + 1

    def read(self, body: bytes, hold: Hold = unbounded) -> Batch:
        """Return the rows; empty lines are skipped."""
        may_decode = self._may_decode(body, hold)
        body = body.removeprefix(json.BOM)
        lines = ndjson.split(body, self._contract)
        read = partial(ndjson.read_line, lines=lines, reader=self._reader)
        texts = [line for _, line in lines]
        decoded = self._decoder.lines(body, texts, read, hold) if may_decode else None
        if decoded is None:
            return Batch.of(map(read, range(len(lines))), self._contract.columns, hold)
        return decoded[0]

    def write(self, answers: Answers) -> bytes:
        """Return the predictions and problems."""
        return predictions.ENCODER.encode_lines(predictions.documents(answers))


class ArrowStream(Format):
    """An Arrow IPC stream, with a column for each field of a row or member of a prediction."""

    media_type = "application/vnd.apache.arrow.stream"
    name = "Arrow stream"
    prediction_bytes = PREDICTION_COLUMN_BYTES

    @cached_property
    def max_bytes(self) -> int:
        """Bytes that a request body may have."""
        return self._contract.limits.table_bytes

    def is_large(self, body: bytes) -> bool:  # noqa: ARG002
        """Always true: the size does not tell how many rows there are."""
        return True

    def read(self, body: bytes, hold: Hold = unbounded) -> Batch:
        """Return the rows of the stream."""
        # pyarrow is loaded with the first table: workers that get none save its memory.
        from propensity.formats import arrow, tables  # noqa: PLC0415

        return tables.read(arrow.from_stream(body, self._contract), self._contract, hold)

    def write(self, answers: Answers) -> bytes:
        """Return the predictions and problems as a stream."""
        from propensity.formats import arrow, tables  # noqa: PLC0415

        return arrow.to_stream(tables.write(answers))


def formats_of(contract: Contract) -> dict[str, tuple[Format, ...]]:
    """Return the formats of each operation, by its name."""
    readers = RowDecoder(contract), RowReader(contract)
    return {
        "predict": (SingleJson(*readers),),
        "predict_batch": (BatchJson(*readers), NdJson(*readers), ArrowStream(*readers)),
    }


class MediaTypes:
    """The formats of one operation, and their negotiation."""

    def __init__(self, formats: Sequence[Format]) -> None:
        self._formats = {each.media_type: each for each in formats}
        self._default = next((each.media_type.encode() for each in formats if each.is_default), b"")
        choice = [f"{each.name} with the header `Content-Type: {each.media_type}`" for each in formats]
        self._choice = ", or ".join(choice)

    def negotiate(self, headers: Iterable[tuple[bytes, bytes]]) -> tuple[Format, Format]:
        """Return the formats of the request body and of the response.

        Raises:
            ProblemError: 415, the operation does not take the format of the body; 406, the client accepts
                no format of the operation.
        """
        content_type = self._default
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
    """Return the format that an Accept header prefers (RFC 9110, 12.5.1), `given` if several are equal.

    Args:
        accepted: the header; empty if the request has none.
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
    for candidate in (given, *formats.values()):
        media_type = candidate.media_type
        any_subtype = f"{media_type.partition('/')[0]}/*"
        quality = qualities.get(media_type, qualities.get(any_subtype, qualities.get("*/*", 0.0)))
        if quality > highest:
            best, highest = candidate, quality
    return best


_QUALITY = re.compile(r"[01](\.\d{0,3})?")
