"""The contract: the fields of a row, and the words for it. It is data, and travels with the model.

Everything that depends on the model's fields is made of this one object: validation and encoding, the OpenAPI
document, reason codes, drift, the prediction log, and the model card.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic import Field as Member

from propensity.contract.features import Columns, Features
from propensity.contract.field import Field
from propensity.contract.limits import Limits
from propensity.contract.problem import Problem
from propensity.contract.row import Row, RowSchema, RowWords

_WORD = "^[a-z][a-z0-9_]*$"


class Decisions(BaseModel):
    """What the two decisions are called."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    negative: str = Member(default="negative", pattern=_WORD, description="Below the threshold.")
    positive: str = Member(default="positive", pattern=_WORD, description="From the threshold on.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.negative == self.positive:
            raise ValueError("the two decisions need different names")
        return self


class Contract(BaseModel):
    """What a caller sends and what the answer means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Member(description="What the propensity is called, such as `Propensity to churn`.")
    meaning: str = Member(description="What a row of the positive class means, after `probability that`.")
    row: str = Member(default="row", pattern=_WORD, description="What a row is called.")
    rows: str = Member(default="rows", pattern=_WORD, description="Its plural.")
    description: str = Member(default="", description="What a row is, in a sentence.")
    decisions: Decisions = Decisions()
    fields: tuple[Field, ...] = Member(min_length=1, description="In the order that the pipeline takes.")
    example: dict[str, Any] = Member(description="A valid row.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [field.name for field in self.fields]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"fields: {', '.join(twice)} stands twice")
        if self.row == self.rows:
            raise ValueError("row and rows need different words")
        example = self.read_row(self.example)
        if isinstance(example, Problem):
            faults = [f"{error.field} {error.detail}" for error in example.errors or ()]
            raise ValueError(f"example: {'; '.join(faults) or example.detail}")  # noqa: TRY004 - pydantic's
        return self

    @cached_property
    def columns(self) -> Columns:
        """The columns of the features."""
        return Columns(self.fields)

    @cached_property
    def words(self) -> RowWords:
        """What a row is called."""
        return RowWords(self.row, self.rows)

    @property
    def a_row(self) -> str:
        """What a row is called, with its article."""
        return self.words.a_one

    @cached_property
    def schema_of_row(self) -> RowSchema:
        """The validation of rows."""
        return RowSchema(
            self.fields,
            self.columns,
            self.words,
            self.description or f"One {self.row}: {', '.join(field.name for field in self.fields)}.",
            self.example,
        )

    @cached_property
    def limits(self) -> Limits:
        """How much of these rows is accepted."""
        return Limits(self.fields)

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """The fields by name."""
        return {field.name: field for field in self.fields}

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The languages of reasons: English and Spanish, and those that the contract has words in."""
        words = [words for field in self.fields for words in (field.words, *field.category_words.values())]
        others = sorted({language for each in words for language in each})
        return tuple(dict.fromkeys(("en", "es", *others)))

    @cached_property
    def decision_names(self) -> tuple[str, str]:
        """The decisions below the threshold and from it on."""
        return self.decisions.negative, self.decisions.positive

    def read_row(self, row: object, number: int | None = None) -> Row:
        """Return the values of a decoded row, or its problem; arguments as in `RowSchema.read`."""
        return self.schema_of_row.read(row, number)

    def encode(self, rows: list[dict[str, Any]]) -> Features:
        """Return the features of rows that are known to be valid, shape (n, columns).

        Raises:
            ValueError: a row is not valid.
        """
        read = [self.read_row(row, number) for number, row in enumerate(rows)]
        valid = [row for row in read if not isinstance(row, Problem)]
        for row in read:
            if isinstance(row, Problem):
                raise ValueError(row.detail)  # noqa: TRY004 - its value is wrong
        return self.columns.of_tuples(valid)

    def decode(self, features: Features) -> list[dict[str, Any]]:
        """Return rows as a caller sends them, fields in the order of the contract."""
        names = self.columns.names
        rows = [dict(zip(names, self.columns.tuple_of(row), strict=True)) for row in features]
        return [{field.name: row[field.name] for field in self.fields} for row in rows]
