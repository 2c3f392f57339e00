"""Problems: the one shape of every error this API answers (RFC 9457, `application/problem+json`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"

MAX_ERRORS = 50
"""Field errors that one problem lists; an application has 13 fields."""


class FieldError(BaseModel):
    """One thing that is wrong with a request body, and where."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the request body.")
    field: str | None = Field(default=None, description="The field at fault.")
    row: int | None = Field(default=None, description="The application at fault, counted from 0.")
    detail: str = Field(description="What is wrong, and what would be right.")


class Problem(BaseModel):
    """A problem document as of RFC 9457. Members that say nothing are left out."""

    type: str = Field(
        default="about:blank", description="`about:blank`: the title says no more than the status."
    )
    title: str = Field(description="The status in words.")
    status: int = Field(ge=400, le=599, description="The HTTP status.")
    detail: str = Field(description="What went wrong here, and the way out.")
    errors: list[FieldError] | None = Field(default=None, description="Each field that is at fault.")

    @classmethod
    def of(cls, status: int, detail: str, errors: Sequence[FieldError] = ()) -> Problem:
        """A problem whose title is the status in words."""
        return cls(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=list(errors) or None)

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """This problem as the answer to a request."""
        return Response(
            self.model_dump_json(exclude_none=True),
            status_code=self.status,
            headers=headers,
            media_type=MEDIA_TYPE,
        )


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = headers

    @classmethod
    def of(cls, status: int, detail: str, headers: Mapping[str, str] | None = None) -> ProblemError:
        """A problem that names no field."""
        return cls(Problem.of(status, detail), headers)

    def response(self) -> Response:
        """The answer to the request that this ends."""
        return self.problem.response(self.headers)


def unprocessable(error: ValidationError, *, row: int | None = None) -> Problem:
    """What pydantic found wrong, as a problem of status 422.

    Args:
        error: its locations start at the body, or at the row.
        row: the place of the application in its batch, from 0.
    """
    where = "the body" if row is None else f"application {row}"
    if error.error_count() > MAX_ERRORS:
        # Naming them all would let a small body ask for a huge answer.
        return Problem.of(422, f"{where} is not valid: {error.error_count():,} things are wrong with it")
    # Without the input: a caller's values belong neither into an answer nor into a log.
    found = [_field_error(detail, row) for detail in error.errors(include_url=False, include_input=False)]
    fields = ", ".join(dict.fromkeys(each.field for each in found if each.field)) or found[0].detail
    return Problem.of(422, f"{where} is not valid: {fields}; see errors", found)


def _field_error(error: ErrorDetails, row: int | None) -> FieldError:
    location = [str(part) for part in error["loc"]]
    path = location if row is None else ["applications", str(row), *location]
    return FieldError(
        pointer="".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path),
        field=location[0] if location else None,
        row=row,
        detail=_detail(error),
    )


_DETAILS = {
    "extra_forbidden": "is not a field of this API; check its spelling, or leave it out",
    "finite_number": "must be a finite number; send null for a missing value where the field allows it",
    "float_type": "must be a number",
    "greater_than_equal": "must be at least {ge:.15g}",
    "less_than_equal": "must be at most {le:.15g}",
    "list_type": "must be an array",
    "literal_error": "must be one of {expected}",
    "missing": "is required and missing",
    "model_attributes_type": "must be an object",
    "model_type": "must be an object",
    "too_long": "must hold at most {max_length:,} applications; split the batch",
    "too_short": "must hold at least {min_length} application",
}
"""What is said of pydantic's error types; of any other, pydantic's own message."""


def _detail(error: ErrorDetails) -> str:
    return _DETAILS.get(error["type"], "{msg}").format(msg=error["msg"], **error.get("ctx", {}))
