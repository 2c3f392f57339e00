"""The formats of bodies: the same contract and the same answers in each."""

from __future__ import annotations

import io
import json
import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bodies import ARROW, JSON, NDJSON, body, stream
from conftest import AUTHORIZED
from demonstration import CATEGORIES, EXAMPLE, FEATURES, NULLABLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rows import VALID
from starlette.testclient import TestClient

from propensity.contract.limits import MAX_ROWS, MAX_TABLE_ROWS
from propensity.contract.problem import Problem


def post(client: TestClient, content: bytes, media_type: str, **headers: str) -> Any:
    sent = AUTHORIZED | {"Content-Type": media_type} | headers
    return client.post("/v1/predict_batch", content=content, headers=sent)


def outcomes(answer: Any) -> list[Any]:
    """The answers in a response of any format, as they are in JSON."""
    assert answer.status_code == 200, answer.text
    media_type = answer.headers["content-type"]
    if media_type == JSON:
        assert answer.json()["problems"] == sum("status" in row for row in answer.json()["predictions"])
        predictions: list[Any] = answer.json()["predictions"]
        return predictions
    if media_type == NDJSON:
        return [json.loads(line) for line in answer.text.splitlines()]
    table = pa.ipc.open_stream(answer.content).read_all()
    return [
        json.loads(row["problem"])
        if row["problem"]
        else {name: value for name, value in row.items() if name != "problem"}
        for row in table.to_pylist()
    ]


def refusal(answer: Any, status: int) -> Problem:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return Problem.model_validate_json(answer.content)


ROWS = [
    EXAMPLE,
    EXAMPLE | {"age": 17},
    EXAMPLE | {"income": None, "home": None},
    EXAMPLE | {"home": "castle", "time": 2.5},
    EXAMPLE | {"records": None},
    EXAMPLE | {"debt": 11_000_000, "price": -1},
]


@pytest.mark.parametrize("media_type", [JSON, NDJSON, ARROW])
@pytest.mark.parametrize("accepted", [JSON, NDJSON, ARROW])
def test_every_format_in_and_out_gives_the_same_outcomes(
    client: TestClient, media_type: str, accepted: str
) -> None:
    expected = outcomes(post(client, body(ROWS, JSON), JSON))
    assert [row.get("status") for row in expected] == [None, 422, None, 422, 422, 422]
    answer = post(client, body(ROWS, media_type), media_type, Accept=accepted)
    assert answer.headers["content-type"] == accepted
    assert outcomes(answer) == expected


@pytest.mark.parametrize("media_type", [NDJSON, ARROW])
def test_the_answer_comes_in_the_format_of_the_request(client: TestClient, media_type: str) -> None:
    answer = post(client, body(ROWS, media_type), media_type)
    assert answer.headers["content-type"] == media_type


@pytest.mark.parametrize("media_type", [NDJSON, ARROW])
def test_the_whole_hold_out_set_is_predicted_alike(
    client: TestClient, holdout: list[dict[str, Any]], media_type: str
) -> None:
    rows = [row["application"] for row in holdout]
    assert outcomes(post(client, body(rows, media_type), media_type)) == outcomes(
        post(client, body(rows, JSON), JSON)
    )


NEAR_BOUNDS = st.builds(
    lambda row, changes: row | changes,
    VALID,
    st.fixed_dictionaries(
        {},
        optional={name: st.none() | st.sampled_from([*CATEGORIES[name], "castle", ""]) for name in CATEGORIES}
        | {
            name: st.none() | st.integers(-1, 2**53) | st.floats(0, 200).map(lambda value: round(value, 2))
            for name in FEATURES
            if name not in CATEGORIES
        },
    ),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(NEAR_BOUNDS, min_size=1, max_size=5))
def test_a_table_gets_the_outcomes_that_json_gets(client: TestClient, rows: list[Any]) -> None:
    numbers = [name for name in FEATURES if name not in CATEGORIES]
    columns = {
        name: pa.array([row.get(name) for row in rows], pa.float64() if name in numbers else pa.string())
        for name in FEATURES
    }
    # JSON leaves nullable fields out or null; a table has null.
    same = [{name: row.get(name) for name in FEATURES} for row in rows]
    expected = outcomes(post(client, body(same, JSON), JSON))
    assert outcomes(post(client, stream(pa.table(columns)), ARROW)) == expected


