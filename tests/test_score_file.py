"""Scoring files: in every format and on Spark, the API's own predictions and problems; resumable."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import commands
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import AUTHORIZED, ROOT
from starlette.testclient import TestClient

from propensity import application_files, score_file, store
from propensity.access_log import WRITE_SECONDS
from propensity.application_files import CsvSource, FileError, ParquetSource
from propensity.contract import EXAMPLE
from propensity.prediction_files import ParquetTarget
from propensity.scorer import Scorer

Rows = list[dict[str, Any]]
FORMATS = ["parquet", "csv", "ndjson"]


@pytest.fixture(scope="module")
def rows(holdout: Rows) -> Rows:
    """Applications with an id, two of them not valid."""
    found = [{"application_id": f"a{n}", **row["application"]} for n, row in enumerate(holdout[:500])]
    found[3] = found[3] | {"age": 7}
    found[499] = found[499] | {"job": "astronaut", "income": -5}
    return found


@pytest.fixture(scope="module")
def answers(client: TestClient, rows: Rows) -> Rows:
    """What the API answers to them."""
    applications = [{name: row[name] for name in EXAMPLE} for row in rows]
    found: Rows = client.post(
        "/v1/predict_batch", json={"applications": applications}, headers=AUTHORIZED
    ).json()["predictions"]
    # Until the service in process has written its log, which would stand between what commands print.
    time.sleep(3 * WRITE_SECONDS)
    return found


@pytest.fixture(scope="module")
def scorer(tag: str) -> Scorer:
    return store.load_scorer(store.SERVED.resolve())


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


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return commands.run(score_file.main, *arguments)


@pytest.mark.parametrize("given", FORMATS)
@pytest.mark.parametrize("wanted", FORMATS)
def test_a_file_gets_the_predictions_and_problems_of_the_api(
    tmp_path: Path, rows: Rows, answers: Rows, tag: str, given: str, wanted: str
) -> None:
    source = write(rows, tmp_path / f"in.{given}")
    before = source.read_bytes()
    output = tmp_path / f"out.{wanted}"
    done = run(source, output, "--id", "application_id")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"score-file: 500 applications, 498 predictions in {output}",
        f"score-file: 2 problems in {output}.problems.ndjson",
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


def test_without_problems_there_is_no_file_of_them(tmp_path: Path, rows: Rows) -> None:
    applications = [{name: row[name] for name in EXAMPLE} for row in rows[:3]]
    done = run(write(applications, tmp_path / "in.parquet"), tmp_path / "out.parquet")
    assert done.stdout == f"score-file: 3 applications, 3 predictions in {tmp_path / 'out.parquet'}\n"
    assert "id" not in read(tmp_path / "out.parquet")[0]
    assert {path.name for path in tmp_path.iterdir()} == {"in.parquet", "out.parquet"}


def test_a_cell_that_is_no_number_and_a_row_of_another_length_are_problems_of_their_own(
    tmp_path: Path,
) -> None:
    names = ",".join(EXAMPLE)
    good = ",".join(map(str, EXAMPLE.values()))
    lines = [names, good, good.replace("9,rent", "nine,rent", 1), f"{good},1", "", good.replace("129", "")]
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    done = run(tmp_path / "in.csv", tmp_path / "out.ndjson")
    assert done.returncode == 0, done.stderr
    nine, long = read(tmp_path / "out.ndjson.problems.ndjson")
    assert (nine["row"], nine["errors"][0]["field"]) == (1, "seniority")
    assert (long["row"], long["detail"]) == (2, "the row has 14 cells, the line of names 13")
    predictions = read(tmp_path / "out.ndjson")
    assert [row["propensity"] is None for row in predictions] == [False, True, True, False]


class InterruptedWorkError(Exception):
    """What stops the work in these tests."""


class Watched(ParquetSource):
    """Says which pieces are read, and stops before one of them."""

    def __init__(self, path: Path, stop_before: int | None) -> None:
        super().__init__(path, "application_id")
        self.stop_before = stop_before
        self.read: list[int] = []

    def pieces(self, skipped: int) -> Any:
        for number, piece in enumerate(super().pieces(skipped), skipped):
            if number == self.stop_before:
                raise InterruptedWorkError
            self.read.append(number)
            yield piece


def test_what_was_interrupted_goes_on_where_it_was(
    tmp_path: Path, rows: Rows, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application_files, "MAX_TABLE_ROWS", 120)
    path = write(rows, tmp_path / "in.parquet")
    whole, output = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    score_file.score_file(Watched(path, None), ParquetTarget(), whole, scorer)
    with pytest.raises(InterruptedWorkError):
        score_file.score_file(Watched(path, 2), ParquetTarget(), output, scorer)
    assert not output.exists()
    # As if it had been cut off while a piece was written.
    (tmp_path / "out.parquet.work" / "00000002.unfinished").write_bytes(b"PAR1")
    again = Watched(path, None)
    assert score_file.score_file(again, ParquetTarget(), output, scorer) == (500, 2)
    assert again.read == [2, 3, 4]
    assert read(output) == read(whole)
    problems = [read(Path(f"{each}.problems.ndjson")) for each in (output, whole)]
    assert problems[0] == problems[1]
    assert not (tmp_path / "out.parquet.work").exists()


def test_what_is_held_does_not_grow_with_the_file(tmp_path: Path, rows: Rows) -> None:
    table = pa.Table.from_pylist([{name: row[name] for name in EXAMPLE} for row in rows] * 20)
    path = tmp_path / "in.parquet"
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(40):
            writer.write_table(table)
    del table
    held = []
    for piece in ParquetSource(path, None).pieces(0):
        assert piece.batch.rows == 10_000
        held.append(pa.total_allocated_bytes())
    assert len(held) == 40
    assert max(held[20:]) < 1.2 * max(held[:5])


def test_work_on_another_input_is_not_gone_on_with(
    tmp_path: Path, rows: Rows, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application_files, "MAX_TABLE_ROWS", 120)
    path = write(rows, tmp_path / "in.parquet")
    with pytest.raises(InterruptedWorkError):
        score_file.score_file(Watched(path, 2), ParquetTarget(), tmp_path / "out.parquet", scorer)
    write(rows[:400], path)
    with pytest.raises(FileError, match=r"out\.parquet\.work: holds interrupted work on another input"):
        score_file.score_file(Watched(path, None), ParquetTarget(), tmp_path / "out.parquet", scorer)
    assert (tmp_path / "out.parquet.work" / "00000001.parquet").exists()


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("in.parquet", b"PAR1", (), "in.parquet: "),
        ("in.csv", b"age,wage\n1,2\n", (), "in.csv: the columns of the table are not valid: seniority"),
        ("in.csv", b"", (), "in.csv: the columns of the table are not valid"),
        ("in.csv", f"{','.join(EXAMPLE)}\n".encode(), (), "in.csv: holds no applications"),
        ("in.csv", f"{','.join(EXAMPLE)}\n".encode(), ("--id", "x"), "in.csv: there is no column 'x'"),
        ("in.csv", b"\xff\xfe", (), "in.csv: "),
        ("in.xlsx", b"", (), "in.xlsx: give it a name that ends in .parquet, .csv, .ndjson"),
        ("in.ndjson", b"", ("--model", "propensity:none"), "propensity:none"),
    ],
)
def test_what_keeps_a_file_from_being_scored_is_said_in_one_line(
    tmp_path: Path, tag: str, name: str, content: bytes, options: tuple[str, ...], said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    done = run(tmp_path / name, tmp_path / "out.parquet", *options)
    assert done.returncode == 1
    assert done.stderr.startswith("score-file: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_output_that_is_there_is_not_overwritten(tmp_path: Path, rows: Rows) -> None:
    (tmp_path / "out.csv").write_text("mine")
    done = run(write(rows, tmp_path / "in.csv"), tmp_path / "out.csv")
    assert (
        done.stderr == f"score-file: {tmp_path / 'out.csv'}: exists; move it away, or name another output\n"
    )
    assert (tmp_path / "out.csv").read_text() == "mine"


def test_a_csv_file_of_excel_is_read(tmp_path: Path) -> None:
    line = ",".join(map(str, EXAMPLE.values()))
    (tmp_path / "in.csv").write_bytes(f"\ufeff{','.join(EXAMPLE)}\r\n{line}\r\n".encode())
    (piece,) = CsvSource(tmp_path / "in.csv", None).pieces(0)
    assert piece.batch.rows == 1
    assert piece.batch.problems == {}


needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java 17")

SPARK = """
import sys
from pyspark.sql import SparkSession
from propensity.spark import score
spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
applications = spark.read.parquet(sys.argv[1]).repartition(4)
score(applications, id_column="application_id").write.parquet(sys.argv[2])
"""


@needs_java
def test_spark_predicts_what_the_api_does(tmp_path: Path, rows: Rows, answers: Rows, tag: str) -> None:
    source = write(rows, tmp_path / "in.parquet")
    done = subprocess.run(
        [sys.executable, "-c", SPARK, str(source), str(tmp_path / "out")], cwd=ROOT, capture_output=True,
        text=True, check=False, env=os.environ | {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4_000:]
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
