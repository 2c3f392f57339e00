"""The decoder of JSON: accepts nothing that the contract does not, and reads the same numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from demonstration import BATCH, COLUMNS, CONTRACT, EXAMPLE, NULLABLE, READER, SINGLE
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rows import ANYTHING, NEARLY, VALID

from propensity.contract.features import Features
from propensity.contract.limits import MAX_ROWS
from propensity.contract.problem import Problem, ProblemError
from propensity.contract.row import Row, RowSchema
from propensity.formats import ndjson
from propensity.formats.batch import Answers, Batch
from propensity.formats.decoder import RowDecoder

DECODER = RowDecoder(CONTRACT)


def whole(rows: list[Any], **more: Any) -> bytes:
    return json.dumps({"applications": rows, **more}).encode()


def by_contract(body: bytes) -> Batch:
    return Batch.of(READER.read_batch(body), CONTRACT.columns)


def lines_by_contract(body: bytes) -> Batch:
    lines = ndjson.split(body, CONTRACT)
    rows = (ndjson.read_line(place, lines, READER) for place in range(len(lines)))
    return Batch.of(rows, CONTRACT.columns)


def row_by_contract(body: bytes) -> Batch:
    return Batch(CONTRACT.columns.of_tuples([READER.read_row(body)]), {})


Outcome = tuple[list[list[float]], dict[int, Problem]] | Problem


def outcome(read: Callable[[bytes], Batch], body: bytes) -> Outcome:
    """What a body is read as, with NaN as text, which unlike NaN equals itself."""
    try:
        batch = read(body)
    except ProblemError as error:
        return error.problem
    return np.nan_to_num(batch.features, nan=-1.5).tolist(), batch.problems


def unread(*_: object) -> Row:
    raise AssertionError("a row was read strictly")


def decoded(row: bytes) -> Features | None:
    """The features that are decoded of a row, as one and as one of a batch."""
    alone = DECODER.row(row)
    try:
        batch = DECODER.batch(b'{"applications": [%b]}' % row, unread)
    except AssertionError:
        batch = None
    together = None if batch is None or batch.problems else batch.features
    assert (alone is None) == (together is None)
    if alone is not None and together is not None:
        assert np.array_equal(alone, together, equal_nan=True)
    return alone


@given(st.lists(VALID, min_size=1, max_size=5))
def test_what_is_valid_is_decoded_as_the_contract_reads_it(rows: list[Any]) -> None:
    expected = by_contract(whole(rows)).features
    batch = DECODER.batch(whole(rows), unread)
    texts = [json.dumps(row).encode() for row in rows]
    lines = DECODER.lines(b"".join(texts), texts, unread)
    assert batch is not None
    assert lines is not None
    for features in (batch.features, lines[0].features, np.concatenate([*map(DECODER.row, texts)])):
        assert np.array_equal(features, expected, equal_nan=True)


PIECES = [*(bytes([piece]) for piece in b'0123456789.-+eE,:"[]{} \\nul'), b"NaN", b"-Infinity", b"\\ud800",
          b'"age": 30, ', b'"x": {"a": [1]}, ', b"\n", b"\xff", b"\0", b"null", b"true", b'"', b"1e400",
          b"[" * 197, b"]" * 197, b'\\u003a', b'"owner"', b'"a:b"', b"}, {", b"-0.0",
          b"30.0", b"2.5"]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, rows: st.SearchStrategy[list[Any]], form: Callable[[list[Any]], bytes]) -> bytes:
    """A body of rows in which some bytes are replaced."""
    body = bytearray(form(draw(rows)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(body)))
        body[place : place + draw(st.integers(0, 8))] = draw(st.sampled_from(PIECES))
    return bytes(body)


ROWS = st.lists(VALID | NEARLY | ANYTHING, min_size=1, max_size=4)


def as_lines(rows: list[Any]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


@settings(max_examples=200)
@given(mutated(ROWS, whole))
def test_a_batch_is_read_as_the_contract_reads_it(body: bytes) -> None:
    assert outcome(BATCH[0].read, body) == outcome(by_contract, body)


@settings(max_examples=200)
@given(mutated(ROWS, as_lines))
def test_lines_are_read_as_the_contract_reads_them(body: bytes) -> None:
    assert outcome(BATCH[1].read, body) == outcome(lines_by_contract, body)


@settings(max_examples=200)
@given(mutated(ROWS, lambda rows: json.dumps(rows[0]).encode()))
def test_a_row_is_read_as_the_contract_reads_it(body: bytes) -> None:
    assert outcome(SINGLE[0].read, body) == outcome(row_by_contract, body)


AGE = b'"age": 30'
ROW = json.dumps(EXAMPLE).encode()


@pytest.mark.parametrize(
    "written",
    [b'"age": 30.0', b'"age": 3e1', b'"age": 300E-1', b'"\\u0061ge": 30',
     b' "age" :\t30 '],
)  # fmt: skip
def test_other_ways_to_write_the_same_are_decoded_the_same(written: bytes) -> None:
    features = decoded(ROW.replace(AGE, written))
    assert features is not None
    assert np.array_equal(features, CONTRACT.encode([EXAMPLE]))


@pytest.mark.parametrize(
    "written",
    [b'"age": 17', b'"age": 101', b'"age": 30.5', b'"age": "30"', b'"age": true', b'"age": null',
     b'"age": NaN', b'"age": Infinity', b'"age": 1e400', b'"age": 030', b'"age": 30,', b'"agee": 30',
     b'"age": 30, "x": 1', b'"age": 29, "age": 30', b'"income": 29, "age": 30',
     b'"age": [30]', b'"age": 1' + b"0" * 400, b'"home": "castle", "age": 30', b'"age": 30, "\xff": 1'],
)  # fmt: skip
def test_what_is_wrong_is_left_to_the_contract(written: bytes) -> None:
    assert decoded(ROW.replace(AGE, written)) is None


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"null", whole([]), whole([EXAMPLE], x=1), whole([EXAMPLE]) + b"x", b"\xef\xbb\xbf{}",
     b"[" * 100_000, whole([EXAMPLE] * (MAX_ROWS + 1)), b'{"applications": {}}',
     whole([EXAMPLE])[:-1] + b', "applications": []}',
     whole([EXAMPLE]).replace(AGE, b'"age": 30, "age": 30')],
)  # fmt: skip
def test_what_is_no_batch_is_left_to_the_contract_as_a_whole(body: bytes) -> None:
    assert DECODER.batch(body, READER.parse_row) is None


@pytest.mark.parametrize(
    "change",
    [{"age": 17}, {"age": 30.5}, {"age": "30"}, {"age": None}, {"age": [30]}, {"age": True},
     {"age": math.nan}, {"age": -math.inf},
     {"home": "castle"}, {"home": "NaN"}, {"home": 3}, {"x": {"y": [1]}}, {"x": "a:b"}],
    ids=str,
)  # fmt: skip
def test_only_the_rows_that_are_wrong_are_read_strictly(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {1, 7, 19}
    rows = [EXAMPLE | change if place in wrong else EXAMPLE for place in range(20)]
    expected = outcome(by_contract, whole(rows))
    strictly = []
    read = RowSchema.read

    def counted(schema: RowSchema, row: object, number: int | None = None) -> Row:
        strictly.append(number)
        return read(schema, row, number)

    monkeypatch.setattr(RowSchema, "read", counted)
    for form, body in ((BATCH[0], whole(rows)), (BATCH[1], as_lines(rows))):
        assert outcome(form.read, body) == expected
        assert strictly == sorted(wrong)
        strictly.clear()


def test_what_may_be_missing_may_be_left_out_or_null() -> None:
    null, left_out = (
        decoded(json.dumps(row).encode())
        for row in (
            EXAMPLE | dict.fromkeys(NULLABLE),
            {name: value for name, value in EXAMPLE.items() if name not in NULLABLE},
        )
    )
    assert null is not None
    assert left_out is not None
    assert np.isnan(null).sum() == len(NULLABLE)
    assert np.array_equal(null, left_out, equal_nan=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.floats(0, 1, exclude_min=True, exclude_max=True))
@example([5e-324, 1e-7, 1e-5, 9.999e-5, 1e-4, 0.0, 1.0], 0.5)
@example([0.2], 5e-5)
def test_numbers_are_written_as_python_writes_them(propensities: list[float], threshold: float) -> None:
    batch = Batch(np.empty((len(propensities), len(COLUMNS))), {})
    answers = Answers.of(batch, np.array(propensities), threshold, "propensity:model", CONTRACT)
    body = BATCH[0].write(answers)
    rows = [
        {
            "propensity": propensity,
            "decision": "decline" if propensity >= threshold else "approve",
            "threshold": threshold,
            "model": "propensity:model",
        }
        for propensity in propensities
    ]
    assert body == json.dumps({"predictions": rows, "problems": 0}, separators=(",", ":")).encode()