def example_table(rows: int = 1, **columns: pa.Array) -> pa.Table:
    return pa.table({name: pa.array([value] * rows) for name, value in EXAMPLE.items()} | columns)


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.int32(), pa.float16(), pa.float32()])
def test_any_width_of_number_is_read(client: TestClient, kind: pa.DataType) -> None:
    table = example_table(2, age=pa.array(np.array([44, 17]), pa.int64()).cast(kind, safe=False))
    found = outcomes(post(client, stream(table), ARROW))
    assert found[0] == outcomes(post(client, body([EXAMPLE | {"age": 44}], JSON), JSON))[0]
    assert found[1]["errors"][0]["detail"] == "must be at least 18"


@pytest.mark.parametrize(
    "home",
    [
        pa.array(["owner", None, "castle"]).dictionary_encode(),
        pa.array(["owner", None, "castle"], pa.large_string()),
        pa.array(["owner", None, "castle"], pa.large_string()).dictionary_encode(),
        pa.array(["owner", None, "castle"], pa.string_view()),
        *(
            pa.DictionaryArray.from_arrays(pa.array([0, None, 1], index), pa.array(["owner", "castle"], kind))
            for index, kind in ((pa.uint32(), pa.string_view()), (pa.uint8(), pa.large_string()))
        ),
    ],
    ids=["dictionary", "large", "large dictionary", "view", "categorical", "enum"],
)
def test_any_kind_of_text_is_read(client: TestClient, home: pa.Array) -> None:
    found = outcomes(post(client, stream(example_table(3, home=home)), ARROW))
    rows = [EXAMPLE | {"home": value} for value in ("owner", None, "castle")]
    assert found == outcomes(post(client, body(rows, JSON), JSON))


@pytest.mark.parametrize(
    "kind",
    [pa.decimal32(5, 0), pa.decimal64(12, 2), pa.decimal128(38, 9), pa.decimal256(76, 0)],
    ids=str,
)
def test_decimals_are_read(client: TestClient, kind: pa.DataType) -> None:
    ages = pa.array([Decimal(44), Decimal(17)], kind)
    for column in (ages, pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), ages)):
        found = outcomes(post(client, stream(example_table(2, age=column)), ARROW))
        assert found[0] == outcomes(post(client, body([EXAMPLE | {"age": 44}], JSON), JSON))[0]
        assert found[1]["errors"][0]["detail"] == "must be at least 18"
    parts = example_table(1, age=pa.array([Decimal("30.5")], pa.decimal128(10, 1)))
    (found,) = outcomes(post(client, stream(parts), ARROW))
    assert found["errors"][0]["detail"] == "must be a whole number"


def test_what_is_no_stream_is_called_by_its_name(client: TestClient) -> None:
    table = example_table()
    file = io.BytesIO()
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    for content, name in (
        (file.getvalue(), "an Arrow file (Feather)"),
        (b"FEA1" + bytes(100), "a Feather file"),
        (b"PAR1" + bytes(100) + b"PAR1", "a Parquet file"),
    ):
        found = refusal(post(client, content, ARROW), 400)
        assert found.detail == (
            f"the body is {name}, not an Arrow stream; write a stream: pyarrow.ipc.new_stream, or"
            " write_ipc_stream of Polars"
        )


def test_views_of_one_long_text_are_not_looked_at_one_by_one(client: TestClient) -> None:
    """Written out they would be 12 GB; a view takes 16 bytes."""
    text = pa.py_buffer(b"castle" * 100_000)
    view = struct.pack("<i4sii", len(text), b"cast", 0, 0)
    homes = pa.Array.from_buffers(pa.string_view(), 20_000, [None, pa.py_buffer(view * 20_000), text])
    for column in (homes, pa.DictionaryArray.from_arrays(np.zeros(20_000, np.int8), homes)):
        found = refusal(post(client, stream(example_table(20_000, home=column)), ARROW), 413)
        assert found.detail == "the texts of the table are longer than 33,554,432 bytes; split the batch"


def test_columns_that_may_be_missing_may_be_left_out_or_null(client: TestClient) -> None:
    expected = outcomes(post(client, body([EXAMPLE | dict.fromkeys(NULLABLE)], JSON), JSON))
    without = example_table().drop_columns(sorted(NULLABLE))
    assert outcomes(post(client, stream(without), ARROW)) == expected
    nulls = example_table(**{name: pa.nulls(1) for name in NULLABLE})
    assert outcomes(post(client, stream(nulls), ARROW)) == expected


def test_nan_in_a_table_is_no_missing_value(client: TestClient) -> None:
    table = example_table(2, income=pa.array([float("nan"), None], pa.float64()))
    nan, missing = outcomes(post(client, stream(table), ARROW))
    assert nan["errors"][0]["detail"] == (
        "must be a finite number; send null for a missing value where the field allows it"
    )
    assert 0 < missing["propensity"] < 1


