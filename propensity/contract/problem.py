"""Problems: the one shape of every error this API answers (RFC 9457, `application/problem+json`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from propensity.contract.limits import FIELD_ERROR_BYTES, POINTER_BYTES, PROBLEM_BYTES, RETRY_AFTER_SECONDS

MEDIA_TYPE = "application/problem+json"

RETRY = {"Retry-After": str(RETRY_AFTER_SECONDS)}
"""Headers of a problem that passes by itself."""

MAX_ERRORS = 50
"""Field errors that one problem lists; an application has 13 fields."""

MAX_NAME = 100
"""Characters of a field's name that a problem repeats; a caller may have sent a name of any length."""

OTHER = "other"
"""Stands in metrics for whatever field or path a caller named and nobody knows: whoever makes names up must
not fill the memory."""

PAGE = "/problems"
"""Where the kinds of problems are explained; a problem's `type` names the place on that page.

It is relative to the request (RFC 9457, 3.1.1), so that it leads there behind any prefix, with no header of a
proxy believed.
"""

NO_PLACE = "about:blank"
"""The `type` where nothing relative leads to the page for sure: the path is `/`, which a proxy may have been
asked for without its final slash, or one that clients shorten in their ways, such as `//`, or unreadable."""

_PLAIN_PATH = re.compile(rb"(/[\w~-][\w.~-]*)+/?")


class Kind(Enum):
    """What kinds of problems there are: status, title, and what to do about it."""

    MALFORMED_REQUEST = (
        400,
        "Not a valid HTTP request",
        "Speak HTTP/1.1, with one header Host; HTTP/2, tunnels and other protocols end at a gateway. `detail`"
        " says what is wrong. Where the rest can not be trusted either, the connection is closed.",
    )
    UNREADABLE_BODY = (
        400,
        "The body can not be read",
        "It is not what its Content-Type says, names a field twice, or did not arrive whole. Compare it with"
        " the examples in /docs.json.",
    )
    INVALID_QUERY = (
        400,
        "The query string is not valid",
        "The one parameter that counts is `explain`, once, `true` or `false`. Correct it, or leave it out;"
        " others are passed over, but not what looks like `explain` misspelt.",
    )
    UNAUTHENTICATED = (
        401,
        "No valid token",
        "Send one header `Authorization: Bearer TOKEN`. Tokens are revoked and expire: ask whoever runs"
        " the service for a new one, or your issuer for a fresh JWT. The same one is refused again.",
    )
    FORBIDDEN = (
        403,
        "The token lacks the scope",
        "The token is valid, but not for this. Ask whoever runs the service for one with the scope that"
        " `detail` names.",
    )
    NOT_FOUND = (404, "Nothing at this path", "Compare the path with those in /docs.json.")
    METHOD_NOT_ALLOWED = (405, "Another method is needed", "The header Allow names it.")
    NOT_ACCEPTABLE = (
        406,
        "No acceptable format",
        "Ask in the header Accept for one of the formats that `detail` lists, or leave it out.",
    )
    SLOW_BODY = (
        408,
        "The body took too long",
        "It did not arrive in time. Send smaller batches, or look at the connection.",
    )
    LARGE_BODY = (413, "The body is too large", "Split the batch; `detail` names the limit.")
    UNSUPPORTED_FORMAT = (
        415,
        "Not a format of this operation",
        "Send one of the formats that `detail` lists, uncompressed, with its Content-Type.",
    )
    INVALID_APPLICATION = (
        422,
        "Not a valid application",
        "`errors` names each field at fault and what would be right. Correct it; the same body is refused"
        " again. In a batch it stands in the place of the application, and the others are predicted.",
    )
    LARGE_HEAD = (
        431,
        "The headers are too large",
        "Send fewer or shorter ones; `detail` names the limit. A proxy may have added some.",
    )
    OVERLOADED = (
        429,
        "Too much in flight",
        "The worker has as much work as it may take on. Wait as long as Retry-After says, and try again.",
    )
    RATE_LIMITED = (
        429,
        "Too many requests from this caller",
        "Your share is used up. Wait as long as Retry-After says; if that happens often, send batches or"
        " ask whoever runs the service for a larger share.",
    )
    CALLER_GONE = (
        499,
        "The caller has gone",
        "The connection ended before the answer was there, and the work was given up. Only logs and metrics"
        " ever show this one. Wait longer, or send smaller batches.",
    )
    UNEXPECTED = (
        500,
        "An unexpected error",
        "It is a fault of the service and has been logged: name the request id to whoever runs it.",
    )
    MODEL_FAILED = (
        500,
        "The model failed on this application",
        "The application is valid, and yet the model could not predict it. It has been logged; other"
        " applications are not affected.",
    )
    NOT_EXPLAINED = (
        501,
        "This model is not explained",
        "It is served as a pipeline, which has no exact contributions. Ask without `explain`.",
    )
    NOT_READY = (
        503,
        "Not ready",
        "The service starts or is about to stop. Send requests to another instance, or try again.",
    )
    LATE = (
        503,
        "Not predicted in time",
        "The service is too busy. Wait as long as Retry-After says, and try again.",
    )
    KEYS_UNAVAILABLE = (
        503,
        "JWTs can not be verified",
        "The keys of the issuer can not be had at the moment. Wait as long as Retry-After says, and try"
        " again.",
    )

    def __init__(self, status: int, title: str, advice: str) -> None:
        self.status = status
        self.title = title
        self.advice = advice

    @property
    def anchor(self) -> str:
        """Its place on the page."""
        return self.name.lower().replace("_", "-")


