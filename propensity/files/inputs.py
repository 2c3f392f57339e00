"""The files that a command is given: which files they are, in which format, read as one source."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from propensity.contract.contract import Contract
from propensity.files.csv import CsvSource
from propensity.files.ndjson import NdJsonSource
from propensity.files.parquet import ParquetSource
from propensity.files.source import FileError, Piece, Source
from propensity.files.text import COMPRESSIONS, TextSource


class Files(Source):
    """Several files, one after the other."""

    def __init__(
        self, name: Path, sources: Sequence[Source], contract: Contract, id_column: str | None
    ) -> None:
        super().__init__(name, contract, id_column)
        self._sources = sources

    @property
    def files(self) -> list[Path]:
        """The files, in the order in which they are read."""
        return [source.path for source in self._sources]

    @property
    def total(self) -> int | None:
        """Number of rows of all files; None if unknown for one of them."""
        totals = [source.total for source in self._sources]
        return None if None in totals else sum(filter(None, totals))

    def count(self) -> int:
        """Return the number of rows of all files."""
        return sum(source.count() for source in self._sources)

    def check(self) -> pa.DataType | None:
        """Check each file; their ids must be of one type."""
        types = [source.check() for source in self._sources]
        for source, kind in zip(self._sources, types, strict=True):
            if kind != types[0]:
                raise FileError(
                    f"{source.path}: its {self.id_column} is {kind}, that of {self._sources[0].path}"
                    f" {types[0]}; write them as one type"
                )
        return types[0]

    def chunks(self) -> Iterator[tuple[int, Any]]:
        """Yield the chunks of all files, each with the place of its file."""
        return ((place, chunk) for place, source in enumerate(self._sources) for chunk in source.chunks())

    def piece(self, chunk: tuple[int, Any]) -> Piece:
        """Read a chunk as its file does."""
        place, rows = chunk
        source = self._sources[place]
        return replace(source.piece(rows), file=source.path)


SOURCES: dict[str, type[Source]] = {
    ".parquet": ParquetSource,
    ".csv": CsvSource,
    ".ndjson": NdJsonSource,
    ".jsonl": NdJsonSource,
}
"""Sources by file suffix, in lower case."""


def source_of(paths: Sequence[Path], contract: Contract, id_column: str | None) -> Source:
    """Return the source that reads these files, folders and patterns, in order.

    Args:
        paths: files, folders and patterns; a folder stands for all files below it, in the order of their
            names.
        contract: the contract of the rows.
        id_column: name of the column of ids, if any.

    Raises:
        FileError: no file matches, or one of them has an unknown format.
    """
    files = [file for path in paths for file in _files(path, contract, id_column)]
    sources = [_source(file, contract, id_column) for file in files]
    return sources[0] if len(sources) == 1 else Files(paths[0], sources, contract, id_column)


def _source(file: Path, contract: Contract, id_column: str | None) -> Source:
    name = file.with_suffix("") if file.suffix.lower() in COMPRESSIONS else file
    kind = SOURCES.get(name.suffix.lower())
    if kind is None or (name != file and not issubclass(kind, TextSource)):
        if name.suffix.lower() in {".arrow", ".arrows", ".feather", ".ipc"}:
            raise FileError(f"{file}: Arrow files (Feather) are not read; write it as Parquet")
        kinds = ", ".join(SOURCES)
        raise FileError(
            f"{file}: its name must end in {kinds}, which states its format; text may also be in .gz or .zst"
        )
    return kind(file, contract, id_column)


def _files(path: Path, contract: Contract, id_column: str | None) -> list[Path]:
    """Return the files that a path stands for."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        # As Spark and Hive do: `_SUCCESS`, checksums and unfinished files hold no rows.
        files = [file for file in files if not _is_hidden(file.relative_to(path).parts)]
        for file in files:
            for folder in file.relative_to(path).parts[:-1]:
                name = folder.partition("=")[0] if "=" in folder else None
                if name in contract.by_name or (name is not None and name == id_column):
                    raise FileError(
                        f"{file.parent}: {name} is in the name of the folder, where it is not read; write it"
                        " into the files (without partitionBy)"
                    )
    elif path.exists():
        return [path]
    else:
        pattern = path.relative_to(path.anchor)
        files = sorted(file for file in Path(path.anchor).glob(os.fspath(pattern)) if file.is_file())
        files = [file for file in files if not _is_hidden(set(file.parts) - set(path.parts))]
    if not files:
        raise FileError(f"{path}: holds no files" if path.is_dir() else f"{path}: no such file")
    return files


def _is_hidden(parts: Iterable[str]) -> bool:
    return any(part.startswith(("_", ".")) for part in parts)
