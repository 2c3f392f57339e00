"""The contract: bounds, categories and missing values are enforced, and a refusal says what is wrong."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from demonstration import BATCH, BOUNDS, CATEGORIES, EXAMPLE, FEATURES, NULLABLE, READER, named
from hypothesis import given
from hypothesis import strategies as st
from rows import ANYTHING, NEARLY, VALID

from propensity.contract.features import Values
from propensity.contract.limits import MAX_ROWS
from propensity.contract.problem import Problem, ProblemError


def read(**changes: object) -> dict[str, Any]:
    """The example with some fields changed, read from JSON as a request is."""
    return named(READER.read_row(json.dumps(EXAMPLE | changes).encode()))


def refused(**changes: object) -> Problem:
    with pytest.raises(ProblemError) as caught:
        read(**changes)
    return caught.value.problem


def details(problem: Problem) -> dict[str | None, str]:
    return {error.field: error.detail for error in problem.errors or []}


def test_the_example_is_valid_and_keeps_its_values() -> None:
    assert read() == EXAMPLE


@pytest.mark.parametrize("field", BOUNDS)
def test_bounds_are_inclusive_and_enforced(field: str) -> None:
    lowest, highest = BOUNDS[field]
    assert read(**{field: lowest})[field] == lowest
    assert read(**{field: highest})[field] == highest
    assert details(refused(**{field: lowest - 1})) == {field: f"must be at least {lowest}"}
    assert details(refused(**{field: highest + 1})) == {field: f"must be at most {highest}"}


@pytest.mark.parametrize("field", BOUNDS)
@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (20.5, "must be a whole number"),
        (20.000000001, "must be a whole number"),
        ("20", "must be a finite number"),
        (True, "must be a finite number"),
        ([20], "must be a finite number"),
        (math.nan, "must be a finite number; send null for a missing value where the field allows it"),
        (10**400, "must be a finite number"),
        (math.inf, "must be a finite number; send null for a missing value where the field allows it"),
        (-math.inf, "must be a finite number; send null for a missing value where the field allows it"),
    ],
)
def test_what_is_no_whole_number_is_refused(field: str, value: object, detail: str) -> None:
    assert details(refused(**{field: value})) == {field: detail}


def test_next_to_nothing_is_not_zero() -> None:
    assert details(refused(debt=2.5e-42)) == {"debt": "must be a whole number"}


@pytest.mark.parametrize("field", BOUNDS)
def test_a_whole_number_may_be_written_with_a_point(field: str) -> None:
    assert read(**{field: 20.0})[field] == 20


@pytest.mark.parametrize("field", CATEGORIES)
def test_each_category_is_accepted(field: str) -> None:
    for category in CATEGORIES[field]:
        assert read(**{field: category})[field] == category


@pytest.mark.parametrize("field", CATEGORIES)
@pytest.mark.parametrize("value", ["", "OWNER", "Yes", " no", 0, True])
def test_categories_are_closed(field: str, value: object) -> None:
    (detail,) = details(refused(**{field: value})).values()
    assert detail.startswith("must be one of '")
    assert all(f"'{category}'" in detail for category in CATEGORIES[field])


@pytest.mark.parametrize("field", sorted(NULLABLE))
def test_a_missing_value_is_null_or_left_out(field: str) -> None:
    without = {name: value for name, value in EXAMPLE.items() if name != field}
    assert read(**{field: None})[field] is None
    assert named(READER.read_row(json.dumps(without).encode()))[field] is None


@pytest.mark.parametrize("field", sorted(set(FEATURES) - NULLABLE))
def test_a_required_value_is_neither_null_nor_left_out(field: str) -> None:
    without = {name: value for name, value in EXAMPLE.items() if name != field}
    assert list(details(refused(**{field: None}))) == [field]
    with pytest.raises(ProblemError) as caught:
        READER.read_row(json.dumps(without).encode())
    assert details(caught.value.problem) == {field: "is required and missing"}


@pytest.mark.parametrize("field", ["propensity", "Age", "age ", "", "a/b~c"])
def test_unknown_fields_are_refused_by_name(field: str) -> None:
    problem = refused(**{field: 1})
    assert problem.status == 422
    assert details(problem) == {field: "is not a field of this API; check its spelling, or leave it out"}


def test_pointers_escape_what_rfc_6901_escapes() -> None:
    assert [error.pointer for error in refused(**{"a/b~c": 1}).errors or []] == ["/a~1b~0c"]


def test_every_field_at_fault_is_named_at_once() -> None:
    problem = refused(age=17, home="castle", income=-1)
    assert details(problem).keys() == {"age", "home", "income"}
    assert problem.detail == "the body is not valid: home, age, income; see errors"


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    assert "castle-4711" not in refused(home="castle-4711").model_dump_json()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{'age': 1}", b'{"age": 1,}', b"\xff", b'{"home": "\\ud800"}', b"[" * 10_000,
     b'{"a":' * 10_000, b'{"age": 1' + b"0" * 5_000 + b"}", b"\xef\xbb\xbf{}", "{}".encode("utf-16"),
     b'{"age": 1} {}', b"{}\0"],
)  # fmt: skip
def test_what_is_not_json_is_a_bad_request(body: bytes) -> None:
    for read_body in (READER.read_row, READER.read_batch):
        with pytest.raises(ProblemError, match="the body is not JSON") as caught:
            read_body(body)
        assert caught.value.problem.status == 400


@pytest.mark.parametrize("body", [b"1", b"null", b'"x"', b"[]", b"NaN"])
def test_json_that_is_no_object_is_unprocessable(body: bytes) -> None:
    for read_body in (READER.read_row, READER.read_batch):
        with pytest.raises(ProblemError) as caught:
            read_body(body)
        assert caught.value.problem.status == 422


def batch(*rows: object, **more: object) -> bytes:
    return json.dumps({"applications": rows, **more}).encode()


def test_rows_that_are_not_valid_become_problems_in_their_place() -> None:
    body = batch(EXAMPLE, EXAMPLE | {"age": 17}, EXAMPLE | {"age": 44}, 7, EXAMPLE | {"x": math.nan})
    rows = [*READER.read_batch(body)]
    assert [type(row) for row in rows] == [tuple, Problem, tuple, Problem, Problem]
    assert named(rows[2])["age"] == 44
    assert isinstance(rows[1], Problem)
    assert rows[1].model_dump(exclude_none=True) == {
        "type": "../problems#invalid-row",
        "title": "Not a valid row",
        "status": 422,
        "detail": "application 1 is not valid: age; see errors",
        "errors": [
            {"pointer": "/applications/1/age", "field": "age", "row": 1, "detail": "must be at least 18"}
        ],
    }


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (batch(), "must hold at least 1 application"),
        (batch(*[EXAMPLE] * (MAX_ROWS + 1)), "must hold at most 10,000 applications; split the batch"),
        (batch(EXAMPLE, threshold=0.5), "is not a field of this API; check its spelling, or leave it out"),
        (b"{}", "is required and missing"),
        (b'{"applications": {"0": {}}}', "must be an array"),
    ],
)
def test_a_batch_that_is_none_is_refused_whole(body: bytes, detail: str) -> None:
    with pytest.raises(ProblemError) as caught:
        READER.read_batch(body)
    assert caught.value.problem.status == 422
    assert [error.detail for error in caught.value.problem.errors or []] == [detail]


def test_a_flood_of_unknown_fields_gets_a_short_answer() -> None:
    flood = dict.fromkeys(map(str, range(100_000)), 1)
    (row,) = READER.read_batch(batch(flood))
    assert isinstance(row, Problem)
    assert row.detail == "application 0 has 100,000 fields; an application has 13"
    with pytest.raises(ProblemError, match="the body has 100,000 fields; an application has 13"):
        READER.read_row(json.dumps(flood).encode())


def test_the_name_of_an_unknown_field_is_repeated_in_part() -> None:
    (row,) = READER.read_batch(batch(EXAMPLE | {"x" * 1_000_000: 1}))
    assert isinstance(row, Problem)
    assert len(row.model_dump_json()) < 1_000


@pytest.mark.parametrize(
    "body",
    [
        batch(*[{}] * 300_000),
        b'{"applications": [' + b"1," * 300_000 + b"1]}",
        b"[[" * 150_000,
        batch(*[[]] * 300_000),
    ],
)
def test_more_values_than_any_batch_has_are_refused_before_they_take_memory(body: bytes) -> None:
    for read_body in (READER.read_row, READER.read_batch):
        with pytest.raises(ProblemError, match="holds more values than 10,000 applications have") as caught:
            read_body(body)
        assert caught.value.problem.status == 422


@pytest.mark.parametrize(
    "application",
    [
        json.dumps(EXAMPLE).replace('"age": 30', '"age": 30, "age": 30'),
        json.dumps(EXAMPLE).replace('"age": 30', '"age": 99, "\\u0061ge": 30'),
        json.dumps(EXAMPLE).replace('"income": 129', '"income": null, "income": 129'),
        json.dumps(EXAMPLE)
        .replace('"income": 129', '"income": null, "income": null')
        .replace('"debt": 0, ', ""),
    ],
)
def test_a_name_that_stands_twice_is_refused(application: str) -> None:
    """JSON readers differ in which value they take, and a decision must not depend on that."""
    with pytest.raises(ProblemError, match="a name stands twice in an object, at line 1 column") as caught:
        READER.read_row(application.encode())
    assert caught.value.problem.status == 400
    for form, body in (
        (BATCH[0], f'{{"applications": [{json.dumps(EXAMPLE)}, {application}]}}'),
        (BATCH[1], application),
    ):
        try:
            (*_, last) = form.read(body.encode()).problems.values()
        except ProblemError as error:
            last = error.problem
        assert last.status == 400
        assert "a name stands twice" in last.detail


def test_the_largest_batch_is_read() -> None:
    assert len([*READER.read_batch(batch(*[EXAMPLE] * MAX_ROWS))]) == MAX_ROWS


@given(VALID)
def test_every_row_within_bounds_is_read_as_it_is(application: dict[str, Any]) -> None:
    assert named(READER.read_row(json.dumps(application).encode())) == application


@given(st.lists(NEARLY | ANYTHING, min_size=1, max_size=6))
def test_a_batch_answers_each_row_as_if_it_were_alone(rows: list[Any]) -> None:
    def alone(row: object) -> Values | None:
        try:
            return READER.read_row(json.dumps(row).encode())
        except ProblemError as error:
            assert error.problem.status in {400, 422}
            return None

    try:
        read_rows = READER.read_batch(batch(*rows))
    except ProblemError as error:
        # Only a body that is not JSON, such as one with a lone surrogate, is refused as a whole.
        assert error.problem.status == 400
        return
    assert [None if isinstance(row, Problem) else row for row in read_rows] == [alone(row) for row in rows]