@pytest.mark.parametrize(
    ("table", "errors"),
    [
        (example_table().drop_columns(["age"]), {"age": "is required and missing"}),
        (
            example_table(agee=pa.array([1])),
            {"agee": "is not a field of this API; check its spelling, or leave it out"},
        ),
        (
            example_table(age=pa.array(["30"]), home=pa.array([1])),
            {
                "home": "must be a column of strings or a dictionary of strings, not int64",
                "age": "must be a column of integers, floats or decimals, not string",
            },
        ),
        (
            example_table(age=pa.array([True])),
            {"age": "must be a column of integers, floats or decimals, not bool"},
        ),
        (
            example_table(age=pa.array([[30]])),
            {"age": "must be a column of integers, floats or decimals, not list"},
        ),
    ],
    ids=["missing", "unknown", "swapped kinds", "boolean", "nested"],
)
def test_columns_that_are_wrong_are_named(client: TestClient, table: pa.Table, errors: Any) -> None:
    found = refusal(post(client, stream(table), ARROW), 422).errors or []
    assert {error.field: error.detail[: len(errors[error.field])] for error in found} == errors


def test_a_column_that_is_there_twice_is_refused(client: TestClient) -> None:
    table = example_table().append_column("age", pa.array([31]))
    (error,) = refusal(post(client, stream(table), ARROW), 422).errors or []
    assert (error.field, error.detail) == ("age", "is there more than once")


def test_row_limits(client: TestClient) -> None:
    largest = stream(example_table(MAX_TABLE_ROWS))
    answer = post(client, largest, ARROW)
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.num_rows == MAX_TABLE_ROWS
    assert table["problem"].null_count == MAX_TABLE_ROWS
    for rows, words in ((MAX_TABLE_ROWS + 1, "at most 100,000"), (0, "at least 1")):
        content = stream(example_table(MAX_TABLE_ROWS + 1).slice(0, rows))
        assert words in refusal(post(client, content, ARROW), 422).detail
    lines = json.dumps(EXAMPLE).encode() + b"\n"
    assert "at most 10,000" in refusal(post(client, lines * (MAX_ROWS + 1), NDJSON), 422).detail
    assert "at least 1" in refusal(post(client, b"\n \n", NDJSON), 422).detail


def test_lines_that_are_not_json_cost_the_others_nothing(client: TestClient) -> None:
    lines = [json.dumps(EXAMPLE), "{", "", json.dumps(EXAMPLE | {"age": 1}), "[]"]
    found = outcomes(post(client, "\r\n".join(lines).encode(), NDJSON))
    assert [row.get("status", 200) for row in found] == [200, 400, 422, 422]
    assert found[1]["detail"].startswith("application 1 is not JSON")
    assert found[2]["errors"][0]["row"] == 2


def test_a_byte_order_mark_is_passed_over(client: TestClient) -> None:
    mark = b"\xef\xbb\xbf"
    expected = outcomes(post(client, body(ROWS, JSON), JSON))
    for rows in (ROWS, [EXAMPLE] * 2):
        for media_type in (JSON, NDJSON):
            answer = post(client, mark + body(rows, media_type), media_type)
            assert outcomes(answer) == (expected if rows is ROWS else expected[:1] * 2)
    for row in (EXAMPLE, EXAMPLE | {"age": 17}):
        whole = json.dumps(row).encode()
        plain, marked = (
            client.post("/v1/predict", content=content, headers=AUTHORIZED | {"Content-Type": JSON})
            for content in (whole, mark + whole)
        )
        assert (marked.status_code, marked.content) == (plain.status_code, plain.content)


def test_utf_16_is_named(client: TestClient) -> None:
    content = json.dumps({"applications": [EXAMPLE]}).encode("utf-16")
    found = refusal(post(client, content, JSON), 400)
    assert found.detail == "the body is not JSON: it is UTF-16; send UTF-8"


