"""Scores a file of applications of any size with the model of the store, without a server.

    python -m propensity.score_file applications.parquet predictions.parquet --id application_id

Parquet, CSV or NDJSON, by the names of the files, in either direction. The contract is that of the API: a
row that is not valid gets no prediction, and its problem goes, with its number, into
`predictions.parquet.problems.ndjson`. Rows are read, predicted and written a piece at a time, so memory does
not grow with the file. What is interrupted goes on where it was when it is started again; the input is only
read.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from bentoml.exceptions import BentoMLException

from propensity import store, tables
from propensity.application_files import SOURCES, FileError, Piece, Source
from propensity.batch import Outcomes
from propensity.prediction_files import TARGETS, Target, concatenate
from propensity.problem import ProblemError
from propensity.progress import progress
from propensity.scorer import Scorer


def predicted(piece: Piece, scorer: Scorer) -> pa.Table:
    """A row for each row of a piece: its id, if it has one, its prediction, or its problem as JSON."""
    batch = piece.batch
    table = tables.write(Outcomes.of(batch, scorer.predict(batch.features), scorer.threshold, scorer.model))
    return table if piece.ids is None else table.add_column(0, "id", piece.ids)


class Work:
    """The pieces that are done, in a folder beside the output, until they are joined."""

    def __init__(self, source: Source, output: Path, model: str) -> None:
        """Goes on with what is there.

        Raises:
            FileError: it is of another input, model or id.
        """
        self.folder = output.with_name(f"{output.name}.work")
        self._suffix = output.suffix
        about = source.path.stat()
        self._note = self.folder / "of.json"
        self._of = json.dumps(
            {
                "input": str(source.path.resolve()),
                "bytes": about.st_size,
                "modified": about.st_mtime_ns,
                "id": source.id_column,
                "model": model,
            }
        )
        if self._note.exists() and self._note.read_text(encoding="utf-8") != self._of:
            raise FileError(
                f"{self.folder}: holds interrupted work on another input or model; delete it to begin anew"
            )

    def done(self) -> int:
        """How many pieces are done: those before the first that is not whole."""
        number = 0
        while self.part(number).exists():
            number += 1
        return number

    def part(self, number: int) -> Path:
        """The predictions of a piece."""
        return self.folder / f"{number:08}{self._suffix}"

    def rows(self, number: int) -> int:
        """How many rows a piece has."""
        return int((self.folder / f"{number:08}.rows").read_text())

    def keep(self, number: int, predictions: pa.Table, target: Target, problems: list[str]) -> None:
        """Keep a piece."""
        if not self._note.exists():
            self.folder.mkdir(exist_ok=True)
            self._note.write_text(self._of, encoding="utf-8")
        self.problems(number).write_text("".join(problems), encoding="utf-8")
        (self.folder / f"{number:08}.rows").write_text(str(predictions.num_rows))
        # Last, and whole: it says that the piece is done.
        unfinished = self.part(number).with_suffix(".unfinished")
        target.write(predictions, unfinished)
        unfinished.replace(self.part(number))

    def problems(self, number: int) -> Path:
        """The problems of a piece."""
        return self.folder / f"{number:08}.problems"


def score_file(source: Source, target: Target, output: Path, scorer: Scorer) -> tuple[int, int]:
    """Score a file.

    Args:
        source: the applications.
        target: how predictions are written.
        output: where to; the problems go beside it.
        scorer: the model.

    Returns:
        How many rows there were, and how many of them got a problem.

    Raises:
        FileError: it can't be read, or there is other work in the way.
    """
    work = Work(source, output, scorer.model)
    number = work.done()
    rows = sum(work.rows(each) for each in range(number))
    with progress("scoring", source.total) as bar:
        bar.advance(rows)
        for piece in source.pieces(number):
            predictions = predicted(piece, scorer)
            work.keep(
                number, predictions.drop_columns("problem"), target, list(_problem_lines(predictions, rows))
            )
            rows += predictions.num_rows
            bar.advance(predictions.num_rows)
            number += 1
    if not number:
        raise FileError(f"{source.path}: holds no applications")
    unfinished = output.with_name(f"{output.name}.unfinished")
    target.join([work.part(each) for each in range(number)], unfinished)
    problems_file = output.with_name(f"{output.name}.problems.ndjson")
    concatenate([work.problems(each) for each in range(number)], problems_file)
    unfinished.replace(output)
    with problems_file.open("rb") as file:
        count = sum(1 for _ in file)
    if not count:
        problems_file.unlink()
    shutil.rmtree(work.folder)
    return rows, count


def _problem_lines(predictions: pa.Table, before: int) -> Iterator[str]:
    """A line for each row that has a problem.

    Args:
        predictions: of a piece.
        before: rows before it.
    """
    for place in np.flatnonzero(predictions["problem"].is_valid()).tolist():
        row = {"row": before + place}
        if "id" in predictions.column_names:
            row["id"] = predictions["id"][place].as_py()
        problem = json.loads(predictions["problem"][place].as_py())
        # Its places are those in the piece, or in a request.
        problem["detail"] = _PLACE.sub("the row ", problem["detail"])
        for error in problem.get("errors", ()):
            error.pop("row", None)
            error.pop("pointer")
        yield f"{json.dumps(row | problem, default=str)}\n"


_PLACE = re.compile(r"^(application [\d,]+|the body) ")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m propensity.score_file", description="Scores a file of applications."
    )
    kinds = ", ".join(SOURCES)
    parser.add_argument("input", type=Path, help=f"applications ({kinds})")
    parser.add_argument("output", type=Path, help=f"predictions, a row for each ({kinds})")
    parser.add_argument("--id", help="a column of the input that names the applications; goes along as `id`")
    parser.add_argument("--model", default=str(store.SERVED.tag), help=f"tag ({store.SERVED.tag})")
    given = parser.parse_args()
    for path in (given.input, given.output):
        if path.suffix not in SOURCES:
            sys.exit(f"score-file: {path}: give it a name that ends in {kinds}, which says what is in it")
    if given.output.exists():
        sys.exit(f"score-file: {given.output}: exists; move it away, or name another output")
    try:
        scorer = store.load_scorer(store.ImportedModel(given.model).resolve())
        source = SOURCES[given.input.suffix](given.input, given.id)
        rows, problems = score_file(source, TARGETS[given.output.suffix](), given.output, scorer)
    except (FileError, BentoMLException) as error:
        sys.exit(f"score-file: {error}")
    except ProblemError as error:
        sys.exit(f"score-file: {given.input}: {error.problem.detail}")
    except (OSError, pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        sys.exit(f"score-file: {given.input}: {str(error).splitlines()[0]}")
    print(f"score-file: {rows:,} applications, {rows - problems:,} predictions in {given.output}")
    if problems:
        print(f"score-file: {problems:,} problems in {given.output}.problems.ndjson")


if __name__ == "__main__":
    main()
