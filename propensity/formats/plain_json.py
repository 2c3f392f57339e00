"""Batches of JSON that are plainly valid, read fast.

msgspec, compiled from the contract, reads a row in a fraction of the time that the contract itself takes, and
says little of what is wrong with one. So it only ever accepts: whatever it does not is read by the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from propensity.contract.application import CATEGORIES, NULLABLE
from propensity.contract.features import COLUMNS, OMITTED, Features, breaks_bounds, of_tuples
from propensity.contract.limits import MAX_ROWS


def _field(name: str) -> tuple[Any, ...]:
    kind: Any = Literal[CATEGORIES[name]] if name in CATEGORIES else float
    return (name, kind | None, OMITTED) if name in NULLABLE else (name, kind)


# Not tracked by the garbage collector: they hold no references that could form a cycle.
_Row: Any = msgspec.defstruct(
    "Row", [_field(name) for name in COLUMNS], kw_only=True, forbid_unknown_fields=True, gc=False
)
_Batch: Any = msgspec.defstruct(
    "Batch", [("applications", list[_Row])], kw_only=True, forbid_unknown_fields=True, gc=False
)
_of_batch = msgspec.json.Decoder(_Batch)
_of_lines = msgspec.json.Decoder(_Row)


def read_batch(body: bytes) -> Features | None:
    """The applications of `{"applications": [...]}`; None, if the contract should look at it."""
    try:
        return _checked(_of_batch.decode(body).applications, body.count(b":") - 1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_lines(body: bytes) -> Features | None:
    """The applications of a body with one a line; None, if the contract should look at it."""
    try:
        rows = _of_lines.decode_lines(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _checked(rows, body.count(b":")) if _has_one_a_line(body, len(rows)) else None


def _has_one_a_line(body: bytes, rows: int) -> bool:
    """Whether flat objects stand on a line each: msgspec lets one go over lines, and a line hold several.

    As many line ends as there are between so many rows, each right behind an object: empty lines, and spaces
    at the end of one, are left to the contract too.
    """
    lines = body.strip()
    between = lines.count(b"\n")
    return between == rows - 1 == lines.count(b"}\n") + lines.count(b"}\r\n")


def _checked(rows: Sequence[Any], names: int) -> Features | None:
    """The rows as a matrix, if they keep to the contract.

    Args:
        rows: of the body.
        names: that their objects hold: no name and no category has a colon in it.
    """
    if not 0 < len(rows) <= MAX_ROWS:
        return None
    features = of_tuples([msgspec.structs.astuple(row) for row in rows])
    omitted = features == OMITTED
    if names != features.size - np.count_nonzero(omitted):
        # A name stands twice in an object: msgspec takes the last.
        return None
    features[omitted] = np.nan
    return None if breaks_bounds(features).any() else features
