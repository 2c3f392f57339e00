"""The footer of a Parquet file, as far as it must be known before pyarrow may unpack the file.

A few megabytes of gzip or zstd unpack to any number of gigabytes, and the sizes that a footer states need not
be true; so the codec decides. pyarrow's own access to it ends the process on some footers that are wrong,
which a server can't afford. The footer is a struct FileMetaData (parquet.thrift) in Thrift's compact
protocol.
"""

from __future__ import annotations

from typing import Any

UNCOMPRESSED = 0
SNAPPY = 1
"""Codecs that unpack to a bounded size."""

MAX_BYTES = 1024 * 1024
"""100,000 applications in 100 row groups have a footer of about 0.2 MB."""

_ROW_GROUPS, _COLUMNS, _METADATA, _CODEC = 4, 1, 3, 4
"""Field numbers, from FileMetaData down."""

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = {4, 5, 6}
_VARINT_BITS = 63


def codecs(file: bytes) -> set[int]:
    """The codecs of all columns.

    Raises:
        ValueError: it is no Parquet file, or has a footer that is too large or can't be read.
    """
    length = int.from_bytes(file[-8:-4], "little")
    if len(file) < 12 or file[:4] != b"PAR1" or file[-4:] != b"PAR1":  # noqa: PLR2004
        raise ValueError("it does not begin and end with PAR1")
    if length > min(MAX_BYTES, len(file) - 12):
        raise ValueError("its footer is too large")
    try:
        metadata = _Reader(file[-8 - length : -8]).struct()
        return {column[_METADATA][_CODEC] for group in metadata[_ROW_GROUPS] for column in group[_COLUMNS]}
    except (IndexError, KeyError, TypeError, RecursionError):
        raise ValueError("its footer can't be read") from None


class _Reader:
    """Reads Thrift's compact protocol; a struct becomes a dict by field number."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while header := self._byte():
            step, kind = header >> 4, header & 15
            number = number + step if step else self._integer()
            fields[number] = kind == _TRUE if kind in {_TRUE, _FALSE} else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in _INTEGERS:
            return self._integer()
        if kind == _STRUCT:
            return self.struct()
        if kind in {_LIST, _SET}:
            header = self._byte()
            size = header >> 4 if header >> 4 < 15 else self._varint()  # noqa: PLR2004 — as of the protocol
            return [self._value(header & 15) for _ in range(size)]
        if kind == _MAP:
            size = self._varint()
            kinds = self._byte() if size else 0
            return [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in range(size)]
        if kind in {_TRUE, _FALSE, _BYTE}:
            return self._byte()
        if kind in {_BINARY, _DOUBLE}:
            size = self._varint() if kind == _BINARY else 8
            self._at += size
            if self._at > len(self._content):
                raise IndexError
            return None
        raise KeyError(kind)

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > _VARINT_BITS:
                raise IndexError
        return value | byte << shift

    def _integer(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
