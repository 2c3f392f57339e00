"""A column of a data scientist's frame, and the field of the contract that it becomes."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from propensity.contract.field import EXACT, LARGEST, Field, Kind
from propensity.handover.faults import first_fault
from propensity.importing.anatomy import Encoder, is_missing, text_of
from propensity.model.gate import GateError

MAX_CATEGORIES = 1_000
"""Distinct texts beyond which a column is free text, unless an encoder has learned them."""

HALF = 0.5
"""Share of numbers beyond which a column of texts is one of numbers with a few texts in it."""

FEW = 50
"""Rows or values below which nothing is said about how many of them are distinct."""

ROOM = 10
"""How many times the largest value of the data a value may be, by default."""


@dataclass
class Column:
    """One column, as it stands in the data.

    Attributes:
        name: of the column.
        values: of all rows that are known, as Python objects; None where missing.
        rows: what these rows are called.
        dtype: pandas type, as the pipeline was trained with, as far as known.
        encoder: what the pipeline's encoder has learned of it.
        is_imputed: whether the pipeline fills its missing values.
        has_none: whether its missing cells hold None.
        remarks: what a person should look at, without the column's name.
    """

    name: str
    values: list[Any]
    rows: list[Any]
    dtype: Any
    encoder: Encoder | None = None
    is_imputed: bool = False
    has_none: bool = False
    remarks: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, name: str, samples: Sequence[pd.Series[Any]], encoder: Encoder | None, is_imputed: bool
    ) -> Column:
        """Return a column.

        Args:
            name: of the column.
            samples: its values in one or more frames, first in the one that the pipeline was trained with.
            encoder: what the pipeline's encoder has learned of it.
            is_imputed: whether the pipeline fills its missing values.
        """
        rows = [row for sample in samples for row in sample.index]
        cells = [cell for sample in samples for cell in sample.astype(object).tolist()]
        values = [None if is_missing(cell) else cell for cell in cells]
        first_missing = next((cell for cell in cells if is_missing(cell)), math.nan)
        dtype = samples[0].dtype
        return cls(
            name, values, rows, dtype, encoder, is_imputed, dtype.kind == "O" and first_missing is None
        )

    def field(self, kind: Kind | None, stated: Mapping[str, Any], knows_training: bool) -> Field:
        """Return the field, and note what a person should look at.

        Args:
            kind: if something else than the values says it.
            stated: members of the field that a person has stated; they win.
            knows_training: whether the values include those that the pipeline was trained with.

        Raises:
            GateError: it can't be a field; the message names the column and says what to do.
        """
        known = [value for value in self.values if value is not None]
        if not known:
            raise GateError(f"column {self.name}: holds no value at all; leave it out of the pipeline")
        members: dict[str, Any] = {"name": self.name, "nullable": self._nullable(knows_training)}
        members["kind"] = kind = stated.get("kind") or kind or self._kind(known)
        if kind == "category":
            members |= {"categories": self._categories(known)}
        elif kind in {"integer", "number"} and not {"minimum", "maximum"} <= stated.keys():
            members |= self._bounds(known, is_whole=kind == "integer")
        members |= self._stored(kind)
        try:
            made = Field.model_validate(members | dict(stated))
        except ValidationError as error:
            raise GateError(
                f"column {self.name}: {first_fault(error)}; change the data, or state it in"
                f" contract={{'fields': {{{self.name!r}: ...}}}}"
            ) from error
        self._look_at(made, known, stated)
        return made

    def _kind(self, known: list[Any]) -> Kind:
        if self._is_date(known):
            raise GateError(
                f"column {self.name}: holds dates or times, which the API has no kind for; let the pipeline"
                " take a number, such as the days since then, or year and month"
            )
        types = {_type(value) for value in known}
        if len(types) > 1:
            where = self._first(lambda value: _type(value) is not _type(known[0]))
            raise GateError(
                f"column {self.name}: holds {_PLAIN[_type(known[0])]}, but {where}; give it one type, and"
                " train again"
            )
        (kind,) = types
        if kind is object:
            raise GateError(
                f"column {self.name}: holds objects of type {type(known[0]).__name__}; the API takes numbers,"
                " booleans and texts"
            )
        if isinstance(self.dtype, pd.CategoricalDtype):
            if kind is bool:
                raise GateError(f"column {self.name}: is a categorical of booleans; train it as bool")
            return "category"
        if kind is bool:
            return "boolean"
        if kind is str:
            self._check_no_numbers(known)
            return "category"
        return self._kind_of_numbers(known)

    def _is_date(self, known: list[Any]) -> bool:
        dates = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64, pd.Period)
        return isinstance(known[0], dates)

    def _kind_of_numbers(self, known: list[Any]) -> Kind:
        if not all(map(math.isfinite, known)):
            where = self._first(lambda value: not math.isfinite(value))
            raise GateError(f"column {self.name}: {where}; the API takes finite numbers only")
        whole = all(float(value).is_integer() and abs(value) <= EXACT for value in known)
        if pd.api.types.is_integer_dtype(self.dtype) and not whole:
            raise GateError(
                f"column {self.name}: holds whole numbers beyond 2**53, which no 64-bit float can tell apart;"
                " an id does not belong into a pipeline"
            )
        codes = self._codes()
        if codes and [*range(int(codes[0]), int(codes[-1]) + 1)] != codes:
            self.remarks.append(
                f"{self._encoder_name} takes its numbers as categories, so callers send them as texts"
            )
            return "category"
        if whole and not codes and not pd.api.types.is_integer_dtype(self.dtype):
            self.remarks.append(
                "all its values are whole, so fractions will be refused; if they are possible,"
                " state 'kind': 'number'"
            )
        return "integer" if whole else "number"

    def _check_no_numbers(self, known: list[str]) -> None:
        """Refuse numbers that a few texts among them have turned into texts."""
        if self.encoder is not None or _share(map(_is_number, known)) in {0.0, 1.0}:
            return
        if _share(map(_is_number, known)) > HALF:
            where = self._first(lambda value: not _is_number(value))
            raise GateError(f"column {self.name}: holds numbers, but {where}; correct it, or leave it empty")

    def _first(self, is_it: Callable[[Any], bool]) -> str:
        """Return where the first value that is known and such stands, and what it is."""
        place = next(place for place, value in enumerate(self.values) if value is not None and is_it(value))
        return f"row {self.rows[place]} holds {self.values[place]!r}"

    def _codes(self) -> list[float]:
        """Return the numbers that an encoder takes as categories."""
        learned = () if self.encoder is None else self.encoder.categories
        codes = [code for code in learned if not is_missing(code)]
        return sorted(codes) if all(_type(code) is float for code in codes) else []

    @property
    def _encoder_name(self) -> str:
        return "" if self.encoder is None else self.encoder.name

    def _nullable(self, knows_training: bool) -> bool:
        if any(value is None for value in self.values):
            return True
        if self.encoder is not None and any(map(is_missing, self.encoder.categories)):
            return True
        if self.is_imputed and not knows_training:
            self.remarks.append("may be null, since an imputer fills it, though the data always have it")
            return True
        return False

    def _categories(self, known: list[Any]) -> list[str]:
        counts = Counter(map(text_of, known))
        if len(counts) > max(FEW, len(known) / 2) or (self.encoder is None and len(counts) > MAX_CATEGORIES):
            raise GateError(
                f"column {self.name}: {len(counts):,} different texts in {len(known):,} rows are free text or"
                " an id, and no category; leave it out of the pipeline, or group its values before"
            )
        if isinstance(self.dtype, pd.CategoricalDtype):
            learned = [*self.dtype.categories]
        elif self.encoder is not None:
            learned = self.encoder.texts
        else:
            return sorted(counts)
        categories = [*dict.fromkeys(map(text_of, learned))]
        unknown = sorted(counts.keys() - set(categories))
        if unknown:
            self.remarks.append(
                f"the data hold {', '.join(unknown)}, which {self._encoder_name or 'its dtype'} does not know"
            )
        return categories + unknown

    def _bounds(self, known: list[Any], is_whole: bool) -> dict[str, Any]:
        codes = self._codes()
        if codes:
            low, high = int(codes[0]), int(codes[-1])
            return {"minimum": low, "maximum": high, "bounds_from": f"what {self._encoder_name} has learned"}
        least, largest = float(min(known)), float(max(known))
        if is_whole and {*map(float, known)} <= {0.0, 1.0}:
            return {"minimum": 0, "maximum": 1, "bounds_from": "a flag: the data hold 0 and 1 only"}
        far = min(_rounded_up(ROOM * max(abs(least), abs(largest), 1)), EXACT if is_whole else LARGEST)
        return {
            "minimum": 0 if least >= 0 else -far,
            "maximum": far,
            "bounds_from": f"{ROOM} times the largest of {len(known):,} values, rounded up",
        }

    def _stored(self, kind: Kind) -> dict[str, Any]:
        """Return how the pipeline's column holds the values, as far as it is not the default."""
        stored: dict[str, Any] = {}
        dtype = str(self.dtype)
        if isinstance(self.dtype, pd.CategoricalDtype):
            inner = self.dtype.categories.dtype
            dtype = f"category[{inner}]" if pd.api.types.is_numeric_dtype(inner) else "category"
        is_default = dtype == {"category": "str", "boolean": "bool"}.get(kind, "float64")
        loses_fractions = kind == "number" and pd.api.types.is_integer_dtype(self.dtype)
        if not is_default and not loses_fractions:
            stored["dtype"] = dtype
        learned = () if self.encoder is None else self.encoder.categories
        if self.has_none or (None not in self.values and any(each is None for each in learned)):
            stored["missing"] = "None"
        return stored

    def _look_at(self, made: Field, known: list[Any], stated: Mapping[str, Any]) -> None:
        distinct = len(set(known))
        if distinct == 1:
            self.remarks.append(f"is always {text_of(known[0])}; does the pipeline need it?")
        if self.name.lower() == "id" or self.name.lower().endswith(("_id", " id")):
            self.remarks.append("is called like an id; the model should not learn ids")
        elif made.kind == "integer" and distinct == len(known) > FEW:
            self.remarks.append("no value occurs twice; if it is an id, leave it out")
        if made.categories is not None:
            once = [name for name, count in Counter(map(text_of, known)).items() if count == 1]
            if once:
                self.remarks.append(f"{', '.join(sorted(once))} occurs once only")
        if made.kind in {"integer", "number"}:
            extremes = {"minimum": min(known), "maximum": max(known)}
            for bound in [bound for bound in extremes if bound in stated]:
                if getattr(made, bound) == extremes[bound] != 0:
                    self.remarks.append(
                        f"its {bound} {extremes[bound]:g} is the data's; is it that of the domain?"
                    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _share(of: Iterable[bool]) -> float:
    listed = [*of]
    return sum(listed) / len(listed)


def _type(value: Any) -> type:
    if isinstance(value, bool | np.bool_):
        return bool
    if isinstance(value, int | float | np.integer | np.floating):
        return float
    return str if isinstance(value, str) else object


_PLAIN = {bool: "booleans", float: "numbers", str: "texts", object: "other objects"}


def _rounded_up(number: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, 50 and so on."""
    exponent = math.floor(math.log10(number))
    steps = (float(f"{step}e{exponent}") for step in (1, 2, 5, 10))
    return next((step for step in steps if step >= number), math.inf)
