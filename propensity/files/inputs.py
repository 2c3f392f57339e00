"""The files that a command is given: which they are, what is in each, and all of them as one source."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from propensity.contract.application import FEATURES
from propensity.files.csv import CsvSource
from propensity.files.ndjson import NdJsonSource
from propensity.files.parquet import ParquetSource
from propensity.files.source import FileError, Piece, Source
from propensity.files.text import COMPRESSIONS, TextSource


class Files(Source):
    """Several files, one after the other."""

    def __init__(self, name: Path, sources: Sequence[Source], id_column: str | None) -> None:
        super().__init__(name, id_column)
        self._sources = sources

    @property
    def files(self) -> list[Path]:
        """In the order in which they are read."""
        return [source.path for source in self._sources]

    @property
    def total(self) -> int | None:
        """Of all of them."""
        totals = [source.total for source in self._sources]
        return None if None in totals else sum(total for total in totals if total is not None)

    def count(self) -> int:
        """Of all of them."""
        return sum(source.count() for source in self._sources)

    def check(self) -> pa.DataType | None:
        """Each by itself; their ids must be of one type."""
        types = [source.check() for source in self._sources]
        for source, kind in zip(self._sources, types, strict=True):
            if kind != types[0]:
                raise FileError(
                    f"{source.path}: its {self.id_column} is {kind}, that of {self._sources[0].path}"
                    f" {types[0]}; write them as one type"
                )
        return types[0]

    def chunks(self) -> Iterator[tuple[Source, Any]]:
        """Each with the file it is of."""
        for source in self._sources:
            for chunk in source.chunks():
                yield source, chunk

    def piece(self, chunk: tuple[Source, Any]) -> Piece:
        """As its own file reads it."""
        source, rows = chunk
        return replace(source.piece(rows), file=source.path)


SOURCES: dict[str, type[Source]] = {
    ".parquet": ParquetSource,
    ".csv": CsvSource,
    ".ndjson": NdJsonSource,
    ".jsonl": NdJsonSource,
}
"""By the end of the file's name, in letters of either case."""


def source_of(given: Sequence[Path], id_column: str | None) -> Source:
    """The applications of files, folders and patterns, in order.

    Args:
        given: a folder stands for all files below it, in the order of their names.
        id_column: that names the applications.

    Raises:
        FileError: there is none, or one of them is not of a kind that is read.
    """
    files = [file for path in given for file in _files(path, id_column)]
    sources = [_source(file, id_column) for file in files]
    return sources[0] if len(sources) == 1 else Files(given[0], sources, id_column)


def _source(file: Path, id_column: str | None) -> Source:
    name = file.with_suffix("") if file.suffix.lower() in COMPRESSIONS else file
    kind = SOURCES.get(name.suffix.lower())
    if kind is None or (name != file and not issubclass(kind, TextSource)):
        if name.suffix.lower() in {".arrow", ".arrows", ".feather", ".ipc"}:
            raise FileError(f"{file}: Arrow files (Feather) are not read; write it as Parquet")
        kinds = f"{', '.join(SOURCES)}, which says what is in it; text also in .gz or .zst"
        raise FileError(f"{file}: give it a name that ends in {kinds}")
    return kind(file, id_column)


def _files(path: Path, id_column: str | None) -> list[Path]:
    """The files that a path stands for."""
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file())
        # As Spark and Hive do: `_SUCCESS`, checksums and what is still being written are no data.
        found = [file for file in found if not _is_hidden(file.relative_to(path).parts)]
        for file in found:
            for folder in file.relative_to(path).parts[:-1]:
                name = folder.partition("=")[0] if "=" in folder else None
                if name in FEATURES or (name is not None and name == id_column):
                    raise FileError(
                        f"{file.parent}: {name} is in the name of the folder, where it is not read; write it"
                        " into the files (without partitionBy)"
                    )
    elif path.exists():
        return [path]
    else:
        pattern = path.relative_to(path.anchor)
        found = sorted(file for file in Path(path.anchor).glob(os.fspath(pattern)) if file.is_file())
        found = [file for file in found if not _is_hidden(set(file.parts) - set(path.parts))]
    if not found:
        raise FileError(f"{path}: holds no files" if path.is_dir() else f"{path}: there is no such file")
    return found


def _is_hidden(parts: Iterable[str]) -> bool:
    return any(part.startswith(("_", ".")) for part in parts)
