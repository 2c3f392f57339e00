"""The forms that a model is served in."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from propensity.contract.features import Features, Propensities
from propensity.model.reasons import Contributions


class Form(Protocol):
    """The form that a model is served in: a compiled one, or the pipeline itself."""

    instant_rows: int
    """Rows that it predicts in less time than handing them to a thread takes."""

    def propensities(self, features: Features, /) -> Propensities:
        """Return the propensity of each row, shape (n,)."""


@runtime_checkable
class Additive(Protocol):
    """A form whose log-odds are the sum of a base and the contributions of the features."""

    base: float

    def contributions(self, features: Features, /) -> Contributions:
        """Return the log-odds that each feature adds to the base, shape (n, columns)."""


def load(name: str, content: bytes) -> Form:
    """Return the compiled form of this name."""
    from propensity.model.compiled import CompiledForm, Tables  # noqa: PLC0415

    return CompiledForm(Tables.from_bytes(content))