VALID_ROW, INVALID_ROW = json.dumps(EXAMPLE), json.dumps(EXAMPLE | {"age": 17})
PRETTY, PRETTY_INVALID = (json.dumps(json.loads(row), indent=2) for row in (VALID_ROW, INVALID_ROW))
JQ = "NDJSON has one application a line, as `jq -c .` writes it"
ARRAY = "NDJSON has one application a line, as `jq -c '.[]'` writes it"
FRAMES = [
    ([VALID_ROW * 3], f"line 1 holds more than one application; {JQ}"),
    ([VALID_ROW * 2 + INVALID_ROW], f"line 1 holds more than one application; {JQ}"),
    (["", VALID_ROW, f"{INVALID_ROW} {VALID_ROW}"], f"line 3 holds more than one application; {JQ}"),
    ([f"{VALID_ROW}\r{VALID_ROW}"], f"line 1 holds more than one application; {JQ}"),
    ([PRETTY] * 3, f"line 1 holds only the beginning of an application; {JQ}"),
    ([PRETTY, PRETTY_INVALID], f"line 1 holds only the beginning of an application; {JQ}"),
    ([INVALID_ROW, PRETTY], f"line 2 holds only the beginning of an application; {JQ}"),
    ([json.dumps([EXAMPLE, EXAMPLE])], f"line 1 holds an array of applications; {ARRAY}"),
    (["[", f"{VALID_ROW},", VALID_ROW, "]"], f"line 1 begins an array; {ARRAY}"),
]


@pytest.mark.parametrize(("lines", "detail"), FRAMES)
def test_lines_that_are_no_applications_are_refused_whatever_they_hold(
    client: TestClient, lines: list[str], detail: str
) -> None:
    assert refusal(post(client, "\n".join(lines).encode(), NDJSON), 400).detail == detail


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\n\n", " \n", "\n \t\r\n"])
def test_how_lines_end_changes_nothing(client: TestClient, ends: str) -> None:
    for rows in ([VALID_ROW] * 3, [VALID_ROW, INVALID_ROW, VALID_ROW]):
        expected = outcomes(post(client, "\n".join(rows).encode(), NDJSON))
        for content in (ends.join(rows), "".join(row + ends for row in rows)):
            assert outcomes(post(client, content.encode(), NDJSON)) == expected
        # Python's `splitlines` splits here, NDJSON does not.
        named = [row.replace('"rent"', '"r\u2028\x85nt"') for row in rows]
        assert len(outcomes(post(client, "\n".join(named).encode(), NDJSON))) == 3


def test_what_could_unpack_to_any_size_is_not_unpacked(client: TestClient) -> None:
    table = example_table(1_000)
    for compression in ("lz4", "zstd"):
        found = refusal(post(client, stream(table, compression=compression), ARROW), 415)
        assert found.detail == "send the Arrow stream without compressing its buffers"
    dictionaries = example_table(home=pa.array(["owner"]).dictionary_encode())
    assert refusal(post(client, stream(dictionaries, compression="zstd"), ARROW), 415)


def test_a_long_text_that_each_row_repeats_is_kept_once(client: TestClient) -> None:
    """Written out for each row, it would be 100 GB."""
    castle = pa.DictionaryArray.from_arrays(np.zeros(20_000, np.int8), pa.array(["castle" * 1_000_000]))
    answer = post(client, stream(example_table(20_000, home=castle)), ARROW)
    problems = pa.ipc.open_stream(answer.content).read_all()["problem"]
    assert problems.null_count == 0
    assert len(problems[19_999].as_py()) < 500


def viewed() -> bytes:
    """A stream as Polars writes it by default."""
    table = example_table(3)
    for name in CATEGORIES:
        column = table[name].cast(pa.string_view())
        table = table.set_column(table.column_names.index(name), name, column)
    return stream(table)


def broken(good: bytes) -> list[bytes]:
    cut = [good[:place] for place in range(0, len(good), 97)]
    flipped = []
    random = np.random.default_rng(3)
    for _ in range(150):
        changed = bytearray(good)
        for place in random.integers(len(good), size=3):
            changed[place] = random.integers(256)
        flipped.append(bytes(changed))
    return [b"", b"{}", b"ARROW1", b"PAR1", *cut, *flipped]


@pytest.mark.parametrize("good", [body([EXAMPLE] * 3, ARROW), viewed()], ids=["stream", "stream of views"])
def test_what_is_no_table_is_refused_and_nothing_falls_over(client: TestClient, good: bytes) -> None:
    statuses = {post(client, content, ARROW).status_code for content in broken(good)}
    assert 400 in statuses
    assert statuses <= {200, 400, 413, 415, 422}
    assert post(client, good, ARROW).status_code == 200


def test_a_flood_of_record_batches_is_refused(client: TestClient) -> None:
    table = example_table()
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for _ in range(1_001):
            writer.write_table(table)
    found = refusal(post(client, sink.getvalue(), ARROW), 422)
    assert found.detail == "the stream must hold at most 1,000 record batches"


