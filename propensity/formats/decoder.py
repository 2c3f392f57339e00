"""The decoder of rows as JSON: compiled from the contract, and several times as fast as its validation.

A category is decoded straight into its place, so that a row is numbers already. The decoder never says what
is wrong: the rows that it does not accept, and only those, are read strictly.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from enum import Enum
from itertools import chain
from typing import Annotated, Any, Self

import msgspec
import numpy as np
from msgspec.structs import astuple

from propensity.contract.contract import Contract
from propensity.contract.features import UNKNOWN, Features
from propensity.contract.field import Field
from propensity.contract.limits import MAX_ROWS
from propensity.contract.problem import Problem
from propensity.contract.row import Row
from propensity.formats.batch import Batch, Hold, unbounded
from propensity.formats.json import count

Id = str | int | float | None
"""What can name a row in a file."""

_OMITTED = float("-inf")
"""Stands for a field that was left out, to tell it from one that is null; JSON has no infinities."""

_BETWEEN = re.compile(rb"[ \t\r\n,]*")
"""What lies between two rows of a list."""

_NOT_ACCEPTED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class RowDecoder:
    """Decodes the rows of one contract.

    msgspec takes the last of two members of one name. That shows in the number of colons: a row has as many
    as it has members. A contract with a colon in a name or a category is left to the strict reader.
    """

    def __init__(self, contract: Contract, id_name: str | None = None) -> None:
        """Compile the decoder.

        Args:
            contract: the contract of the rows.
            id_name: name of a member beside the fields that names a row, if there is one.
        """
        self._contract = contract
        self._columns = contract.columns
        self._has_ids = id_name is not None
        fields = {f"f{place}": field for place, field in enumerate(self._columns.fields)}
        names = {inner: field.name for inner, field in fields.items()}
        self._accepts = id_name not in contract.by_name and not any(
            ":" in text for field in contract.fields for text in (field.name, *(field.categories or ()))
        )
        valid = {inner: _valid(field) for inner, field in fields.items()}
        self._decode_valid = msgspec.json.Decoder(_compiled("Row", valid, names)).decode
        members = {inner: _any(field) for inner, field in fields.items()}
        if id_name is not None:
            names["id"] = id_name
            members["id"] = (Id | msgspec.UnsetType, msgspec.UNSET)
        row = _compiled("AnyRow", members, names)
        self._nothing = row()
        self._decode_any = msgspec.json.Decoder(row).decode
        self._batch = msgspec.json.Decoder(_batch_of(row, contract))
        self._texts = msgspec.json.Decoder(_batch_of(msgspec.Raw, contract))

    def row(self, text: bytes) -> Features | None:
        """Return the features of a valid row, shape (1, columns); None if it must be read strictly."""
        if not self._accepts:
            return None
        try:
            values = astuple(self._decode_valid(text))
        except _NOT_ACCEPTED:
            return None
        omitted = values.count(_OMITTED)
        if text.count(b":") != len(values) - omitted:
            return None
        if omitted:
            values = tuple(None if value == _OMITTED else value for value in values)
        return np.fromiter(values, np.float64, len(values)).reshape(1, -1)

    def batch(self, body: bytes, parse: Callable[[bytes], object], hold: Hold = unbounded) -> Batch | None:
        """Return the rows of an object with a list of them; None if all of it must be read strictly.

        Args:
            body: the object as JSON.
            parse: decodes the text of a row strictly; a ValueError if it is not JSON.
            hold: charged for each problem before the next row is read.
        """
        if not self._accepts:
            return None
        names = _colons(body) - 1
        try:
            rows = self._batch.decode(body).rows
        except _NOT_ACCEPTED:
            rows = []
        if 0 < len(rows) <= MAX_ROWS:
            features, _ = self._matrix(rows)
            if _names(features, ()) == names:
                return self._checked(rows, features, [], _never, hold)
        texts = self._split(body)
        if not 0 < len(texts) <= MAX_ROWS:
            return None
        found = self._each(texts, names)
        if found is None:
            return None
        rows, features, _, others = found
        try:
            parsed = {place: parse(texts[place]) for place in others}
        except ValueError:
            return None
        return self._checked(
            rows, features, others, lambda place: self._contract.read_row(parsed[place], place), hold
        )

    def lines(
        self, body: bytes, texts: Sequence[bytes], read: Callable[[int], Row], hold: Hold = unbounded
    ) -> tuple[Batch, list[Id]] | None:
        """Return the rows of NDJSON and their ids, if they have any; None if all must be read strictly.

        Args:
            body: all lines.
            texts: those that are not blank.
            read: reads the line at a place among them strictly; it has no id here.
            hold: charged for each problem before the next row is read.
        """
        # An id could hide a colon behind an escape, and so a name that stands twice.
        if not self._accepts or (self._has_ids and b"\\u003" in body):
            return None
        found = self._each(texts, _colons(body))
        if found is None:
            return None
        rows, features, ids, others = found
        batch = self._checked(rows, features, others, read, hold)
        return batch, [None if each is msgspec.UNSET else each for each in ids]

    def _each(
        self, texts: Sequence[bytes], names: int
    ) -> tuple[list[Any], Features, list[Any], list[int]] | None:
        """Decode texts of a row each.

        Args:
            texts: the texts.
            names: how many colons they hold together.

        Returns:
            The rows, their values and ids, and the places of those that were not accepted. None if there are
            other than `names` colons.
        """
        decode, rows, others = self._decode_any, [], []
        for place, text in enumerate(texts):
            try:
                rows.append(decode(text))
            except _NOT_ACCEPTED:
                rows.append(self._nothing)
                others.append(place)
        features, ids = self._matrix(rows)
        if _names(features, ids) + sum(texts[place].count(b":") for place in others) != names:
            found = [text.count(b":") for text in texts]
            if sum(found) != names:
                return None
            expected = [_names(features[place], ids[place : place + 1]) for place in range(len(rows))]
            others = sorted({*others, *np.flatnonzero(np.not_equal(found, expected)).tolist()})
        return rows, features, ids, others

    def _checked(
        self,
        rows: Sequence[Any],
        features: Features,
        others: Sequence[int],
        read: Callable[[int], Row],
        hold: Hold,
    ) -> Batch:
        """Return the batch of decoded rows.

        Args:
            rows: the rows.
            features: their values as `_matrix` returns them, overwritten.
            others: places of the rows that must be read strictly.
            read: reads the row at such a place.
            hold: charged for each problem.
        """
        features[features == _OMITTED] = np.nan
        doubtful = self._columns.doubtful(features)
        doubtful[others] = True
        strictly, read_row = frozenset(others), self._contract.read_row
        problems: dict[int, Problem] = {}
        for place in np.flatnonzero(doubtful).tolist():
            row = read(place) if place in strictly else read_row(self._sent(rows[place]), place)
            if isinstance(row, Problem):
                hold(row.bytes)
                problems[place] = row
                continue
            doubtful[place] = False
            features[place] = self._columns.of_tuples([row])
        return Batch(features.T[:, ~doubtful].T if problems else features, problems)

    def _sent(self, row: Any) -> dict[str, object]:
        """Return a decoded row as it was sent, but for texts that are no category."""
        return {
            name: value.value if isinstance(value, Enum) else value
            for name, value in zip(self._columns.names, astuple(row), strict=False)
            if value != _OMITTED
        }

    def _matrix(self, rows: Sequence[Any]) -> tuple[Features, list[Any]]:
        """Return the values of decoded rows and their ids, if they have any.

        Returns:
            The values, shape (n, columns), a column after the other in memory; the ids, in order.
        """
        width = len(self._columns.names)
        flat, ids = [*chain.from_iterable(map(astuple, rows))], []
        if self._has_ids:
            ids = flat[width :: width + 1]
            del flat[width :: width + 1]
        try:
            features = np.frombuffer(struct.pack(f"{len(flat)}d", *flat))
        except struct.error:  # a null, which takes twice the time
            features = np.fromiter(flat, np.float64, len(flat))
        return np.array(features.reshape(-1, width), order="F"), ids

    def _split(self, body: bytes) -> Sequence[bytes]:
        """Return the text of each row of a batch; none if they can't be told apart."""
        try:
            return list(map(bytes, self._texts.decode(body).rows))
        except _NOT_ACCEPTED:
            pass
        # Python writes NaN and Infinity, which are not JSON: tell the rows apart as if they were numbers.
        masked = body.replace(b"NaN", b"111").replace(b"Infinity", b"11111111")
        try:
            found = map(bytes, self._texts.decode(masked).rows)
        except _NOT_ACCEPTED:
            return ()
        texts, end = [], masked.index(b"[") + 1
        for text in found:
            start = _BETWEEN.match(masked, end).end()  # type: ignore[union-attr]
            end = start + len(text)
            texts.append(body[start:end])
        return texts


