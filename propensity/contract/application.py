"""The contract of an application: its fields, their order, bounds, categories and nullability.

It is the single source of these: the import gate compares the pipeline with it, OpenAPI publishes it, and
requests are validated against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from annotated_types import Ge, GroupedMetadata, Le
from pydantic import (
    AfterValidator,
    AllowInfNan,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    WithJsonSchema,
)
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from propensity.contract.limits import MAX_FIELDS, MAX_ROWS
from propensity.contract.problem import Kind, Problem, unprocessable

Home = Literal["owner", "rent", "parents", "priv", "other", "ignore"]
Marital = Literal["single", "married", "widow", "separated", "divorced"]
Records = Literal["no", "yes"]
Job = Literal["fixed", "partime", "freelance", "others"]

CATEGORIES: dict[str, tuple[str, ...]] = {
    "home": get_args(Home),
    "marital": get_args(Marital),
    "records": get_args(Records),
    "job": get_args(Job),
}


@dataclass(frozen=True)
class Whole(GroupedMetadata):
    """A whole number within inclusive bounds; `3` and `3.0` are the same number, as in JSON Schema.

    It is kept as a float, since the pipeline computes with floats. Bounds must stay below 2**24: up to there
    32-bit floats, with which scikit-learn's trees compare, are exact, and so a compiled form takes the same
    branch at every split.
    """

    minimum: int
    maximum: int

    def __iter__(self) -> Iterator[object]:
        yield Strict()
        yield AllowInfNan(False)
        yield Ge(self.minimum)
        yield Le(self.maximum)
        yield AfterValidator(_whole)
        yield WithJsonSchema({"type": "integer", "minimum": self.minimum, "maximum": self.maximum})


def _whole(value: float) -> float:
    # MultipleOf(1) would accept numbers that are only nearly whole.
    if not value.is_integer():
        raise PydanticCustomError("whole_number", "must be a whole number")
    return value


Years = Annotated[float, Whole(0, 60)]
Age = Annotated[float, Whole(18, 100)]
Months = Annotated[float, Whole(1, 120)]
Flow = Annotated[float, Whole(0, 100_000)]
Stock = Annotated[float, Whole(0, 10_000_000)]
Price = Annotated[float, Whole(1, 1_000_000)]

_MONEY: JsonDict = {"unit": "monetary units"}

EXAMPLE: JsonDict = {
    "seniority": 9,
    "home": "rent",
    "time": 60,
    "age": 30,
    "marital": "married",
    "records": "no",
    "job": "freelance",
    "expenses": 73,
    "income": 129,
    "assets": 0,
    "debt": 0,
    "amount": 800,
    "price": 846,
}
"""The one example that OpenAPI, README, warm-up, load test and tests share."""


class Application(BaseModel):
    """An applicant's request for a consumer credit.

    Amounts are whole monetary units of the training data, whose source names no currency. Nullable fields
    may be null or left out.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": EXAMPLE})

    seniority: Years = Field(description="Years in the present job.", json_schema_extra={"unit": "years"})
    home: Home | None = Field(default=None, description="How the applicant is housed.")
    time: Months = Field(description="Duration of the credit.", json_schema_extra={"unit": "months"})
    age: Age = Field(description="Age of the applicant.", json_schema_extra={"unit": "years"})
    marital: Marital | None = Field(default=None, description="Marital status.")
    records: Records = Field(description="Whether the applicant has a record of past default.")
    job: Job | None = Field(default=None, description="Kind of job (`partime`: part-time).")
    expenses: Flow = Field(description="Living expenses per month.", json_schema_extra=_MONEY)
    income: Flow | None = Field(default=None, description="Income per month.", json_schema_extra=_MONEY)
    assets: Stock | None = Field(default=None, description="Value of assets.", json_schema_extra=_MONEY)
    debt: Stock | None = Field(default=None, description="Debt outstanding.", json_schema_extra=_MONEY)
    amount: Price = Field(description="Amount applied for.", json_schema_extra=_MONEY)
    price: Price = Field(description="Price of the good to be bought.", json_schema_extra=_MONEY)


class Applications(BaseModel):
    """A batch of applications."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"applications": [EXAMPLE]}})

    applications: list[Application] = Field(min_length=1, max_length=MAX_ROWS)


def read_row(row: object, number: int | None = None) -> Row:
    """Return the application of a decoded row, or its problem if it is not valid.

    Args:
        row: any value that JSON or a table was decoded to.
        number: its place in the batch, from 0; None for a row that is not in a batch.
    """
    if isinstance(row, dict) and len(row) > MAX_FIELDS:
        where = "the body" if number is None else f"application {number}"
        detail = f"{where} has {len(row):,} fields; an application has {len(FEATURES)}"
        return Problem.of(Kind.INVALID_APPLICATION, detail)
    try:
        return Application.model_validate(row)
    except ValidationError as error:
        return unprocessable(error, row=number)


Row = Application | Problem
"""A row of a request: an application, or the problem that takes its place."""

FEATURES = tuple(Application.model_fields)
NULLABLE = frozenset(name for name, field in Application.model_fields.items() if not field.is_required())


def bounds(name: str) -> tuple[int, int]:
    """Return the lowest and the highest value allowed in a numeric field."""
    schema = Application.model_json_schema()["properties"][name]
    number = schema.get("anyOf", [schema])[0]
    return number["minimum"], number["maximum"]
