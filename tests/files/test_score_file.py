"""Scoring files, in every format and on Spark: predictions and problems of the API, interruptions, locks."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import commands
import duckdb
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import AUTHORIZED, ROOT, written
from demonstration import COLUMNS, CONTRACT, EXAMPLE
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from propensity.__main__ import main
from propensity.files import csv as csv_file
from propensity.files import ndjson, scoring
from propensity.files import parquet as parquet_file
from propensity.files.csv import CsvSource
from propensity.files.inputs import source_of
from propensity.files.ndjson import NdJsonSource
from propensity.files.parquet import ParquetSource
from propensity.files.source import FileError, Piece, Source
from propensity.files.targets import TARGETS, CsvTarget, NdJsonTarget, ParquetTarget, Target
from propensity.files.unfinished_work import Work
from propensity.formats import tables
from propensity.model import store
from propensity.model.predictor import Predictor

Rows = list[dict[str, Any]]
FORMATS = ["parquet", "csv", "ndjson"]


@pytest.fixture(scope="module")
def rows(holdout: Rows) -> Rows:
    """Applications with an id; two of them are not valid."""
    found = [{"application_id": f"a{n}", **row["application"]} for n, row in enumerate(holdout[:500])]
    found[3] = found[3] | {"age": 7}
    found[499] = found[499] | {"job": "astronaut", "income": -5}
    return found


@pytest.fixture(scope="module")
def answers(client: TestClient, rows: Rows) -> Rows:
    """The API's answers to these rows."""
    applications = [{name: row[name] for name in EXAMPLE} for row in rows]
    found: Rows = client.post(
        "/v1/predict_batch", json={"applications": applications}, headers=AUTHORIZED
    ).json()["predictions"]
    # Wait until the service in this process has written its log, which would mix with the commands' output.
    written(client)
    return found


@pytest.fixture(scope="module")
def predictor(tag: str) -> Predictor:
    return store.load_predictor(store.SERVED.resolve())


def write(rows: Rows, path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*rows[0]])
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def read(path: Path) -> Rows:
    if path.suffix == ".parquet":
        found: Rows = pq.read_table(path).to_pylist()
        return found
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [{name: cell or None for name, cell in row.items()} for row in csv.DictReader(file)]
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(*arguments: str | int | Path) -> subprocess.CompletedProcess[str]:
    return commands.run(main, "score", *arguments)


@pytest.mark.parametrize("given", FORMATS)
@pytest.mark.parametrize("wanted", FORMATS)
def test_a_file_gets_the_predictions_and_problems_of_the_api(
    tmp_path: Path, rows: Rows, answers: Rows, tag: str, given: str, wanted: str
) -> None:
    source = write(rows, tmp_path / f"in.{given}")
    before = source.read_bytes()
    output = tmp_path / f"out.{wanted}"
    done = run(source, output, "--id", "application_id")
    assert done.returncode == 3, done.stderr
    assert done.stdout.splitlines() == [
        f"score: 500 rows, 498 predictions in {output}",
        f"score: 2 problems in {output}.problems.ndjson",
    ]
    found = read(output)
    assert len(found) == 500
    for row, answer, prediction in zip(rows, answers, found, strict=True):
        assert [*prediction] == ["id", "propensity", "decision", "threshold", "model"]
        assert prediction["id"] == row["application_id"]
        if "propensity" in answer:
            assert float(prediction["propensity"]) == pytest.approx(answer["propensity"], abs=1e-12, rel=0)
            assert prediction["decision"] == answer["decision"]
            assert (float(prediction["threshold"]), prediction["model"]) == (0.26, tag)
        else:
            assert {value for name, value in prediction.items() if name != "id"} == {None}
    young, astronaut = read(Path(f"{output}.problems.ndjson"))
    assert (young["row"], young["id"], young["status"]) == (3, "a3", 422)
    assert (astronaut["row"], astronaut["id"]) == (499, "a499")
    assert young["detail"] == "the row is not valid: age; see errors"
    assert [error["field"] for error in astronaut["errors"]] == ["job", "income"]
    for problem, place in ((young, 3), (astronaut, 499)):
        assert [error["detail"] for error in problem["errors"]] == (
            [error["detail"] for error in answers[place]["errors"]]
        )
    assert source.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {
        source.name,
        output.name,
        f"{output.name}.problems.ndjson",
    }


