"""What whoever runs the service may set, by environment variable; docs/serving.md lists it all."""

from __future__ import annotations

import os

from bentoml.exceptions import BentoMLException


class SettingError(BentoMLException):
    """A setting that can't be used; the message names it and what it may be."""


def whole_number(name: str, default: int, at_least: int) -> int:
    """A setting that is a whole number.

    Raises:
        SettingError: it is set to something else.
    """
    value = os.environ.get(name, str(default))
    if not (value.isascii() and value.isdecimal()) or int(value) < at_least:
        raise SettingError(f"{name} is {value!r}; it must be a whole number, at least {at_least}")
    return int(value)


WORKERS = whole_number("PROPENSITY_WORKERS", 1, at_least=1)
"""Processes that predict; each takes a core and has a model of its own."""

MAX_MERGED_ROWS = whole_number("PROPENSITY_MAX_MERGED_ROWS", 512, at_least=2)
"""Single predictions that one model call may merge."""

MAX_LATENCY_MS = whole_number("PROPENSITY_MAX_LATENCY_MS", 10_000, at_least=1)
"""In which a request must be predicted; after that the answer is 503."""

DRAIN_SECONDS = whole_number("PROPENSITY_DRAIN_SECONDS", 5, at_least=0)
"""For which a worker that is to stop answers on while it says that it is not ready."""
