"""Scores files of any size with the model of the store, without a server.

    propensity score rows.parquet predictions.parquet --id row_id

The names of the files choose their formats: Parquet, CSV or NDJSON. The contract is that of the API: a row
that is not valid gets no prediction, and its problem goes, with its number, into
`predictions.parquet.problems.ndjson`. Rows are read, predicted and written a piece at a time, so memory does
not grow with the file. An interrupted run continues when it is started again; the input is only read.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
from bentoml.exceptions import BentoMLException

from propensity.contract.contract import Contract
from propensity.files import ids
from propensity.files.inputs import source_of
from propensity.files.progress import progress
from propensity.files.source import FileError, Piece, Source
from propensity.files.targets import TARGETS, OutputError, Target, append, writing
from propensity.files.unfinished_work import Work
from propensity.files.workers import in_order
from propensity.formats import tables
from propensity.formats.batch import Answers
from propensity.model import store
from propensity.model.predictor import Predictor
from propensity.settings import MODEL

SOME_PROBLEMS = 3
"""Exit status if some rows have problems instead of predictions."""


def predict(piece: Piece, predictor: Predictor) -> pa.Table:
    """Return a row for each row of a piece: its id if any, and its prediction, or its problem as JSON."""
    batch = piece.batch
    table = tables.write(
        Answers.of(
            batch,
            predictor.predict(batch.features),
            predictor.threshold,
            predictor.model,
            predictor.contract,
        )
    )
    return table if piece.ids is None else table.add_column(0, "id", piece.ids)


def score_file(
    source: Source, target: Target, output: Path, predictor: Predictor, processes: int = 1
) -> tuple[int, int]:
    """Score a file.

    Args:
        source: the rows.
        target: the format of the output.
        output: file to write; the problems go beside it.
        predictor: the model.
        processes: number of processes that score, with this one; each other loads the model from the store.
            The output is the same.

    Returns:
        The number of rows, and how many of them have a problem.

    Raises:
        FileError: the source can't be read, the output is in use or exists, or a row was lost.
        OutputError: the output can't be written.
        BrokenProcessPool: a process ended before its work was done.
    """
    _check_absent(output)
    source.check()
    if source.total == 0:
        raise FileError(f"{source.path}: holds no {source.contract.rows}")
    with Work(source, output, predictor.model) as work:
        # Another process may have held the lock until now, and finished.
        _check_absent(output)
        number = work.done()
        if not number:
            _check_absent(_problems_of(output))
        rows = 0
        scorer = Scorer(source, predictor, target, output)
        chunks = enumerate(islice(source.chunks(), number, None), number)
        tasks = ((chunk, work.unfinished(place)) for place, chunk in chunks)
        with (
            _joining(work, target, output) as join,
            progress("scoring", source.total) as advance,
            closing(in_order(scorer.score, scorer.job().score, tasks, processes)) as pieces,
        ):
            for done in range(number):
                join(done)
                rows += work.rows(done)
            advance(rows)
            for scored in pieces:
                lines = [
                    f"{json.dumps(problem | {'row': rows + problem['row']})}\n" for problem in scored.problems
                ]
                work.keep(number, scored.rows, lines)
                join(number)
                rows += scored.rows
                advance(scored.rows)
                number += 1
        if not number:
            raise FileError(f"{source.path}: holds no {source.contract.rows}")
        problem_count = _finish(work, target, output, source.count())
        work.remove()
    return rows, problem_count


@dataclass(frozen=True)
class Scored:
    """A piece whose predictions are written.

    Attributes:
        rows: number of its rows.
        problems: of those that have one; each states its place in the piece as `row`.
    """

    rows: int
    problems: list[dict[str, Any]]


@dataclass(frozen=True)
class Scorer:
    """Scores chunks of a source, and writes their predictions to files."""

    source: Source
    predictor: Predictor
    target: Target
    output: Path

    def score(self, chunk: Any, path: Path) -> Scored:
        """Predict a chunk, and write its predictions to a file."""
        piece = self.source.piece(chunk)
        predictions = predict(piece, self.predictor)
        problems = list(_problems(predictions, piece.file, self.predictor.contract))
        with writing(self.output):
            self.target.write(predictions.drop_columns("problem"), path)
        return Scored(predictions.num_rows, problems)

    def job(self) -> Job:
        """Return what another process must know to do the same."""
        source, model = self.source, self.predictor.model
        return Job(tuple(source.files), source.id_column, model, type(self.target), self.output)


@dataclass(frozen=True)
class Job:
    """A scorer by its names: another process loads what they stand for, once."""

    files: tuple[Path, ...]
    id_column: str | None
    model: str
    target: type[Target]
    output: Path

    def score(self, chunk: Any, path: Path) -> Scored:
        """Predict a chunk, and write its predictions to a file."""
        return _loaded(self).score(chunk, path)


@lru_cache(maxsize=1)
def _loaded(job: Job) -> Scorer:
    predictor = store.load_predictor(store.to_serve(job.model).resolve())
    source = source_of(job.files, predictor.contract, job.id_column)
    return Scorer(source, predictor, job.target(), job.output)


@contextmanager
def _joining(work: Work, target: Target, output: Path) -> Iterator[Callable[[int], None]]:
    """Join pieces while others are scored; gives the function to call with the number of each, in order.

    Raises:
        OutputError: they can't be written.
    """
    with ExitStack() as files:
        with writing(output):
            add = files.enter_context(target.joining(work.joined))
            problems = files.enter_context(work.joined_problems.open("wb"))

        def join(number: int) -> None:
            with writing(output):
                add(work.part(number))
                append(problems, work.problems(number))

        try:
            yield join
        except BaseException:
            # What is closed is incomplete, and thrown away: that it can't be written either is no news.
            with suppress(OSError, pa.ArrowException):
                files.close()
            raise
        with writing(output):
            files.close()


def _finish(work: Work, target: Target, output: Path, rows: int) -> int:
    """Check that no row was lost, and move the joined pieces to their places.

    Args:
        work: the pieces.
        target: the format of the output.
        output: the place of the predictions.
        rows: number of rows of the input.

    Returns:
        The number of problems.

    Raises:
        FileError: predictions and problems are not as many as the rows of the input.
        OutputError: the output can't be written.
    """
    predictions = target.count(work.joined)
    with work.joined_problems.open("rb") as file:
        problems = sum(1 for _ in file)
    if predictions + problems != rows:
        raise FileError(
            f"{output}: not written: of {rows:,} rows there are {predictions:,} predictions and"
            f" {problems:,} problems; this is a bug, please report it"
        )
    with writing(output):
        if problems:
            work.joined_problems.replace(_problems_of(output))
        work.joined.replace(output)
    return problems


def _problems_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.problems.ndjson")


def _check_absent(path: Path) -> None:
    if path.exists():
        raise FileError(f"{path}: exists; move it away, or name another output")


def _problems(predictions: pa.Table, file: Path | None, contract: Contract) -> Iterator[dict[str, Any]]:
    """Yield the problem of each row that has one, with its place as `row`, and its id if it has one.

    Args:
        predictions: those of one piece.
        file: the file of the piece, where there are several.
        contract: the contract of the rows.
    """
    place_in_words = re.compile(rf"^({contract.row} [\d,]+|the body) ")
    places = np.flatnonzero(predictions["problem"].is_valid()).tolist()
    if not places:
        return
    row_ids = ids.spell(predictions["id"].combine_chunks()) if "id" in predictions.column_names else None
    for place in places:
        row: dict[str, Any] = {"row": place}
        if file is not None:
            row["file"] = str(file)
        if row_ids is not None:
            row["id"] = row_ids[place].as_py()
        problem = json.loads(predictions["problem"][place].as_py())
        # The problem states the row's place in the piece, or in a request; neither means anything here.
        problem["detail"] = place_in_words.sub("the row ", problem["detail"])
        for error in problem.get("errors", ()):
            error.pop("row", None)
            error.pop("pointer")
        yield row | problem


def run(
    inputs: Sequence[Path], output: Path, id_column: str | None, model: str | None, processes: int
) -> None:
    """Run the command `score`."""
    with _stoppable():
        rows, problems = _score_files(inputs, output, id_column, model, processes)
    print(f"score: {rows:,} rows, {rows - problems:,} predictions in {output}")
    if problems:
        print(f"score: {problems:,} problems in {_problems_of(output)}")
        sys.exit(SOME_PROBLEMS)


class StoppedError(BaseException):
    """The command was told to stop by a signal."""


@contextmanager
def _stoppable() -> Iterator[None]:
    """End the block, and the command, with one line on SIGINT and SIGTERM."""

    def stop(number: int, _: FrameType | None) -> NoReturn:
        raise StoppedError(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except StoppedError as stopped:
        print("propensity score: stopped; start it again to continue", file=sys.stderr)
        sys.exit(128 + stopped.args[0])
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _score_files(
    inputs: Sequence[Path], output: Path, id_column: str | None, model: str | None, processes: int
) -> tuple[int, int]:
    """Score the files of the command line; return the number of rows and of problems."""
    try:
        target = _target(output, inputs)
        found = store.to_serve(model or MODEL).resolve()
        source = source_of(inputs, store.manifest_of(found).contract, id_column)
        predictor = store.load_predictor(found)
        return score_file(source, target, output, predictor, processes)
    except (FileError, OutputError, BentoMLException) as error:
        sys.exit(f"propensity score: {error}")
    except BrokenProcessPool:
        sys.exit(
            "propensity score: a process ended, perhaps for want of memory; start it again with fewer"
            " --processes"
        )
    except (OSError, pa.ArrowException) as error:
        where = "" if str(inputs[0]) in str(error) else f"{inputs[0]}: "
        sys.exit(f"propensity score: {where}{str(error).splitlines()[0]}")


def _target(output: Path, inputs: Sequence[Path]) -> Target:
    kind = TARGETS.get(output.suffix.lower())
    if kind is None:
        kinds = ", ".join(TARGETS)
        raise FileError(f"{output}: its name must end in {kinds}, which chooses its format")
    for path in inputs:
        if path.is_dir() and output.resolve().is_relative_to(path.resolve()):
            raise FileError(f"{output}: lies in {path}, all of which is read; write it elsewhere")
    return kind()
