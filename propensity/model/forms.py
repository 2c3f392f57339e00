"""The forms that a model may be served in: compiled, or the pipeline itself."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from propensity.contract.features import Features, Propensities

Contributions = npt.NDArray[np.float64]
"""Log-odds that each column adds to each row, shape (n, columns)."""


class Form(Protocol):
    """The form that a model is served in."""

    instant_rows: int
    """Rows that it predicts in less time than handing them to a thread takes."""

    def propensities(self, features: Features, /) -> Propensities:
        """Return the propensity of each row, shape (n,)."""


class CompiledForm(Form, Protocol):
    """A form that is stored without pickle."""

    def to_bytes(self) -> bytes:
        """Return what `load` reads."""


@runtime_checkable
class Additive(Protocol):
    """A form whose log-odds are the sum of a base and the contributions of the columns."""

    base: float
    instant_explanations: int
    """Rows that it explains, in words, in less time than handing them to a thread takes."""

    def contributions(self, features: Features, /) -> Contributions:
        """Return the log-odds that each column adds to the base, shape (n, columns)."""


_CLASSES = {
    "grids": "GridsForm",
    "tables": "TablesForm",
    "additive": "AdditiveForm",
    "mixture": "MixtureForm",
    "forest": "ForestForm",
}
"""The compiled forms: a module of this package each, and a class in it."""


def load(name: str, content: bytes) -> CompiledForm:
    """Return a compiled form.

    Args:
        name: of the form, as the manifest has it.
        content: what the form was stored as.

    Raises:
        KeyError: no compiled form is called so.
    """
    # Each form needs libraries that others do without.
    module = import_module(f"propensity.model.{name}")
    form: CompiledForm = getattr(module, _CLASSES[name]).from_bytes(content)
    # As for a pipeline: threads of BLAS, which wait in loops, would take the cores from other processes.
    threadpool_limits(limits=1)
    return form
