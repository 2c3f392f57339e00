"""Problems: the shape of every error that the API returns (RFC 9457, `application/problem+json`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum

from pydantic import BaseModel, Field

from propensity.contract.limits import FIELD_ERROR_BYTES, POINTER_BYTES, PROBLEM_BYTES, RETRY_AFTER_SECONDS

MEDIA_TYPE = "application/problem+json"

RETRY = {"Retry-After": str(RETRY_AFTER_SECONDS)}
"""Headers of a temporary problem."""

MAX_ERRORS = 50
"""Errors that one problem lists at most."""

OTHER = "other"
"""Label in metrics for every unknown field or path, since invented names must not fill the memory."""

PAGE = "/problems"
"""Path of the page that explains the kinds of problems; a problem's `type` links to its section there.

The link is relative to the request (RFC 9457, 3.1.1), so that it works behind any prefix without trusting a
proxy's headers.
"""

NO_PLACE = "about:blank"
"""The `type` where no relative link is sure to work: the path is `/`, which a proxy may have got without its
slash, or could not be read, or is one that clients normalise differently, such as `//`."""

_PLAIN_PATH = re.compile(rb"(/[\w~-][\w.~-]*)+/?")
"""Paths against which all clients resolve a relative link alike."""


class Kind(Enum):
    """The kinds of problems, each with its status, title, and advice."""

    MALFORMED_REQUEST = (
        400,
        "Not a valid HTTP request",
        "Use HTTP/1.1 with one Host header; HTTP/2, tunnels and other protocols end at a gateway. `detail`"
        " says what is wrong. If the rest of the connection cannot be trusted either, it is closed.",
    )
    UNREADABLE_BODY = (
        400,
        "The body can not be read",
        "It is not what its Content-Type says, names a field twice, or is incomplete. Compare it with the"
        " examples in /docs.json.",
    )
    INVALID_QUERY = (
        400,
        "The query string is not valid",
        "The only parameter is `explain`, given once, `true` or `false`. Correct it, or leave it out. Others"
        " are ignored, unless they look like a misspelt `explain`.",
    )
    UNAUTHENTICATED = (
        401,
        "No valid token",
        "Send one header `Authorization: Bearer TOKEN`. Tokens expire and can be revoked: ask whoever runs"
        " the service for a new one, or your issuer for a new JWT. The same one will be refused again.",
    )
    FORBIDDEN = (
        403,
        "The token lacks the scope",
        "The token is valid, but not for this operation. Ask whoever runs the service for one with the scope"
        " that `detail` names.",
    )
    NOT_FOUND = (404, "Nothing at this path", "Compare the path with those in /docs.json.")
    METHOD_NOT_ALLOWED = (405, "Another method is needed", "The Allow header names it.")
    NOT_ACCEPTABLE = (
        406,
        "No acceptable format",
        "Ask in the Accept header for one of the formats that `detail` lists, or leave the header out.",
    )
    SLOW_BODY = (
        408,
        "The body took too long",
        "It did not arrive in time. Send smaller batches, or check the connection.",
    )
    LARGE_BODY = (413, "The body is too large", "Split the batch; `detail` names the limit.")
    UNSUPPORTED_FORMAT = (
        415,
        "Not a format of this operation",
        "Send one of the formats that `detail` lists, uncompressed, with its Content-Type.",
    )
    INVALID_ROW = (
        422,
        "Not a valid row",
        "`errors` names each invalid field and what would be valid. Correct it; the same body will be refused"
        " again. In a batch the problem takes the place of the row; the others are predicted.",
    )
    LARGE_HEAD = (
        431,
        "The headers are too large",
        "Send fewer or shorter headers; `detail` names the limit. A proxy may have added some.",
    )
    OVERLOADED = (
        429,
        "Too much in flight",
        "The worker accepts no more work for now. Wait as long as Retry-After says, and try again.",
    )
    RATE_LIMITED = (
        429,
        "Too many requests from this caller",
        "Your limit is used up. Wait as long as Retry-After says; if this happens often, send batches or ask"
        " whoever runs the service for a higher limit.",
    )
    CALLER_GONE = (
        499,
        "The client disconnected",
        "The connection closed before the response was ready, and the work was abandoned. Only logs and"
        " metrics show this problem. Wait longer, or send smaller batches.",
    )
    UNEXPECTED = (
        500,
        "An unexpected error",
        "The fault is in the service and has been logged. Give the request id to whoever runs it.",
    )
    MODEL_FAILED = (
        500,
        "The model failed on this row",
        "The row is valid, but the model could not predict it. The error has been logged; other rows are not"
        " affected.",
    )
    NOT_EXPLAINED = (
        501,
        "This model is not explained",
        "It is served in a form that has no exact contributions. Send the request without `explain`.",
    )
    NOT_READY = (
        503,
        "Not ready",
        "The service is starting or stopping. Send requests to another instance, or try again.",
    )
    LATE = (
        503,
        "Not predicted in time",
        "The service is too busy. Wait as long as Retry-After says, and try again.",
    )
    KEYS_UNAVAILABLE = (
        503,
        "JWTs can not be verified",
        "The keys of the issuer are not available at the moment. Wait as long as Retry-After says, and try"
        " again.",
    )

    def __init__(self, status: int, title: str, advice: str) -> None:
        self.status = status
        self.title = title
        self.advice = advice

    @property
    def anchor(self) -> str:
        """The section of the page that explains this kind."""
        return self.name.lower().replace("_", "-")


class FieldError(BaseModel):
    """One error in a request body, and its place."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the request body.")
    field: str | None = Field(default=None, description="The invalid field.")
    row: int | None = Field(default=None, description="The invalid row, counted from 0.")
    detail: str = Field(description="What is wrong, or what would be valid.")