def test_the_command_of_the_docs_scores_a_file(
    tmp_path: Path, rows: Rows, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs/trust.md").read_text()
    (arguments,) = re.findall(r"^propensity score (.+)$", page, re.MULTILINE)
    write(rows, tmp_path / "applications.parquet")
    monkeypatch.chdir(tmp_path)
    assert run(*arguments.split()).returncode == 3
    assert [row["id"] for row in read(tmp_path / "predictions.parquet")] == [f"a{n}" for n in range(500)]


def test_without_problems_there_is_no_file_of_them(tmp_path: Path, rows: Rows) -> None:
    applications = [{name: row[name] for name in EXAMPLE} for row in rows[:3]]
    done = run(write(applications, tmp_path / "in.parquet"), tmp_path / "out.parquet")
    assert done.returncode == 0
    assert done.stdout == f"score: 3 rows, 3 predictions in {tmp_path / 'out.parquet'}\n"
    assert "id" not in read(tmp_path / "out.parquet")[0]
    assert {path.name for path in tmp_path.iterdir()} == {"in.parquet", "out.parquet"}


def test_a_cell_that_is_no_number_and_a_row_of_another_length_are_problems_of_their_own(
    tmp_path: Path, tag: str
) -> None:
    names = ",".join(EXAMPLE)
    good = ",".join(map(str, EXAMPLE.values()))
    lines = [names, good, good.replace("9,rent", "nine,rent", 1), f"{good},1", "", good.replace("129", "")]
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    done = run(tmp_path / "in.csv", tmp_path / "out.ndjson")
    assert done.returncode == 3, done.stderr
    nine, long = read(tmp_path / "out.ndjson.problems.ndjson")
    assert (nine["row"], nine["errors"][0]["field"]) == (1, "seniority")
    assert (long["row"], long["detail"]) == (2, "line 4 has 14 cells, the header 13")
    predictions = read(tmp_path / "out.ndjson")
    assert [row["propensity"] is None for row in predictions] == [False, True, True, False]


def pieces_of(source: Source) -> Iterator[Piece]:
    """The rows of a source, piece by piece."""
    return map(source.piece, source.chunks())


class InterruptedWorkError(Exception):
    """Raised by these tests to interrupt the work."""


class Watched(ParquetSource):
    """A source that records which pieces are read, and stops before one of them."""

    def __init__(self, path: Path, stop_before: int | None) -> None:
        super().__init__(path, CONTRACT, "application_id")
        self.stop_before = stop_before
        self.read: list[int] = []

    def piece(self, chunk: Any) -> Any:
        number = [*self.chunks()].index(chunk)
        if number == self.stop_before:
            raise InterruptedWorkError
        self.read.append(number)
        return super().piece(chunk)


def test_an_interrupted_run_continues_where_it_stopped(
    tmp_path: Path, rows: Rows, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_file, "MAX_TABLE_ROWS", 120)
    path = write(rows, tmp_path / "in.parquet")
    whole, output = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    scoring.score_file(Watched(path, None), ParquetTarget(), whole, predictor)
    with pytest.raises(InterruptedWorkError):
        scoring.score_file(Watched(path, 2), ParquetTarget(), output, predictor)
    assert not output.exists()
    # As if the process had been killed while it wrote a piece.
    (tmp_path / "out.parquet.work" / "00000002.unfinished").write_bytes(b"PAR1")
    again = Watched(path, None)
    assert scoring.score_file(again, ParquetTarget(), output, predictor) == (500, 2)
    assert again.read == [2, 3, 4]
    assert read(output) == read(whole)
    problems = [read(Path(f"{each}.problems.ndjson")) for each in (output, whole)]
    assert problems[0] == problems[1]
    assert not (tmp_path / "out.parquet.work").exists()


def test_memory_does_not_grow_with_the_file(tmp_path: Path, rows: Rows) -> None:
    table = pa.Table.from_pylist([{name: row[name] for name in EXAMPLE} for row in rows] * 20)
    path = tmp_path / "in.parquet"
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(40):
            writer.write_table(table)
    del table
    held = []
    for piece in pieces_of(ParquetSource(path, CONTRACT, None)):
        assert piece.batch.rows == 10_000
        held.append(pa.total_allocated_bytes())
    assert len(held) == 40
    assert max(held[20:]) < 1.2 * max(held[:5])


@pytest.mark.parametrize(
    ("has_dictionaries", "pages"),
    [
        (True, {}),
        (False, {}),
        (True, {"dictionary_pagesize_limit": 8, "data_page_size": 64, "write_batch_size": 16}),
    ],
)
def test_a_row_group_is_read_from_anywhere_on(
    tmp_path: Path, rows: Rows, has_dictionaries: bool, pages: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As processes that share its rows do; its texts may be of several dictionaries, and of none."""
    monkeypatch.setattr(parquet_file, "MAX_TABLE_ROWS", 120)
    table = pa.Table.from_pylist([{name: row[name] for name in EXAMPLE} for row in rows])
    pq.write_table(table, tmp_path / "in.parquet", use_dictionary=has_dictionaries, **pages)
    source = ParquetSource(tmp_path / "in.parquet", CONTRACT, None)
    chunks = [*source.chunks()]
    assert [(chunk.start, chunk.stop) for chunk in chunks] == [
        (0, 120), (120, 240), (240, 360), (360, 480), (480, 500),
    ]  # fmt: skip
    for place in (3, 1, 2, 4, 0, 0):
        batch = source.piece(chunks[place]).batch
        expected = tables.read(table[chunks[place].start : chunks[place].stop], CONTRACT)
        assert batch.problems == expected.problems
        assert np.array_equal(batch.features, expected.features, equal_nan=True)


def test_work_on_another_input_is_not_continued(
    tmp_path: Path, rows: Rows, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_file, "MAX_TABLE_ROWS", 120)
    path = write(rows, tmp_path / "in.parquet")
    with pytest.raises(InterruptedWorkError):
        scoring.score_file(Watched(path, 2), ParquetTarget(), tmp_path / "out.parquet", predictor)
    write(rows[:400], path)
    with pytest.raises(FileError, match=r"out\.parquet\.work: holds interrupted work on another input"):
        scoring.score_file(Watched(path, None), ParquetTarget(), tmp_path / "out.parquet", predictor)
    assert (tmp_path / "out.parquet.work" / "00000001.part").exists()


NAMES, LINE = ",".join(EXAMPLE), ",".join(map(str, EXAMPLE.values()))
JSON_LINE = json.dumps(EXAMPLE)


def parquet(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


TABLE = pa.Table.from_pylist([EXAMPLE] * 3)


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("in.parquet", b"PAR1", (), "in.parquet: "),
        ("in.parquet", parquet(TABLE.slice(0, 0)), (), "in.parquet: holds no applications"),
        ("in.csv", b"age,wage\n1,2\n", (), "'seniority' is required and missing; 'time' is"),
        ("in.csv", b"age,wage\n1,2\n", (), "'wage' is not a field of this API; check its spelling"),
        ("in.csv", b"", (), "in.csv: holds no applications"),
        ("in.csv", f"{NAMES}\n".encode(), (), "in.csv: holds no applications"),
        ("in.csv", f"{NAMES}\n".encode(), ("--id", "x"), "in.csv: has no column 'x'"),
        ("in.csv", f"{NAMES},age\n{LINE},30\n".encode(), (), "'age' is there more than once"),
        ("in.csv", f"i,{NAMES},i\n".encode(), ("--id", "i"), "in.csv: has several columns 'i'"),
        ("in.csv", NAMES.replace(",", ";").encode(), (), "separates cells by ';'; write it with commas"),
        ("in.csv", NAMES.replace(",", "\t").encode(), (), "separates cells by '\\t'; write it with commas"),
        ("in.csv", f'"{NAMES}\n{LINE}\n'.encode(), (), "in.csv: line 1 has a stray quote"),
        (
            "in.csv",
            f"{NAMES}\n{LINE}\n{LINE}é".encode("latin-1"),
            (),
            "in.csv: line 3 is not UTF-8; if it is",
        ),
        ("in.csv", f"{NAMES}\n{LINE}\n".encode("utf-16"), (), "is UTF-16; `iconv -f UTF-16 -t UTF-8` makes"),
        ("in.csv", f"{NAMES}\n{LINE}\n".encode("utf-16-le"), (), "is UTF-16; `iconv -f UTF-16 -t UTF-8`"),
        ("in.csv", f"{NAMES}\n{LINE}\n{'9' * 2_000_000}".encode(), (), "line 3 is longer than 1,048,576"),
        ("in.csv", pd.DataFrame([EXAMPLE]).to_csv().encode(), (), "leave it out (index=False), or take it"),
        ("in.csv", f"person_id,{NAMES}\n".encode(), (), "take it along: --id person_id"),
        ("in.csv.gz", gzip.compress(f"{NAMES}\n{LINE}".encode())[:-9], (), "in.csv.gz: Truncated compressed"),
        ("in.ndjson", JSON_LINE.encode("utf-16"), (), "in.ndjson: is UTF-16"),
        (
            "in.ndjson",
            f"{JSON_LINE}\n{JSON_LINE * 2}\n".encode(),
            (),
            "line 2 holds more than one application",
        ),
        ("in.ndjson", json.dumps(EXAMPLE, indent=1).encode(), (), "line 1 holds only the beginning of an"),
        ("in.ndjson", b"", ("--model", "propensity:none"), "propensity:none"),
        ("in.xlsx", b"", (), "in.xlsx: its name must end in .parquet, .csv, .ndjson, .jsonl"),
        ("in.feather", b"", (), "in.feather: Arrow files (Feather) are not read; write it as Parquet"),
    ],
)
def test_one_line_says_why_a_file_can_not_be_scored(
    tmp_path: Path, tag: str, name: str, content: bytes, options: tuple[str, ...], said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    done = run(tmp_path / name, tmp_path / "out.parquet", *options)
    assert done.returncode == 1
    assert done.stderr.startswith("propensity score: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_stray_quote_loses_no_row_of_csv(tmp_path: Path, tag: str) -> None:
    stray = {
        10: '"a10',  # opens here, and closes before row 40
        40: '"a40',
        50: '"a50"x',
        60: 'a"60',
        70: '"a\n70"',  # valid CSV elsewhere; here a row is a line, so these are two rows
        99: '"a99',  # still open at the end of the file
    }
    lines = [f"{stray.get(number, f'a{number}')},{LINE}" for number in range(100)]
    lines[20:22] = [f'"a20",{LINE}', f'"a ""21"", it is",{LINE}']
    (tmp_path / "in.csv").write_text("\n".join([f"id,{NAMES}", *lines]))
    done = run(tmp_path / "in.csv", tmp_path / "out.ndjson", "--id", "id")
    assert done.returncode == 3
    assert done.stdout.startswith("score: 101 rows, 94 predictions in ")
    problems = read(tmp_path / "out.ndjson.problems.ndjson")
    assert [problem["row"] for problem in problems] == [10, 40, 50, 60, 70, 71, 100]
    assert problems[0]["detail"] == (
        "line 12 has a stray quote: a quoted cell must end on its line, before a comma, with quotes inside"
        " it doubled"
    )
    predictions = read(tmp_path / "out.ndjson")
    assert [row["id"] for row in predictions[19:23]] == ["a19", "a20", 'a "21", it is', "a22"]
    assert [place for place, row in enumerate(predictions) if row["propensity"] is None] == (
        [problem["row"] for problem in problems]
    )


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", "\n\n", "\n \t\r\n"])
def test_lines_of_csv_may_end_in_any_way(tmp_path: Path, tag: str, ends: str) -> None:
    for mark in ("", "\ufeff"):
        content = mark + ends.join([NAMES, LINE, LINE.replace("30", "7"), LINE])
        (tmp_path / "in.csv").write_bytes(content.encode())
        found = pieces_of(CsvSource(tmp_path / "in.csv", CONTRACT, None))
        assert [(piece.batch.rows, [*piece.batch.problems]) for piece in found] == [(3, [1])]
        assert CsvSource(tmp_path / "in.csv", CONTRACT, None).count() == 3


CSV_PIECES = [
    f"{LINE}\n", LINE, f'"{LINE}"', "\n", "\r\n", "\r", ",", '"', '""', " ", "\t", "\0", "\u2028", "\x85",
    "é", LINE.replace("rent", '"rent"'), LINE.replace("129", ""), "9,rent,",
]  # fmt: skip


@given(st.lists(st.sampled_from(CSV_PIECES), max_size=12))
@settings(deadline=None)
def test_each_line_of_csv_is_a_row_whatever_the_others_are(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("".join([f"{NAMES}\n", *pieces]), newline="")
    source = CsvSource(path, CONTRACT, None)
    together = [*pieces_of(source)]
    with patch.object(csv_file, "MAX_ROWS", 1):
        alone = [*pieces_of(source)]
    assert sum(piece.batch.rows for piece in together) == len(alone) == source.count()
    problems = {place: piece.batch.problems[0] for place, piece in enumerate(alone) if piece.batch.problems}
    for piece in together:
        assert piece.batch.problems == problems
        features = np.concatenate([piece.batch.features for piece in alone])
        assert np.array_equal(piece.batch.features, features, equal_nan=True)


@pytest.mark.parametrize("other", ["", "x"], ids=["by columns", "by lines"])
@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("129", 129), (" 129\t", 129), ("129.0", 129), ("1.29e2", 129), ("0", 0), ("-0", 0),
        *((cell, None) for cell in (
            "1_2_9", "\N{FULLWIDTH DIGIT ONE}2", "0x1F", "+129", "0129", "129.", ".5", "inf", "Infinity",
            "nan", "NaN", "-inf",
            "1e400", " ", "129\xa0", "1 29", "1,29", "12\x009", "true", "TRUE", "$129", "129f",
        )),
    ],
)  # fmt: skip
def test_a_number_in_csv_is_one_of_json(tmp_path: Path, other: str, cell: str, number: float | None) -> None:
    """Whatever the other rows of the piece are: a column is read as a whole."""
    cell = f'"{cell}"' if "," in cell else cell
    lines = [NAMES, LINE.replace("129", cell), LINE.replace("73", other or "73")]
    (tmp_path / "in.csv").write_text("\n".join(lines))
    (piece,) = pieces_of(CsvSource(tmp_path / "in.csv", CONTRACT, None))
    assert [*piece.batch.problems] == [place for place, bad in enumerate((number is None, other)) if bad]
    if number is not None:
        assert piece.batch.features[0, COLUMNS.index("income")] == number


def test_rows_of_ndjson_are_those_of_the_api(tmp_path: Path, client: TestClient) -> None:
    """As many rows, with the same problems, with and without an id."""
    odd = [
        JSON_LINE,
        JSON_LINE.replace(" ", "\r"),
        "{",
        JSON_LINE.replace("30", "7"),
        "",
        '{"age": 1}x',
        "[]",
        "7",
        f"{JSON_LINE} ",
        "\u2028",
    ]
    for ends in ("\n", "\r\n"):
        content = "\ufeff" + ends.join(odd)
        answer = client.post(
            "/v1/predict_batch",
            content=content.encode(),
            headers=AUTHORIZED | {"Content-Type": "application/x-ndjson"},
        )
        expected = [json.loads(line).get("status") for line in answer.text.splitlines()]
        (tmp_path / "in.jsonl").write_bytes(content.encode())
        for id_column in (None, "id"):
            source = NdJsonSource(tmp_path / "in.jsonl", CONTRACT, id_column)
            (piece,) = pieces_of(source)
            found = [piece.batch.problems[place].status if place in piece.batch.problems else None
                     for place in range(piece.batch.rows)]  # fmt: skip
            assert found == expected
            assert source.count() == len(expected) == 9


def test_an_application_over_several_lines_is_refused_wherever_it_begins(tmp_path: Path) -> None:
    pretty = json.dumps(EXAMPLE, indent=1)
    for before in range(4):
        (tmp_path / "in.ndjson").write_text("\n".join([*[JSON_LINE] * before, pretty, JSON_LINE]))
        source = NdJsonSource(tmp_path / "in.ndjson", CONTRACT, None)
        said = f"line {before + 1} holds only the beginning of an application"
        with patch.object(ndjson, "MAX_ROWS", 2), pytest.raises(FileError, match=said):
            [*pieces_of(source)]


def test_ids_of_ndjson_are_texts_or_numbers(tmp_path: Path) -> None:
    ids = ["a", 7, 1.5, 10**30, None, True, [1], {"a": 1}]
    (tmp_path / "in.ndjson").write_text("".join(f"{json.dumps(EXAMPLE | {'id': each})}\n" for each in ids))
    (piece,) = pieces_of(NdJsonSource(tmp_path / "in.ndjson", CONTRACT, "id"))
    assert piece.ids is not None
    assert piece.ids.to_pylist() == ["a", "7", "1.5", f"{10**30}", None, None, None, None]
    assert {problem.detail for problem in piece.batch.problems.values()} == (
        {"the row has an id that is neither text nor a number"}
    )
    assert [*piece.batch.problems] == [5, 6, 7]


MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IDS: dict[str, tuple[pa.Array, Any]] = {
    "decimal": (pa.array([Decimal("20.50")], pa.decimal128(20, 2)), "20.50"),
    "small decimal": (pa.array([Decimal(7)], pa.decimal32(5, 0)), "7"),
    "date": (pa.array([MOMENT.date()]), "2026-01-02"),
    "timestamp": (pa.array([MOMENT], pa.timestamp("us")), "2026-01-02 03:04:05.000000"),
    "timestamp with a zone": (
        pa.array([MOMENT], pa.timestamp("ns", "America/Santiago")),
        "2026-01-02 03:04:05.000000000Z",
    ),
    "time": (pa.array([MOMENT.time()], pa.time64("us")), "03:04:05.000000"),
    "bytes": (pa.array([b"\xff\x00"]), "ff00"),
    "view of bytes": (pa.array([b"\xff\x00"], pa.binary_view()), "ff00"),
    "uuid": (pa.array([UUID(int=7)], pa.uuid()), "00000000-0000-0000-0000-000000000007"),
    "NaN": (pa.array([float("nan")]), None),
    "half float": (pa.array(np.array([2], np.float16)), 2),
    "large integer": (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
    "boolean": (pa.array([True]), True),
    "null": (pa.nulls(1), None),
    "view": (pa.array(['a "b",\nc'], pa.string_view()), 'a "b",\nc'),
    "dictionary": (pa.array(["a"]).dictionary_encode(), "a"),
    "dictionary of numbers": (pa.array([7]).dictionary_encode(), 7),
}


@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
def test_ids_of_any_type_come_out_in_every_format(
    tmp_path: Path, predictor: Predictor, ids: tuple[pa.Array, Any]
) -> None:
    """The id of a valid row, and that of a row with a problem."""
    column, text = ids
    column = pa.concat_arrays([column, column, pa.nulls(1, column.type)])
    table = pa.Table.from_pylist([EXAMPLE, EXAMPLE | {"age": 7}, EXAMPLE]).append_column("name", column)
    pq.write_table(table, tmp_path / "in.parquet")
    for suffix, kind in TARGETS.items():
        output = tmp_path / f"out{suffix}"
        assert scoring.score_file(
            ParquetSource(tmp_path / "in.parquet", CONTRACT, "name"), kind(), output, predictor
        ) == (
            3,
            1,
        )
        (problem,) = read(Path(f"{output}.problems.ndjson"))
        assert problem["id"] == text
        if suffix == ".parquet":
            kept = pq.read_table(tmp_path / "in.parquet")["name"]
            assert str(pq.read_table(output)["id"].to_pylist()) == str(kept.to_pylist())
        else:
            said = str(text).lower() if text is True else text
            csv_text = None if text is None else str(said)
            expected = csv_text if suffix == ".csv" else text
            assert [row["id"] for row in read(output)] == [expected, expected, None]


@pytest.mark.parametrize(
    "column",
    [pa.array([[1]] * 3), pa.array([{"a": 1}] * 3), pa.array([timedelta(1)] * 3)],
    ids=["list", "struct", "duration"],
)
def test_ids_that_name_nothing_are_refused_before_any_work(
    tmp_path: Path, tag: str, column: pa.Array
) -> None:
    (tmp_path / "in.parquet").write_bytes(parquet(TABLE.append_column("name", column)))
    for suffix in TARGETS:
        done = run(tmp_path / "in.parquet", tmp_path / f"out{suffix}", "--id", "name")
        assert done.returncode == 1
        kind = str(column.type).partition("<")[0]
        assert f"in.parquet: name is {kind}" in done.stderr
        assert done.stderr.endswith(", which can't name an application; cast it to text\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


TEXTS = [name for name, value in EXAMPLE.items() if isinstance(value, str)]
NUMBERS = [name for name in EXAMPLE if name not in TEXTS]
WRITERS: dict[str, dict[str, Any]] = {
    "version 1": {"version": "1.0", "data_page_version": "1.0"},
    "version 2": {"data_page_version": "2.0"},
    "lengths": {"use_dictionary": False, "column_encoding": dict.fromkeys(TEXTS, "DELTA_LENGTH_BYTE_ARRAY")},
    "prefixes": {"use_dictionary": False, "column_encoding": dict.fromkeys(TEXTS, "DELTA_BYTE_ARRAY")},
    "differences": {
        "use_dictionary": False,
        "column_encoding": dict.fromkeys(NUMBERS, "DELTA_BINARY_PACKED"),
    },
    "split bytes": {"use_dictionary": False, "use_byte_stream_split": NUMBERS},
    "plain": {"use_dictionary": False, "compression": "none"},
    "zstd": {"compression": "zstd"},
}


def test_parquet_is_read_however_it_was_written(tmp_path: Path) -> None:
    rows = [EXAMPLE | {"home": home, "age": age} for home, age in (("owner", 44), (None, 30), ("castle", 17))]
    table = pa.Table.from_pylist(rows)
    expected = tables.read(table, CONTRACT)
    contents = {name: parquet(table, **options) for name, options in WRITERS.items()}
    for name, kind in (("view", pa.string_view()), ("large", pa.large_string())):
        schema = pa.schema([(each.name, kind if each.name in TEXTS else each.type) for each in table.schema])
        contents[name] = parquet(table.cast(schema))
    schema = pa.schema(
        [(each.name, pa.decimal128(38, 0) if each.name in NUMBERS else each.type) for each in table.schema]
    )
    contents["decimals"] = parquet(table.cast(schema))
    with duckdb.connect() as connection:
        connection.register("applications", table)
        for version in ("V1", "V2"):
            path = tmp_path / f"{version}.parquet"
            connection.execute(f"copy applications to '{path}' (parquet_version {version})")
            contents[f"DuckDB, {version}"] = path.read_bytes()
    for name, content in contents.items():
        (tmp_path / "in.parquet").write_bytes(content)
        (piece,) = pieces_of(ParquetSource(tmp_path / "in.parquet", CONTRACT, None))
        assert np.array_equal(piece.batch.features, expected.features, equal_nan=True), name
        assert piece.batch.problems == expected.problems, name


def test_an_existing_output_is_not_overwritten(tmp_path: Path, rows: Rows) -> None:
    (tmp_path / "out.csv").write_text("mine")
    done = run(write(rows, tmp_path / "in.csv"), tmp_path / "out.csv")
    assert (
        done.stderr
        == f"propensity score: {tmp_path / 'out.csv'}: exists; move it away, or name another output\n"
    )
    assert (tmp_path / "out.csv").read_text() == "mine"


def test_a_csv_file_from_excel_is_read(tmp_path: Path) -> None:
    line = ",".join(map(str, EXAMPLE.values()))
    (tmp_path / "in.csv").write_bytes(f"\ufeff{','.join(EXAMPLE)}\r\n{line}\r\n".encode())
    (piece,) = pieces_of(CsvSource(tmp_path / "in.csv", CONTRACT, None))
    assert piece.batch.rows == 1
    assert piece.batch.problems == {}


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("in.csv.gz", "gzip"), ("IN.CSV", None), ("in.ndjson.zst", "zstd"), ("in.jsonl", None),
        ("In.JSONL.Gz", "gzip"), ("IN.PARQUET", None), ("in.CSV.ZST", "zstd"),
    ],
)  # fmt: skip
def test_the_name_of_a_file_states_its_format_and_compression(
    tmp_path: Path, rows: Rows, tag: str, name: str, packed: str | None
) -> None:
    kind = next(each for each in ("csv", "ndjson", "parquet", "jsonl") if each in name.lower())
    content = write(rows[:3], tmp_path / f"plain.{kind}").read_bytes()
    (tmp_path / name).write_bytes(pa.compress(content, packed, asbytes=True) if packed else content)
    if packed == "zstd":
        with pa.output_stream(str(tmp_path / name), compression="zstd") as file:
            file.write(content)
    elif packed == "gzip":
        # Two gzip members, one appended to the other.
        half = len(content) // 2
        (tmp_path / name).write_bytes(gzip.compress(content[:half]) + gzip.compress(content[half:]))
    done = run(tmp_path / name, tmp_path / "OUT.JsonL", "--id", "application_id")
    assert done.returncode == 0, done.stderr
    assert [row["id"] for row in read(tmp_path / "OUT.JsonL")] == ["a0", "a1", "a2"]


def spark_folder(rows: Rows, folder: Path) -> Path:
    """Write a folder as Spark does."""
    for number in range(3):
        part = folder / f"date=2026-01-0{number + 1}"
        part.mkdir(parents=True)
        write(rows[number * 2 : number * 2 + 2], part / f"part-0000{number}.snappy.parquet")
        (part / f".part-0000{number}.snappy.parquet.crc").write_bytes(b"crc")
    pq.write_table(pa.Table.from_pylist(rows[:1]).slice(0, 0), folder / "part-00009.parquet")
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "part-00003.parquet").write_bytes(b"PAR1")
    (folder / "_SUCCESS").touch()
    return folder


def test_a_folder_stands_for_the_files_in_it(tmp_path: Path, rows: Rows, tag: str) -> None:
    folder = spark_folder(rows, tmp_path / "in.parquet")
    inputs: list[tuple[str | Path, ...]] = [
        (folder,),
        (f"{folder}/*/part-*.parquet",),
        (f"{folder}/**/part-0000[012]*.parquet",),
        tuple(sorted(folder.glob("date*/part-*.parquet"))),
    ]
    for number, paths in enumerate(inputs):
        output = tmp_path / f"out{number}.csv"
        done = run(*paths, output, "--id", "application_id")
        assert done.returncode == 3, done.stderr
        assert [row["id"] for row in read(output)] == [f"a{row}" for row in range(6)]
        (problem,) = read(Path(f"{output}.problems.ndjson"))
        assert (problem["row"], problem["id"]) == (3, "a3")
        assert problem["file"] == str(folder / "date=2026-01-02/part-00001.snappy.parquet")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("part-1.csv.tmp", b"", "part-1.csv.tmp: its name must end in .parquet"),
        ("home=rent/part.parquet", b"", "home is in the name of the folder, where it is not read"),
        ("application_id=7/part.parquet", b"", "application_id is in the name of the folder"),
        (
            "z.parquet",
            parquet(TABLE.append_column("application_id", pa.array([1, 2, 3]))),
            "application_id is int64",
        ),
        ("z.csv", f"{NAMES}\n".encode(), "z.csv: has no column 'application_id'"),
        ("z.parquet", b"PAR1", "z.parquet"),
    ],
    ids=["another kind", "a field", "the id", "another type of id", "no id", "no table"],
)
def test_a_folder_with_something_else_in_it_is_refused_before_any_work(
    tmp_path: Path, rows: Rows, tag: str, name: str, content: bytes, said: str
) -> None:
    folder = tmp_path / "in"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(content)
    write(rows[:3], folder / "a.parquet")
    done = run(folder, tmp_path / "out.csv", "--id", "application_id")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert said in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_output_within_the_folder_that_is_read_is_refused(tmp_path: Path, rows: Rows, tag: str) -> None:
    write(rows[:3], tmp_path / "a.parquet")
    done = run(tmp_path, tmp_path / "out.csv")
    assert done.returncode == 1
    assert "lies in" in done.stderr
    assert done.stderr.count("\n") == 1


def stopping(before: int) -> Callable[[Piece, Predictor], pa.Table]:
    """Return a `predict` that stops before one of the pieces."""
    numbers = itertools.count()
    predict = scoring.predict

    def stopped(piece: Piece, predictor: Predictor) -> pa.Table:
        if next(numbers) == before:
            raise InterruptedWorkError
        return predict(piece, predictor)

    return stopped


def test_an_interrupted_run_on_several_files_continues_where_it_stopped(
    tmp_path: Path, rows: Rows, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (csv_file, ndjson):
        monkeypatch.setattr(module, "MAX_ROWS", 2)
    files = [tmp_path / "a.csv", tmp_path / "b.ndjson", tmp_path / "c.csv"]
    for number, path in enumerate(files):
        write(rows[number * 3 : number * 3 + 3], path)
    source = source_of(files, CONTRACT, "application_id")
    output = tmp_path / "out.csv"
    with monkeypatch.context() as patched:
        patched.setattr(scoring, "predict", stopping(before=3))
        with pytest.raises(InterruptedWorkError):
            scoring.score_file(source, CsvTarget(), output, predictor)
    assert len([*(tmp_path / "out.csv.work").glob("*.part")]) == 3
    assert scoring.score_file(source, CsvTarget(), output, predictor) == (9, 1)
    assert [row["id"] for row in read(output)] == [f"a{number}" for number in range(9)]


@pytest.mark.parametrize("stopped", [False, True], ids=["at once", "after an interruption"])
def test_no_output_is_written_if_a_row_was_lost(
    tmp_path: Path, rows: Rows, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    """The rows of the input, and those that were written, are counted independently."""
    monkeypatch.setattr(csv_file, "MAX_ROWS", 2)
    path, output = write(rows[:7], tmp_path / "in.csv"), tmp_path / "out.csv"
    source = partial(CsvSource, path, CONTRACT, "application_id")
    chunks = CsvSource.chunks

    def losing(reading: CsvSource) -> Any:
        for number, (names, (first, text)) in enumerate(chunks(reading)):
            yield names, (first, text.split(b"\n")[0] if number == 1 else text)

    monkeypatch.setattr(CsvSource, "chunks", losing)
    if stopped:
        with monkeypatch.context() as patched:
            patched.setattr(scoring, "predict", stopping(before=2))
            with pytest.raises(InterruptedWorkError):
                scoring.score_file(
                    CsvSource(path, CONTRACT, "application_id"), CsvTarget(), output, predictor
                )
        monkeypatch.setattr(CsvSource, "chunks", chunks)
    with pytest.raises(FileError, match="of 7 rows there are 5 predictions and 1 problems; this is a bug"):
        scoring.score_file(source(), CsvTarget(), output, predictor)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize(("suffix", "target"), TARGETS.items())
def test_predictions_are_counted_in_the_written_file(
    tmp_path: Path, suffix: str, target: type[Target]
) -> None:
    ids = pa.array(['"propensity":null', "a\nb", None, 'c"d,'])
    table = pa.table({"id": ids, "propensity": pa.array([0.5, None, 0.1, 0.2])})
    target().write(table, tmp_path / "part")
    with target().joining(tmp_path / f"out{suffix}") as add:
        add(tmp_path / "part")
        add(tmp_path / "part")
    assert target().count(tmp_path / f"out{suffix}") == 6


def test_ndjson_is_written_as_python_writes_it(tmp_path: Path) -> None:
    numbers = [1e-5, 0.0, 1.0, 0.1, None, 1e-4, 1e16, -1e-7, 12345.678, -2.5]
    columns: dict[str, list[Any]] = {
        "id": ["a", 'b"', "é", "\x7f\n", None, "\u2028", "/\\", "", "x" * 300, "<&>"],
        "propensity": numbers,
        "decision": ["approve", None] * 5,
        "number": [*range(9), 2**63 - 1],
    }
    table = pa.table(columns)
    table = table.set_column(2, "decision", table["decision"].dictionary_encode())
    expected = "".join(f"{json.dumps(row, separators=(',', ':'))}\n" for row in table.to_pylist())
    NdJsonTarget().write(table, tmp_path / "part")
    assert (tmp_path / "part").read_text() == expected
    NdJsonTarget().write(table.set_column(0, "id", table["propensity"]), tmp_path / "part")
    assert [row["id"] for row in read(tmp_path / "part")] == numbers


HOLDING = """
import sys, time
from pathlib import Path
from propensity.contract.contract import Contract
from propensity.files.csv import CsvSource
from propensity.files.unfinished_work import Work
contract = Contract.model_validate_json(sys.argv[4])
with Work(CsvSource(Path(sys.argv[1]), contract, None), Path(sys.argv[2]), sys.argv[3]):
    print("holds it", flush=True)
    time.sleep(60)
"""


def test_a_second_run_on_one_output_says_who_holds_it(tmp_path: Path, tag: str) -> None:
    path, output = write([EXAMPLE] * 3, tmp_path / "in.csv"), tmp_path / "out.csv"
    command = [sys.executable, "-c", HOLDING, str(path), str(output), tag, CONTRACT.model_dump_json()]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "holds it\n"
        second = run(path, output)
        first.kill()
    holder = f"process {first.pid} on {socket.gethostname()} since "
    assert second.returncode == 1
    assert second.stderr.startswith(f"propensity score: {output}: is being written by {holder}")
    assert second.stderr.endswith("; wait for it, or name another output\n")
    assert second.stderr.count("\n") == 1
    # What a killed process leaves behind does not block the next run.
    assert (tmp_path / "out.csv.work" / "lock").exists()
    assert run(path, output).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "out.csv"}


def test_a_process_that_waited_for_the_lock_does_not_write_again(
    tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process finishes after the second has looked for the output, and before it takes the lock."""
    path, output = write([EXAMPLE] * 3, tmp_path / "in.csv"), tmp_path / "out.csv"
    locked = Work.__enter__

    def late(work: Work) -> Work:
        output.write_text("of the first")
        return locked(work)

    monkeypatch.setattr(Work, "__enter__", late)
    with pytest.raises(FileError, match=r"out\.csv: exists"):
        scoring.score_file(CsvSource(path, CONTRACT, None), CsvTarget(), output, predictor)
    assert output.read_text() == "of the first"
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "out.csv"}


def test_existing_problems_are_not_overwritten(tmp_path: Path, tag: str) -> None:
    path = write([EXAMPLE] * 3, tmp_path / "in.csv")
    (tmp_path / "out.csv.problems.ndjson").write_text("mine")
    done = run(path, tmp_path / "out.csv")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "out.csv.problems.ndjson: exists; move it away" in done.stderr
    assert (tmp_path / "out.csv.problems.ndjson").read_text() == "mine"


@contextmanager
def small_files(size: int = 4_000) -> Iterator[None]:
    """Limit files to some bytes, as on a full disk; only here, since the log of pytest may be longer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    action = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, action)


@pytest.mark.parametrize("suffix", TARGETS)
def test_a_full_disk_is_an_error_of_the_output(tmp_path: Path, rows: Rows, tag: str, suffix: str) -> None:
    path, output = write(rows * 10, tmp_path / "in.parquet"), tmp_path / f"out{suffix}"
    with small_files():
        done = run(path, output, "--id", "application_id")
    assert done.returncode == 1
    assert done.stderr == (
        f"propensity score: {output}: can't be written: File too large; once it can, start again:"
        " finished work is kept\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


@pytest.mark.parametrize("suffix", TARGETS)
def test_a_disk_that_is_full_while_pieces_are_joined_loses_none_of_them(
    tmp_path: Path, rows: Rows, tag: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_file, "MAX_TABLE_ROWS", 120)
    path, output = write(rows * 10, tmp_path / "in.parquet"), tmp_path / f"out{suffix}"
    with small_files(30_000):
        done = run(path, output, "--id", "application_id")
    assert done.stderr == (
        f"propensity score: {output}: can't be written: File too large; once it can, start again:"
        " finished work is kept\n"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"in.parquet", f"{output.name}.work"}
    assert (tmp_path / f"{output.name}.work" / "00000000.part").exists()
    assert run(path, output, "--id", "application_id").returncode == 3
    assert [row["id"] for row in read(output)] == [row["application_id"] for row in rows] * 10


def test_a_missing_folder_is_an_error_of_the_output(tmp_path: Path, tag: str) -> None:
    done = run(write([EXAMPLE], tmp_path / "in.csv"), tmp_path / "none" / "out.csv")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "none/out.csv.work: can't be written: No such file or directory" in done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_prints_one_line_and_can_be_continued(
    tmp_path: Path, rows: Rows, tag: str, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    monkeypatch.setattr(csv_file, "MAX_ROWS", 2)
    path, output = write(rows[:6], tmp_path / "in.csv"), tmp_path / "out.csv"
    before = signal.getsignal(number)

    def killed(piece: Piece, predictor: Predictor) -> pa.Table:
        if piece.batch.problems:
            os.kill(os.getpid(), number)
        return predict(piece, predictor)

    predict = scoring.predict
    with monkeypatch.context() as patched:
        patched.setattr(scoring, "predict", killed)
        done = run(path, output, "--id", "application_id")
    assert done.returncode == status
    assert done.stderr == "propensity score: stopped; start it again to continue\n"
    assert signal.getsignal(number) == before
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "out.csv.work"}
    assert run(path, output, "--id", "application_id").returncode == 3
    assert [row["id"] for row in read(output)] == [f"a{number}" for number in range(6)]


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", FORMATS)
def test_several_processes_write_what_one_does(tmp_path: Path, rows: Rows, tag: str, kind: str) -> None:
    """More pieces than the processes hold at a time, of several files, with problems among them."""
    many = rows * (40 if kind == "parquet" else 90)
    (tmp_path / "in").mkdir()
    for number in range(8 if kind == "parquet" else 2):
        write(many, tmp_path / "in" / f"{number}.{kind}")
    for processes in (1, 2):
        output = tmp_path / str(processes) / f"out.{kind}"
        output.parent.mkdir()
        done = run(tmp_path / "in", output, "--id", "application_id", "--processes", processes)
        assert done.returncode == 3, done.stderr
    assert outputs(tmp_path / "2") == outputs(tmp_path / "1")
    assert set(outputs(tmp_path / "2")) == {f"out.{kind}", f"out.{kind}.problems.ndjson"}


@pytest.mark.parametrize("kind", FORMATS)
def test_another_process_writes_the_pieces_that_this_one_would(
    tmp_path: Path, rows: Rows, predictor: Predictor, kind: str
) -> None:
    many = rows * (202 if kind == "parquet" else 22)
    source = source_of([write(many, tmp_path / f"in.{kind}")], CONTRACT, "application_id")
    scorer = scoring.Scorer(source, predictor, TARGETS[f".{kind}"](), tmp_path / f"out.{kind}")
    _, last = source.chunks()
    here, there = tmp_path / "here", tmp_path / "there"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        scored = pool.submit(scorer.job().score, last, there).result()
    assert scored == scorer.score(last, here)
    assert scored.rows == (1_001 if kind == "csv" else 1_000), "the header of CSV is a line of the first"
    assert there.read_bytes() == here.read_bytes()


def test_an_interrupted_run_continues_with_several_processes(
    tmp_path: Path, rows: Rows, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_file, "MAX_ROWS", 60)
    path, whole, output = write(rows, tmp_path / "in.csv"), tmp_path / "whole.csv", tmp_path / "out.csv"
    source = CsvSource(path, CONTRACT, "application_id")
    scoring.score_file(source, CsvTarget(), whole, predictor)
    with monkeypatch.context() as patched:
        patched.setattr(scoring, "predict", stopping(before=3))
        with pytest.raises(InterruptedWorkError):
            scoring.score_file(source, CsvTarget(), output, predictor)
    assert scoring.score_file(source, CsvTarget(), output, predictor, processes=2) == (500, 2)
    assert output.read_bytes() == whole.read_bytes()
    problems = [Path(f"{each}.problems.ndjson").read_bytes() for each in (output, whole)]
    assert problems[0] == problems[1]


def test_an_error_in_a_process_ends_the_command_with_one_line(tmp_path: Path, rows: Rows, tag: str) -> None:
    path = write([{name: row[name] for name in EXAMPLE} for row in rows] * 60, tmp_path / "in.ndjson")
    with path.open("a") as file:
        file.write(f"{JSON_LINE}{JSON_LINE}\n")
    done = run(path, tmp_path / "out.csv", "--processes", 2)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        f"propensity score: {path}: line 30,001 holds more than one application; NDJSON has one"
        " application a line, as"
        " `jq -c .` writes it",
    )
    assert [each.name for each in tmp_path.iterdir()] == ["in.ndjson"]


def children(process: int) -> list[int]:
    return [child.pid for child in psutil.Process(process).children(recursive=True)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_command(tmp_path: Path, rows: Rows, tag: str, number: int) -> None:
    path, output = write(rows * 200, tmp_path / "in.csv"), tmp_path / "out.csv"
    command = [sys.executable, "-m", "propensity", "score", str(path), str(output), "--id", "application_id"]
    with subprocess.Popen(
        [*command, "--processes", "2"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (tmp_path / "out.csv.work" / "00000000.part").exists():
            assert process.poll() is None
            time.sleep(0.01)
        workers = [psutil.Process(child) for child in children(process.pid)]
        assert len(workers) >= 2
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    if number == signal.SIGTERM:
        assert process.returncode == 143
        assert said.splitlines()[-1] == "propensity score: stopped; start it again to continue"
        assert "Traceback" not in said
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
    assert run(path, output, "--id", "application_id", "--processes", 2).returncode == 3
    assert [row["id"] for row in read(output)] == [row["application_id"] for row in rows] * 200
    assert {each.name for each in tmp_path.iterdir()} == {
        "in.csv", "out.csv", "out.csv.problems.ndjson",
    }  # fmt: skip


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5"])
def test_processes_are_a_whole_number(tmp_path: Path, given: str) -> None:
    done = run(tmp_path / "in.csv", tmp_path / "out.csv", f"--processes={given}")
    assert done.returncode == 2
    assert done.stderr.startswith("propensity score: Invalid value for '--processes': ")
    assert f"{given}" in done.stderr


needs_java = pytest.mark.skipif(
    shutil.which("java") is None, reason="no Java 17 (apt install openjdk-17-jdk-headless)"
)

SPARK = """
import sys
from pyspark.sql import SparkSession
from pyspark.sql.functions import col
from propensity.files.source import FileError
from propensity.files.spark import score
spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
applications = spark.read.parquet(sys.argv[1]).repartition(4)
applications = applications.withColumn("amount", col("amount").cast("decimal(20, 0)"))
score(applications, id_column="application_id").write.parquet(sys.argv[2])
for wrong, id_column in ((applications.drop("age"), "application_id"), (applications, "name")):
    try:
        score(wrong, id_column=id_column)
    except FileError as error:
        print(error)
"""


@pytest.mark.thorough
@needs_java
def test_spark_predicts_what_the_api_does(tmp_path: Path, rows: Rows, answers: Rows, tag: str) -> None:
    source = write(rows, tmp_path / "in.parquet")
    done = subprocess.run(
        [sys.executable, "-c", SPARK, str(source), str(tmp_path / "out")], cwd=ROOT, capture_output=True,
        text=True, check=False, env=os.environ | {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4_000:]
    assert done.stdout.startswith(
        "the DataFrame: the columns of the table are not valid: 'age' is required and missing\n"
        "the DataFrame: has no column 'name'; its columns are application_id, seniority, "
    )
    assert len(list((tmp_path / "out").glob("*.parquet"))) > 1
    found = {row["id"]: row for row in pq.read_table(tmp_path / "out").to_pylist()}
    assert len(found) == 500
    for row, answer in zip(rows, answers, strict=True):
        prediction = found[row["application_id"]]
        if "propensity" in answer:
            assert prediction["propensity"] == pytest.approx(answer["propensity"], abs=1e-12, rel=0)
            assert (prediction["decision"], prediction["model"]) == (answer["decision"], tag)
            assert prediction["problem"] is None
        else:
            assert prediction["propensity"] is None
            errors = json.loads(prediction["problem"])["errors"]
            assert [error["field"] for error in errors] == [error["field"] for error in answer["errors"]]
