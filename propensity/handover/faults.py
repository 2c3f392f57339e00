"""Faults of what was inferred or stated, in words."""

from __future__ import annotations

from pydantic import ValidationError


def first_fault(error: ValidationError) -> str:
    """Return the place and the reason of the first fault."""
    first = error.errors(include_url=False)[0]
    reason: str = first["msg"].removeprefix("Value error, ")
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), reason]))
