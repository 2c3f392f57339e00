"""The row: how one is validated, and the problem that takes its place if it is not valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Annotated, Any, Literal

from annotated_types import Ge, GroupedMetadata, Le
from pydantic import (
    AfterValidator,
    AllowInfNan,
    BaseModel,
    ConfigDict,
    Strict,
    ValidationError,
    WithJsonSchema,
    create_model,
)
from pydantic import Field as Member
from pydantic_core import ErrorDetails, PydanticCustomError

from propensity.contract.features import Columns, Values
from propensity.contract.field import MAX_NAME, Field
from propensity.contract.limits import MAX_ROWS, Limits
from propensity.contract.problem import MAX_ERRORS, FieldError, Kind, Problem, pointer

Row = Values | Problem
"""A row of a request: its values, or the problem that takes its place."""

MAX_LISTED = 50
"""Categories that a problem lists at most."""


@dataclass(frozen=True)
class RowWords:
    """What a row is called.

    Attributes:
        one: a word such as `row`.
        many: its plural, which also names the list in a batch.
    """

    one: str
    many: str

    @property
    def a_one(self) -> str:
        """The word with its article: a row, an order."""
        return f"{'an' if self.one[0] in 'aeiou' else 'a'} {self.one}"

    def where(self, number: int | None) -> str:
        """Return what a message calls a row: its place in the batch, or the body if it is that."""
        return "the body" if number is None else f"{self.one} {number}"


class RowSchema:
    """Validates rows, and describes them as JSON schemas.

    Attributes:
        model: the row as a pydantic model, whose members have inner names and the fields' names as aliases.
        batch: the body of a batch as a pydantic model.
        envelope: the same, with rows of any kind.
    """

    def __init__(
        self,
        fields: tuple[Field, ...],
        columns: Columns,
        words: RowWords,
        description: str,
        example: dict[str, Any],
    ) -> None:
        self._words = words
        self._limits = Limits(fields)
        self._fields = len(fields)
        inner = {name: f"f{place}" for place, name in enumerate(columns.names)}
        self._values = _in_order([*inner.values()])
        members: dict[str, Any] = {inner[field.name]: _member(field) for field in fields}
        self.model = create_model(
            _class_name(words.one),
            __config__=ConfigDict(extra="forbid", json_schema_extra={"example": example}),
            __doc__=description,
            **members,
        )
        self.batch = self._list_of(self.model, example)
        self.envelope = self._list_of(Any, example)

    def _list_of(self, row: Any, example: dict[str, Any]) -> type[BaseModel]:
        many = self._words.many
        rows = Member(alias=many, title=_title(many), min_length=1, max_length=MAX_ROWS)
        return create_model(
            _class_name(many),
            __config__=ConfigDict(extra="forbid", json_schema_extra={"example": {many: [example]}}),
            __doc__=f"A batch of {many}.",
            rows=(list[row], rows),
        )

    def read(self, row: object, number: int | None = None) -> Row:
        """Return the values of a decoded row, or its problem if it is not valid.

        Args:
            row: any value that JSON or a table was decoded to.
            number: its place in the batch, from 0; None for a row that is not in a batch.
        """
        if isinstance(row, dict) and len(row) > self._limits.fields:
            where = self._words.where(number)
            detail = f"{where} has {len(row):,} fields; {self._words.a_one} has {self._fields}"
            return Problem.of(Kind.INVALID_ROW, detail)
        try:
            return self.values(self.model.model_validate(row))
        except ValidationError as error:
            return self.unprocessable(error, number)

    def values(self, row: BaseModel) -> Values:
        """Return the values of a validated row."""
        return self._values(row.__dict__)

    def unprocessable(self, error: ValidationError, number: int | None = None) -> Problem:
        """Return the problem that describes a validation error.

        Args:
            error: with locations that start at the body, or at the row.
            number: place of the row in its batch, from 0; None if it is the body.
        """
        where = self._words.where(number)
        if error.error_count() > MAX_ERRORS:
            # Listing them all would let a small body cause a huge response.
            detail = f"{where} is not valid: {error.error_count():,} things are wrong with it"
            return Problem.of(Kind.INVALID_ROW, detail)
        # Without the input: a client's values belong neither in a response nor in a log.
        details = error.errors(include_url=False, include_input=False)
        errors = [self._field_error(detail, number) for detail in details]
        names = dict.fromkeys(field_error.field for field_error in errors if field_error.field)
        fields = ", ".join(names) or errors[0].detail
        return Problem.of(Kind.INVALID_ROW, f"{where} is not valid: {fields}; see errors", errors)

    def _field_error(self, error: ErrorDetails, number: int | None) -> FieldError:
        location = [str(part)[:MAX_NAME] for part in error["loc"]]
        path = location if number is None else [self._words.many, str(number), *location]
        detail = _DETAILS.get(error["type"], "{msg}")
        return FieldError(
            pointer=pointer(*path),
            field=location[0] if location else None,
            row=number,
            detail=detail.format(
                msg=error["msg"], one=self._words.one, many=self._words.many, **error.get("ctx", {})
            ),
        )


_DETAILS = {
    "bool_type": "must be true or false",
    "extra_forbidden": "is not a field of this API; check its spelling, or leave it out",
    "finite_number": "must be a finite number; send null for a missing value where the field allows it",
    "float_type": "must be a finite number",
    "greater_than_equal": "must be at least {ge:.15g}",
    "less_than_equal": "must be at most {le:.15g}",
    "list_type": "must be an array",
    "literal_error": "must be one of {expected}",
    "missing": "is required and missing",
    "model_attributes_type": "must be an object",
    "model_type": "must be an object",
    "too_long": "must hold at most {max_length:,} {many}; split the batch",
    "too_short": "must hold at least {min_length} {one}",
}
"""Our messages for pydantic's error types; other types keep pydantic's."""


@dataclass(frozen=True)
class _Number(GroupedMetadata):
    """A finite number within inclusive bounds; `3` and `3.0` are the same number, as in JSON Schema."""

    is_whole: bool
    minimum: float | None
    maximum: float | None

    @classmethod
    def of(cls, field: Field) -> _Number:
        # An integer always has bounds: beyond them, floats are whole but not exact.
        is_whole = field.kind == "integer"
        bounds = (field.lowest, field.highest) if is_whole else (field.minimum, field.maximum)
        return cls(is_whole, *map(_spelt, bounds))

    def __iter__(self) -> Iterator[object]:
        schema: dict[str, Any] = {"type": "integer" if self.is_whole else "number"}
        yield Strict()
        yield AllowInfNan(False)
        if self.minimum is not None:
            yield Ge(self.minimum)
            schema["minimum"] = self.minimum
        if self.maximum is not None:
            yield Le(self.maximum)
            schema["maximum"] = self.maximum
        if self.is_whole:
            yield AfterValidator(_whole)
        yield WithJsonSchema(schema)


def _whole(value: float) -> float:
    # MultipleOf(1) would accept numbers that are only nearly whole.
    if not value.is_integer():
        raise PydanticCustomError("whole_number", "must be a whole number")
    return value


def _spelt(bound: float | None) -> float | None:
    """Return a bound as JSON should have it: 18, not 18.0."""
    return int(bound) if bound is not None and bound.is_integer() else bound


def _member(field: Field) -> tuple[Any, Any]:
    kind: Any
    if field.categories is not None:
        kind = Literal[field.categories]
        if len(field.categories) > MAX_LISTED:
            kind = Annotated[str, AfterValidator(_one_of(field.categories)), _enumerated(field.categories)]
    elif field.kind == "boolean":
        kind = Annotated[bool, Strict()]
    else:
        kind = Annotated[float, _Number.of(field)]
    return (
        kind | None if field.nullable else kind,
        Member(
            default=None if field.nullable else ...,
            alias=field.name,
            title=_title(field.name),
            description=field.description,
            json_schema_extra=None if field.unit is None else {"unit": field.unit},
        ),
    )


def _one_of(categories: tuple[str, ...]) -> Callable[[str], str]:
    """Return the check of a long list of categories, whose message does not repeat them all."""
    known = frozenset(categories)

    def check(value: str) -> str:
        if value not in known:
            raise PydanticCustomError(
                "long_literal_error",
                "must be one of {count} categories, which /docs.json lists",
                {"count": len(categories)},
            )
        return value

    return check


def _enumerated(categories: tuple[str, ...]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": [*categories]})


def _class_name(word: str) -> str:
    """Return the name of a schema, which must not be that of another schema of the API."""
    name = word.title().replace("_", "")
    return f"{name}Row" if name in _TAKEN else name


_TAKEN = frozenset(
    {
        "Calibration", "Contract", "Decisions", "Distribution", "Explanation", "Field", "FieldError",
        "Holdout", "HoldoutCurves", "InferenceProblem", "InferenceRequest", "InferenceResponse", "Metrics",
        "ModelCard", "ModelMetadata", "Parity", "PassedOver", "PickleFile", "Prediction", "Predictions",
        "Problem", "Reason", "RequestInput", "RequestOutput", "ResponseOutput", "Roc", "Served", "Target",
        "TensorMetadata", "Threshold",
    }
)  # fmt: skip


def _title(name: str) -> str:
    return name.title().replace("_", " ").strip()


def _in_order(names: list[str]) -> Callable[[dict[str, Any]], Values]:
    if len(names) == 1:
        (name,) = names
        return lambda row: (row[name],)
    return itemgetter(*names)
