"""The contract of the prediction API: what an application is, and what is answered to it.

The single source of field names, order, bounds, categories and nullability. The import gate compares
the pipeline with it, OpenAPI publishes it, and every request is validated against it once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

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

from propensity.contract.limits import MAX_FIELDS, MAX_REASONS, MAX_ROWS
from propensity.contract.problem import Kind, Problem, ProblemError, unprocessable
from propensity.formats import strict_json

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

Decision = Literal["approve", "decline"]


@dataclass(frozen=True)
class Whole(GroupedMetadata):
    """A whole number within bounds, both included; `3` and `3.0` are the same number, as in JSON Schema.

    Kept as a float, because that is what the pipeline computes with. The bounds stay below 2**24, so that
    32-bit floats, in which scikit-learn's trees compare, hold every allowed value exactly: a compiled form
    then goes the same way at every split.
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
    # pydantic's own MultipleOf tolerates a remainder.
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
"""An application; OpenAPI, README, warm-up, load test and tests all use this one."""


class Application(BaseModel):
    """An applicant's request for a consumer credit.

    Amounts are whole monetary units of the training data, whose source names no currency. Fields that may
    be missing may be null or left out.
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

    @staticmethod
    def rows(body: bytes) -> list[Row]:
        """The one row of a request body that is an application.

        Raises:
            ProblemError: 400, the body is not JSON; 422, it is not an application.
        """
        try:
            application = Application.model_validate_json(body)
            # No name and no category has a colon in it: so no name stands twice.
            if body.count(b":") == len(application.model_fields_set):
                return [application]
        except ValidationError:
            # The strict reader says what is wrong.
            pass
        row = read_row(strict_json.parse(body))
        if isinstance(row, Problem):
            raise ProblemError(row)
        return [row]


class Applications(BaseModel):
    """A batch of applications."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"applications": [EXAMPLE]}})

    applications: list[Application] = Field(min_length=1, max_length=MAX_ROWS)

    @staticmethod
    def rows(body: bytes) -> Iterator[Row]:
        """The rows of a request body that is a batch, in order; a row that is not valid is its problem.

        They are read one by one, as they are asked for.

        Raises:
            ProblemError: 400, the body is not JSON; 422, it is not a batch, is empty, or has too many rows.
        """
        try:
            envelope = _Envelope.model_validate(strict_json.parse(body))
        except ValidationError as error:
            raise ProblemError(unprocessable(error)) from None
        return (read_row(row, number) for number, row in enumerate(envelope.applications))


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid")

    applications: list[Any] = Field(min_length=1, max_length=MAX_ROWS)


def read_row(row: object, number: int | None = None) -> Row:
    """An application, from what JSON or a table made of it; its problem, if it is not valid.

    Args:
        row: anything.
        number: its place in the batch, from 0; None, if it is alone.
    """
    if isinstance(row, dict) and len(row) > MAX_FIELDS:
        where = "the body" if number is None else f"application {number}"
        detail = f"{where} has {len(row):,} fields; an application has {len(FEATURES)}"
        return Problem.of(Kind.INVALID_APPLICATION, detail)
    try:
        return Application.model_validate(row)
    except ValidationError as error:
        return unprocessable(error, row=number)


class Reason(BaseModel):
    """One field that pushed a propensity up."""

    model_config = ConfigDict(extra="forbid")

    field: str = Field(description="The field of the application.")
    contribution: float = Field(gt=0, description="Log-odds that it adds.")
    en: str = Field(description="Field and value in plain English.")
    es: str = Field(description="Field and value in plain Spanish.")


class Explanation(BaseModel):
    """Why a propensity is what it is: base and contributions add up to its log-odds.

    A contribution is the Shapley value of the field in the served model itself (TreeSHAP, path-dependent).
    """

    model_config = ConfigDict(extra="forbid")

    base: float = Field(description="Log-odds of an application of which nothing is known.")
    contributions: dict[str, float] = Field(description="Log-odds that each field adds, or takes away.")
    reasons: list[Reason] = Field(
        max_length=MAX_REASONS, description="What pushed the propensity up, the strongest first."
    )


class Prediction(BaseModel):
    """The propensity to default of one application, and the decision that follows from it."""

    model_config = ConfigDict(extra="forbid")

    propensity: float = Field(ge=0, le=1, description="Probability that the credit ends in default.")
    decision: Decision = Field(description="`decline` where the propensity reaches the threshold.")
    threshold: float = Field(gt=0, lt=1, description="On the propensity; chosen in the notebook by cost.")
    model: str = Field(description="Model tag: which model answered.")
    explanation: Explanation | None = Field(
        default=None, description="Where `?explain=true` asked for it; left out otherwise."
    )


class Predictions(BaseModel):
    """The answers to a batch: one for each application, in the order of the request."""

    model_config = ConfigDict(extra="forbid")

    predictions: list[Prediction | Problem] = Field(
        description="A prediction, or, in its place, the problem of an application that is not valid."
    )
    problems: int = Field(ge=0, description="How many of them are problems.")


Row = Application | Problem
"""A row of a request: an application, or the problem that it has instead."""

FEATURES = tuple(Application.model_fields)
NULLABLE = frozenset(name for name, field in Application.model_fields.items() if not field.is_required())


def bounds(name: str) -> tuple[int, int]:
    """The lowest and the highest value that a number of an application may take."""
    schema = Application.model_json_schema()["properties"][name]
    number = schema.get("anyOf", [schema])[0]
    return number["minimum"], number["maximum"]