class Problem(BaseModel):
    """A problem document (RFC 9457). Empty members are left out."""

    type: str = Field(
        json_schema_extra={"format": "uri-reference"},
        description=(
            "Link to the explanation of this kind of problem, relative to the URL of the request; the part"
            " after `#` names the kind."
        ),
    )
    title: str = Field(description="The kind of problem, in words.")
    status: int = Field(ge=400, le=599, description="The HTTP status.")
    detail: str = Field(description="What went wrong with this request, and what to do.")
    errors: list[FieldError] | None = Field(default=None, description="The errors in the body, one each.")

    @classmethod
    def of(cls, kind: Kind, detail: str, errors: Sequence[FieldError] = ()) -> Problem:
        """Return a problem of a kind; its `type` is relative to an operation, `/v1/NAME`."""
        return cls(
            type=f"..{PAGE}#{kind.anchor}",
            title=kind.title,
            status=kind.status,
            detail=detail,
            errors=list(errors) or None,
        )

    @property
    def anchor(self) -> str:
        """The anchor of its kind."""
        return self.type.rpartition("#")[2]

    def content(self, raw_path: bytes) -> bytes:
        """Return the problem as the body of a response.

        Args:
            raw_path: path of the request, as it was sent; empty if it could not be read.
        """
        climb = "../" * (raw_path.count(b"/") - 1)
        place = f"{climb}{PAGE[1:]}#{self.anchor}" if _PLAIN_PATH.fullmatch(raw_path) else NO_PLACE
        problem = self.model_copy(update={"type": place})
        if speaks_inference(raw_path):
            faults = [f"{each.field or each.pointer} {each.detail}" for each in self.errors or ()]
            problem = InferenceProblem(**dict(problem), error="; ".join([self.detail, *faults]))
        return problem.model_dump_json(exclude_none=True).encode()

    @property
    def bytes(self) -> int:
        """Bytes that it takes in memory, roughly, as an object and in a response."""
        errors = self.errors or ()
        # A str takes up to four bytes for each character, as soon as one of them needs as many.
        pointers = sum(len(error.pointer) * (1 if error.pointer.isascii() else 4) for error in errors)
        return PROBLEM_BYTES + FIELD_ERROR_BYTES * len(errors) + POINTER_BYTES * pointers


class InferenceProblem(Problem):
    """A problem document that is also an error of the Open Inference Protocol."""

    error: str = Field(description="`detail` and `errors` in a line.")


def speaks_inference(raw_path: bytes) -> bool:
    """Whether a path is one of the Open Inference Protocol."""
    return raw_path == b"/v2" or raw_path.startswith(b"/v2/")


def media_type(raw_path: bytes) -> str:
    """Return the media type of problems at a path. Clients of the inference protocol read no other JSON."""
    return "application/json" if speaks_inference(raw_path) else MEDIA_TYPE


def pointer(*path: str) -> str:
    """Return the JSON pointer (RFC 6901) of a place in a body."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


class ProblemError(Exception):
    """Raised to answer a request with a problem."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = headers

    @classmethod
    def of(cls, kind: Kind, detail: str, headers: Mapping[str, str] | None = None) -> ProblemError:
        """Return an error whose problem lists no fields."""
        return cls(Problem.of(kind, detail), headers)