class FieldError(BaseModel):
    """One thing that is wrong with a request body, and where."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the request body.")
    field: str | None = Field(default=None, description="The field at fault.")
    row: int | None = Field(default=None, description="The application at fault, counted from 0.")
    detail: str = Field(description="What is wrong, and what would be right.")


class Problem(BaseModel):
    """A problem document as of RFC 9457. Members that say nothing are left out."""

    type: str = Field(
        json_schema_extra={"format": "uri-reference"},
        description=(
            "Where this kind of problem is explained, relative to the URL of the request; the kind is what"
            " stands after `#`."
        ),
    )
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(ge=400, le=599, description="The HTTP status.")
    detail: str = Field(description="What went wrong here, and the way out.")
    errors: list[FieldError] | None = Field(default=None, description="Each field that is at fault.")

    @classmethod
    def of(cls, kind: Kind, detail: str, errors: Sequence[FieldError] = ()) -> Problem:
        """A problem of a kind, with the `type` that is right for the operations, `/v1/NAME`."""
        return cls(
            type=f"..{PAGE}#{kind.anchor}",
            title=kind.title,
            status=kind.status,
            detail=detail,
            errors=list(errors) or None,
        )

    @property
    def anchor(self) -> str:
        """The kind of problem, by its place on the page."""
        return self.type.rpartition("#")[2]

    def content(self, raw_path: bytes) -> bytes:
        """This problem as the body of an answer.

        Args:
            raw_path: of the request, as it was sent; empty where it could not be read.
        """
        climb = "../" * (raw_path.count(b"/") - 1)
        place = f"{climb}{PAGE[1:]}#{self.anchor}" if _PLAIN_PATH.fullmatch(raw_path) else NO_PLACE
        return self.model_copy(update={"type": place}).model_dump_json(exclude_none=True).encode()

    @property
    def bytes(self) -> int:
        """About what it takes in memory, as an object and in an answer."""
        errors = self.errors or ()
        # Python gives each character of a text four bytes where one needs more than two.
        pointers = sum(len(error.pointer) * (1 if error.pointer.isascii() else 4) for error in errors)
        return PROBLEM_BYTES + FIELD_ERROR_BYTES * len(errors) + POINTER_BYTES * pointers


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = headers

    @classmethod
    def of(cls, kind: Kind, detail: str, headers: Mapping[str, str] | None = None) -> ProblemError:
        """A problem that names no field."""
        return cls(Problem.of(kind, detail), headers)


def unprocessable(error: ValidationError, *, row: int | None = None) -> Problem:
    """What pydantic found wrong, as a problem.

    Args:
        error: its locations start at the body, or at the row.
        row: the place of the application in its batch, from 0.
    """
    where = "the body" if row is None else f"application {row}"
    if error.error_count() > MAX_ERRORS:
        # Naming them all would let a small body ask for a huge answer.
        return Problem.of(
            Kind.INVALID_APPLICATION,
            f"{where} is not valid: {error.error_count():,} things are wrong with it",
        )
    # Without the input: a caller's values belong neither into an answer nor into a log.
    found = [_field_error(detail, row) for detail in error.errors(include_url=False, include_input=False)]
    fields = ", ".join(dict.fromkeys(each.field for each in found if each.field)) or found[0].detail
    return Problem.of(Kind.INVALID_APPLICATION, f"{where} is not valid: {fields}; see errors", found)


def _field_error(error: ErrorDetails, row: int | None) -> FieldError:
    location = [str(part)[:MAX_NAME] for part in error["loc"]]
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
    "float_type": "must be a finite number",
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
