"""A field of the contract: what one value of a row may be."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic import Field as Member

Kind = Literal["integer", "number", "boolean", "category"]

Language = Annotated[str, Member(pattern="^[a-z]{2,3}(-[A-Za-z0-9]+)*$")]
Words = dict[Language, str]
"""A text by language, such as `{"en": "Weight", "es": "Peso"}`."""

EXACT = 2**53
"""Bound of whole numbers: up to there, each is a 64-bit float of its own."""

MAX_NAME = 100
"""Characters of a field's name; problems repeat no more of any name, since clients can send longer ones."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Field(BaseModel):
    """One field of a row, and how the pipeline takes it.

    An `integer` is a whole number; `3` and `3.0` are the same, as in JSON Schema. A `number` is any finite
    64-bit float. A `category` is one of a list of texts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Member(min_length=1, max_length=MAX_NAME, description="As in requests, and in the pipeline.")
    kind: Kind
    nullable: bool = Member(default=False, description="Whether it may be null, or left out.")
    description: str | None = None
    unit: str | None = None
    minimum: float | None = Member(default=None, description="Least value that is accepted.")
    maximum: float | None = Member(default=None, description="Largest value that is accepted.")
    bounds_from: str | None = Member(default=None, description="Where minimum and maximum come from.")
    categories: tuple[str, ...] | None = Member(default=None, description="The values of a category.")
    dtype: str | None = Member(
        default=None,
        description="pandas type of the column that the pipeline was trained with; by default float64, bool"
        " or str. `category[int64]` is a categorical of whole numbers.",
    )
    missing: Literal["NaN", "None"] = Member(
        default="NaN", description="What stood for a missing value in a column of objects."
    )
    words: Words = Member(default_factory=dict, description="Its name in plain words, by language.")
    category_words: dict[str, Words] = Member(
        default_factory=dict, description="The categories in plain words, by category and language."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if _CONTROL.search(self.name):
            raise ValueError("its name holds a control character, which a CSV file can't carry")
        if (self.kind == "category") != (self.categories is not None):
            raise ValueError("a category has `categories`, and no other kind has")
        if self.categories is not None:
            if not self.categories or len(set(self.categories)) < len(self.categories):
                raise ValueError("categories must be at least one, and each stand once")
            if "" in self.categories or any(_CONTROL.search(each) for each in self.categories):
                raise ValueError(
                    "a category is empty or holds a control character, which a CSV file can't carry"
                )
            if unknown := sorted(self.category_words.keys() - set(self.categories)):
                raise ValueError(f"category_words has words for {', '.join(unknown)}, which is no category")
        if self.kind in {"boolean", "category"} and (self.minimum, self.maximum) != (None, None):
            raise ValueError(f"a {self.kind} has no minimum and maximum")
        if self.lowest > self.highest:
            raise ValueError("its minimum exceeds its maximum")
        if self.kind == "integer" and any(
            not bound.is_integer() or abs(bound) > EXACT for bound in (self.lowest, self.highest)
        ):
            raise ValueError("the bounds of an integer must be whole numbers between -2**53 and 2**53")
        return self

    @property
    def category_dtype(self) -> str:
        """The pandas type of the categories themselves."""
        inner = re.fullmatch(r"category\[(.+)\]", self.dtype or "")
        if inner is not None:
            return inner[1]
        return "str" if self.dtype in {None, "category"} else str(self.dtype)

    @property
    def missing_value(self) -> float | None:
        """What stands for a missing value in a column of texts or objects."""
        return None if self.missing == "None" else float("nan")

    @property
    def lowest(self) -> float:
        """The least number that the field takes; of a category, its first place."""
        if self.minimum is not None:
            return self.minimum
        return {"integer": -float(EXACT), "number": -LARGEST}.get(self.kind, 0.0)

    @property
    def highest(self) -> float:
        """The largest number that the field takes; of a category, its last place."""
        if self.maximum is not None:
            return self.maximum
        if self.categories is not None:
            return float(len(self.categories) - 1)
        return {"integer": float(EXACT), "number": LARGEST}.get(self.kind, 1.0)


LARGEST = 1.7976931348623157e308
"""The largest finite float: infinities are out of bounds everywhere."""
