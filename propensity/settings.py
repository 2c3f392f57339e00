"""What whoever runs the service may set, by environment variable; docs/serving.md lists it all."""

from __future__ import annotations

import os

from bentoml.exceptions import BentoMLException


class SettingError(BentoMLException):
    """A setting that can't be used; the message names it and what it may be."""


def _whole_number(name: str, default: int, at_least: int) -> int:
    value = os.environ.get(name, str(default))
    if not (value.isascii() and value.isdecimal()) or int(value) < at_least:
        raise SettingError(f"{name} is {value!r}; it must be a whole number, at least {at_least}")
    return int(value)


WORKERS = _whole_number("PROPENSITY_WORKERS", 1, at_least=1)
"""Processes that predict; each takes a core and has a model of its own."""

MAX_MERGED_ROWS = _whole_number("PROPENSITY_MAX_MERGED_ROWS", 512, at_least=2)
"""Single predictions that one model call may merge."""

MAX_LATENCY_MS = _whole_number("PROPENSITY_MAX_LATENCY_MS", 10_000, at_least=1)
"""In which a request must be predicted; after that the answer is 503."""