def _names(values: Features, ids: Sequence[Any]) -> int:
    """Return how many colons rows hold of which none names a member twice."""
    texts = "".join(each for each in ids if isinstance(each, str))
    omitted = int(np.count_nonzero(values == _OMITTED)) + ids.count(msgspec.UNSET)
    return values.size + len(ids) - omitted + texts.count(":")


def _never(place: int) -> Row:
    raise IndexError(place)


def _colons(text: bytes) -> int:
    return count(text, b":")


class _Place(float, Enum):
    """A category, or any text: decoded by its text, and a number already."""

    def __new__(cls, place: float, text: str) -> Self:
        """Return the member for a text."""
        member = float.__new__(cls, place)
        member._value_ = text
        return member


class _AnyPlace(_Place):
    """A category, or any other text: a place that is out of bounds."""

    @classmethod
    def _missing_(cls, _: object) -> Any:
        return cls.unknown  # type: ignore[attr-defined]


def _places(kind: Any, categories: Sequence[str], **more: tuple[float, str]) -> Any:
    members = {f"c{place}": (float(place), text) for place, text in enumerate(categories)}
    return kind("Places", members | more)


def _any_text(categories: Sequence[str] = ()) -> Any:
    return _places(_AnyPlace, categories, unknown=(float("inf"), UNKNOWN))


