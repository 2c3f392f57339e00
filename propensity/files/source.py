"""Sources: rows in files of any size, read a piece at a time by the contract of the API."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from propensity.contract.contract import Contract
from propensity.contract.problem import ProblemError
from propensity.files import ids
from propensity.formats import tables
from propensity.formats.batch import Batch


class FileError(Exception):
    """A file can't be scored; the message says where and why."""


@dataclass(frozen=True)
class Piece:
    """Some rows of the input, in order.

    Attributes:
        batch: the rows.
        ids: shape (rows,); None if the rows have none.
        file: the file of the rows, where there are several.
    """

    batch: Batch
    ids: pa.Array | None
    file: Path | None = None

    @classmethod
    def of(cls, records: pa.Table, contract: Contract, id_column: str | None) -> Piece:
        """Return the piece of these Arrow records.

        Args:
            records: a column for each field, and one of ids if `id_column` names it.
            contract: the contract of the rows.
            id_column: name of the column of ids, if any.
        """
        ids = None
        if id_column is not None:
            ids, records = records[id_column].combine_chunks(), records.drop_columns([id_column])
        return cls(tables.read(records, contract), ids)


class Source(ABC):
    """A file of rows.

    Attributes:
        path: the file.
        contract: the contract of the rows.
        id_column: name of the column of ids, if any.
    """

    def __init__(self, path: Path, contract: Contract, id_column: str | None) -> None:
        self.path = path
        self.contract = contract
        self.id_column = id_column

    @property
    def files(self) -> list[Path]:
        """The files that are read, in order."""
        return [self.path]

    @property
    def total(self) -> int | None:
        """Number of rows, where it is known without reading them."""
        return None

    @abstractmethod
    def check(self) -> pa.DataType | None:
        """Check that the columns are the fields, before any row is read.

        Returns:
            The type of the ids; None if there are none.

        Raises:
            FileError: a column is missing, unknown or of a wrong type.
        """

    @abstractmethod
    def chunks(self) -> Iterator[Any]:
        """Yield some rows after the other as the file holds them, or where they are; each is pickled.

        Raises:
            FileError: the file can't be read.
        """

    @abstractmethod
    def piece(self, chunk: Any) -> Piece:
        """Return the rows of a chunk.

        Raises:
            FileError: the chunk can't be split into rows.
        """

    @abstractmethod
    def count(self) -> int:
        """Return the number of rows, by other means than reading them: it must show if one was lost."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors in the content of a file into a `FileError` that names it; pass on those of the system.

    Raises:
        FileError: the content can't be read.
        OSError: the system refused to read the file.
    """
    try:
        yield
    except ProblemError as error:
        raise FileError(f"{path}: {error.problem.detail}") from None
    except (OSError, pa.ArrowException) as error:
        if getattr(error, "errno", None):
            raise
        raise FileError(f"{path}: {str(error).splitlines()[0]}") from error


def check_columns(
    schema: pa.Schema, contract: Contract, id_column: str | None, where: object
) -> pa.DataType | None:
    """Check that columns are the fields of a contract, and perhaps an id.

    Args:
        schema: schema of the columns.
        contract: the contract.
        id_column: name of the column of ids, if any.
        where: file that the message names.

    Returns:
        The type of the ids; None if there are none.

    Raises:
        FileError: a column is missing, unknown or of a wrong type, or not every format can write the ids.
    """
    kind, names = None, schema.names
    if id_column is not None:
        places = schema.get_all_field_indices(id_column)
        if len(places) != 1:
            fault = "several columns" if places else "no column"
            raise FileError(f"{where}: has {fault} {id_column!r}; its columns are {', '.join(names)}")
        kind = schema.field(places[0]).type
        if not ids.can_name(kind):
            raise FileError(
                f"{where}: {id_column} is {kind}, which can't name {contract.a_row}; cast it to text"
            )
        schema = schema.remove(places[0])
    try:
        tables.check_schema(schema, contract)
    except ProblemError as error:
        detail = error.problem.detail
        if error.problem.errors:
            faults = "; ".join(f"{fault.field!r} {fault.detail}" for fault in error.problem.errors)
            detail = f"{detail.partition(':')[0]}: {faults}"
        raise FileError(f"{where}: {detail}{_advice(schema.names, contract, id_column)}") from None
    return kind


def _advice(names: Sequence[str], contract: Contract, id_column: str | None) -> str:
    """Return what to do about a column that is not a field but looks like an index or an id."""
    for name in names:
        if not name or name.startswith(("Unnamed:", "__index_level_")):
            along = "" if id_column else f", or take it along as the id (--id {name or repr(name)})"
            return f". pandas writes its index as {name!r}: leave it out (index=False){along}"
    for name in names:
        if id_column is None and name not in contract.by_name and name.lower().endswith("id"):
            return f". If {name!r} names the {contract.rows}, take it along: --id {name}"
    return ""
