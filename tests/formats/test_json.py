"""The fast reader of JSON: accepts nothing that the contract does not, and reads the same numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from demonstration import BATCH, COLUMNS, CONTRACT, EXAMPLE, NULLABLE, READER
from hypothesis import example, given
from hypothesis import strategies as st
from rows import ANYTHING, NEARLY, VALID

from propensity.contract.features import Features
from propensity.contract.limits import MAX_ROWS
from propensity.formats.batch import Answers, Batch


def whole(rows: list[Any], **more: Any) -> bytes:
    return json.dumps({"applications": rows, **more}).encode()


def by_contract(body: bytes) -> Features:
    batch = Batch.of(READER.read_batch(body), CONTRACT.columns)
    assert not batch.problems
    return batch.features


@given(st.lists(VALID, min_size=1, max_size=5))
def test_what_is_valid_is_read_as_the_contract_reads_it(rows: list[Any]) -> None:
    lines = "\n".join(map(json.dumps, rows)).encode()
    for features in (READER.read_batch_fast(whole(rows)), READER.read_lines_fast(lines)):
        assert features is not None
        assert np.array_equal(features, by_contract(whole(rows)), equal_nan=True)


PIECES = b'0123456789.-+eE,:"[]{} \\nul'


@given(st.lists(NEARLY | ANYTHING, min_size=1, max_size=3), st.data())
def test_what_it_accepts_the_contract_accepts_too(rows: list[Any], data: st.DataObject) -> None:
    body = bytearray(whole(rows))
    for _ in range(data.draw(st.integers(0, 2))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.sampled_from(PIECES))
    features = READER.read_batch_fast(bytes(body))
    if features is not None:
        assert np.array_equal(features, by_contract(bytes(body)), equal_nan=True)


VALUE = b'"age": 30'


@pytest.mark.parametrize(
    "written",
    [b'"age": 30.0', b'"age": 3e1', b'"age": 300E-1', b'"\\u0061ge": 30',
     b' "age" :\t30 '],
)  # fmt: skip
def test_other_ways_to_write_the_same_are_read_the_same(written: bytes) -> None:
    body = whole([EXAMPLE]).replace(VALUE, written)
    features = READER.read_batch_fast(body)
    assert features is not None
    assert np.array_equal(features, by_contract(body))
    assert np.array_equal(features, by_contract(whole([EXAMPLE])))


@pytest.mark.parametrize(
    "written",
    [b'"age": 17', b'"age": 101', b'"age": 30.5', b'"age": "30"', b'"age": true', b'"age": null',
     b'"age": NaN', b'"age": Infinity', b'"age": 1e400', b'"age": 030', b'"age": 30,', b'"agee": 30',
     b'"age": 30, "x": 1', b'"age": 29, "age": 30',
     b'"age": [30]', b'"age": 1' + b"0" * 400, b'"home": "castle", "age": 30', b'"age": 30, "\xff": 1'],
)  # fmt: skip
def test_what_is_wrong_is_left_to_the_contract(written: bytes) -> None:
    assert READER.read_batch_fast(whole([EXAMPLE]).replace(VALUE, written)) is None


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"null", whole([]), whole([EXAMPLE], x=1), whole([EXAMPLE]) + b"x", b"\xef\xbb\xbf{}",
     b"[" * 100_000, whole([[]]), whole([EXAMPLE] * (MAX_ROWS + 1)), b'{"applications": {}}'],
)  # fmt: skip
def test_what_is_no_batch_is_left_to_the_contract(body: bytes) -> None:
    assert READER.read_batch_fast(body) is None


def test_what_may_be_missing_may_be_left_out_or_null() -> None:
    null, left_out = (
        READER.read_batch_fast(whole([row]))
        for row in (
            EXAMPLE | dict.fromkeys(NULLABLE),
            {name: value for name, value in EXAMPLE.items() if name not in NULLABLE},
        )
    )
    assert null is not None
    assert left_out is not None
    assert np.isnan(null).sum() == len(NULLABLE)
    assert np.array_equal(null, left_out, equal_nan=True)


ROW = json.dumps(EXAMPLE).encode()


@pytest.mark.parametrize("body", [ROW, ROW + b"\n", b"\n \n" + ROW + b"\r\n" + ROW + b"\n\n"])
def test_an_object_a_line_is_read_fast(body: bytes) -> None:
    features = READER.read_lines_fast(body)
    assert features is not None
    assert len(features) == body.count(b"{")


LINES = [ROW, b"\n", b"\r\n", b" ", b"\n\n", b"\r", ROW.replace(b",", b",\n", 1), ROW.replace(b"}", b"\n}")]


@given(st.lists(st.sampled_from(LINES), max_size=8))
@example([ROW, ROW])
@example([ROW, ROW, b"\n\n", ROW])
@example([ROW, b"\r", ROW])
@example([json.dumps(EXAMPLE, indent=2).encode()])
@example([LINES[-1], ROW])
def test_what_it_reads_is_an_object_a_line(parts: list[bytes]) -> None:
    body = b"".join(parts)
    features = READER.read_lines_fast(body)
    if features is not None:
        assert [line.strip() for line in body.strip().split(b"\n")] == [ROW] * len(features)


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
