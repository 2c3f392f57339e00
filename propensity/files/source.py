"""The source: applications in a file of any size, read a piece at a time by the contract of the API."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from propensity.contract.application import FEATURES
from propensity.contract.problem import ProblemError
from propensity.files import ids
from propensity.formats import tables
from propensity.formats.batch import Batch


class FileError(Exception):
    """A file that can't be scored; the message says where and why."""


@dataclass(frozen=True)
class Piece:
    """Some rows of the input, in order.

    Attributes:
        batch: the rows.
        ids: what the applications are called, one for each row, or nothing.
        file: that they are of, where there are several.
    """

    batch: Batch
    ids: pa.Array | None
    file: Path | None = None

    @classmethod
    def of(cls, records: pa.RecordBatch, id_column: str | None) -> Piece:
        """Return the piece of these Arrow records.

        Args:
            records: a column for each field, and one of ids if `id_column` names it.
            id_column: name of the column of ids, if any.
        """
        ids = None
        if id_column is not None:
            ids, records = records[id_column], records.drop_columns([id_column])
        return cls(tables.read(pa.Table.from_batches([records])), ids)


class Source(ABC):
    """A file of applications."""

    def __init__(self, path: Path, id_column: str | None) -> None:
        self.path = path
        self.id_column = id_column

    @property
    def files(self) -> list[Path]:
        """What is read, in order."""
        return [self.path]

    @property
    def total(self) -> int | None:
        """How many rows it has, where that is known beforehand."""
        return None

    @abstractmethod
    def check(self) -> pa.DataType | None:
        """See that its columns are fields, before any row is read.

        Returns:
            The type of the ids; None, where there are none.

        Raises:
            FileError: they are not.
        """

    @abstractmethod
    def chunks(self) -> Iterator[Any]:
        """Its rows as they are in the file, so many at a time as a request may have.

        Raises:
            FileError: it can't be read.
        """

    @abstractmethod
    def piece(self, chunk: Any) -> Piece:
        """The rows of a chunk.

        Raises:
            FileError: nobody could say which rows they are.
        """

    def pieces(self, skipped: int) -> Iterator[Piece]:
        """Its rows, without the first pieces.

        Args:
            skipped: pieces that are not wanted any more.

        Raises:
            FileError: it can't be read.
        """
        return map(self.piece, islice(self.chunks(), skipped, None))

    @abstractmethod
    def count(self) -> int:
        """How many rows it has, found without any of what reads them."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What is wrong within a file is said with its name; what fails below it, the system says."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        if getattr(error, "errno", None):
            raise
        raise FileError(f"{path}: {str(error).splitlines()[0]}") from error


def check_columns(schema: pa.Schema, id_column: str | None, where: object) -> pa.DataType | None:
    """See that columns are the fields of an application, and perhaps an id.

    Args:
        schema: of the columns.
        id_column: that names the applications.
        where: they are, for the message.

    Returns:
        The type of the ids; None, where there are none.

    Raises:
        FileError: they are not, or ids of this type can't be written in every format.
    """
    kind, names = None, schema.names
    if id_column is not None:
        places = schema.get_all_field_indices(id_column)
        if len(places) != 1:
            found = f"there is no column {id_column!r}" if not places else f"{id_column!r} is there twice"
            raise FileError(f"{where}: {found}; there are {', '.join(names)}")
        kind = schema.field(places[0]).type
        if not ids.can_name(kind):
            raise FileError(
                f"{where}: {id_column} is {kind}, which can't name an application; cast it to text"
            )
        schema = schema.remove(places[0])
    try:
        tables.check_schema(schema)
    except ProblemError as error:
        wrong = "; ".join(f"{each.field!r} {each.detail}" for each in error.problem.errors or ())
        detail = error.problem.detail.partition(":")[0] if wrong else error.problem.detail
        said = f"{detail}: {wrong}" if wrong else detail
        raise FileError(f"{where}: {said}{_way_out(schema.names, id_column)}") from None
    return kind


def _way_out(names: Sequence[str], id_column: str | None) -> str:
    """What columns that are no fields may be."""
    for name in names:
        if not name or name.startswith(("Unnamed:", "__index_level_")):
            along = "" if id_column else f", or take it along as the id (--id {name or repr(name)})"
            return f". pandas writes its index as {name!r}: leave it out (index=False){along}"
    for name in names:
        if id_column is None and name not in FEATURES and name.lower().endswith("id"):
            return f". If {name!r} names the applications, take it along: --id {name}"
    return ""