def _valid(field: Field) -> tuple[Any, ...]:
    """Return the type of a field's valid values, and what stands for it where it may be left out."""
    kind: Any = bool
    if field.categories is not None:
        kind = _places(_Place, field.categories)
    elif field.kind != "boolean":
        bounds = msgspec.Meta(ge=field.lowest, le=field.highest)
        kind = Annotated[float, bounds]
        if field.kind == "integer":
            kind = Annotated[float, bounds, msgspec.Meta(multiple_of=1)]
    return (kind | None, _OMITTED) if field.nullable else (kind,)


def _any(field: Field) -> tuple[Any, ...]:
    """Return the type of what is often sent in a field, and what stands for it where it was left out."""
    kind: Any = _any_text(field.categories or ())
    if field.categories is None:
        kind |= bool if field.kind == "boolean" else float
    return kind | None, _OMITTED


def _compiled(name: str, members: dict[str, tuple[Any, ...]], rename: dict[str, str]) -> Any:
    # gc=False: they hold no references that could form a cycle.
    fields = [(inner, *member) for inner, member in members.items()]
    return msgspec.defstruct(name, fields, rename=rename, kw_only=True, forbid_unknown_fields=True, gc=False)


def _batch_of(row: Any, contract: Contract) -> Any:
    return _compiled("Batch", {"rows": (list[row],)}, {"rows": contract.rows})