def test_record_batches_with_dictionaries_of_their_own_are_read(client: TestClient) -> None:
    homes = (["owner", "rent"], ["priv", None], ["castle", "owner"])
    parts = [example_table(2, home=pa.array(home).dictionary_encode()) for home in homes]
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, parts[0].schema) as writer:
        for part in parts:
            writer.write_table(part)
    rows = [EXAMPLE | {"home": home} for pair in homes for home in pair]
    assert outcomes(post(client, sink.getvalue(), ARROW)) == outcomes(post(client, body(rows, JSON), JSON))


def test_null_in_a_dictionary_is_a_missing_value(client: TestClient) -> None:
    home = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2], pa.int8()), ["owner", None, "castle"])
    rows = [EXAMPLE | {"home": value} for value in ("owner", None, None, "castle")]
    found = outcomes(post(client, stream(example_table(4, home=home)), ARROW))
    assert found == outcomes(post(client, body(rows, JSON), JSON))


def test_a_flood_of_columns_gets_a_short_answer(client: TestClient) -> None:
    table = example_table(**{f"x{number}": pa.array([1]) for number in range(2_000)})
    answer = post(client, stream(table), ARROW)
    assert refusal(answer, 422).detail == "the table is not valid: 2,000 columns are wrong"
    assert len(answer.content) < 300


def test_offsets_that_lead_out_of_a_stream_are_refused(client: TestClient) -> None:
    good = stream(example_table(3))
    offsets = struct.pack("<4i", 0, 4, 8, 12)
    assert offsets in good
    wild = good.replace(offsets, struct.pack("<4i", 0, 4, 8, 2**30))
    assert "is not an Arrow stream" in refusal(post(client, wild, ARROW), 400).detail


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", NDJSON),
        ("application/*", NDJSON),
        (f"{JSON}, {ARROW};q=0.5", JSON),
        (f"{JSON};q=0.4, {ARROW};q=0.5", ARROW),
        (f"text/html, {ARROW};q=0.1", ARROW),
        (f"*/*;q=0.1, {JSON}", JSON),
        (f"{NDJSON};q=0, */*", JSON),
        (f"{JSON};q=x", JSON),
    ],
)
def test_accept_says_what_is_answered(client: TestClient, accept: str, expected: str) -> None:
    answer = post(client, body([EXAMPLE], NDJSON), NDJSON, Accept=accept)
    assert answer.headers["content-type"] == expected
    assert len(outcomes(answer)) == 1


@pytest.mark.parametrize("accept", ["text/html", f"{JSON};q=0", "image/*"])
def test_what_can_not_be_answered_is_said(client: TestClient, accept: str) -> None:
    found = refusal(post(client, body([EXAMPLE], JSON), JSON, Accept=accept), 406)
    assert found.detail == f"ask in the header Accept for one of {JSON}, {NDJSON}, {ARROW}"


def test_a_single_prediction_is_json_only(client: TestClient) -> None:
    headers = AUTHORIZED | {"Content-Type": ARROW}
    answer = client.post("/v1/predict", content=stream(example_table()), headers=headers)
    assert refusal(answer, 415).detail == "send JSON with the header `Content-Type: application/json`"


@pytest.mark.parametrize(
    ("media_type", "most"), [(JSON, 8 * 1024**2), (NDJSON, 8 * 1024**2), (ARROW, 32 * 1024**2)]
)
def test_a_table_may_be_larger_than_json_but_not_of_any_size(
    client: TestClient, media_type: str, most: int
) -> None:
    assert post(client, b" " * most, media_type).status_code in {400, 422}
    found = refusal(post(client, b" " * (most + 1), media_type), 413)
    assert found.detail == f"the body is larger than {most:,} bytes; split the batch"


def test_a_model_that_fails_on_a_row_leaves_a_problem_in_its_place(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from propensity.model.grids import GridsForm  # noqa: PLC0415

    whole = GridsForm.propensities

    def poisoned(form: GridsForm, features: Any) -> Any:
        if np.any(features == 66):
            raise ValueError("poison")
        return whole(form, features)

    monkeypatch.setattr(GridsForm, "propensities", poisoned)
    rows = [EXAMPLE, EXAMPLE | {"age": 66}, EXAMPLE | {"age": 3}, EXAMPLE]
    for media_type in (JSON, NDJSON, ARROW):
        found = outcomes(post(client, body(rows, media_type), media_type))
        assert [row.get("status") for row in found] == [None, 500, 422, None]
        assert found[0] == found[3]
