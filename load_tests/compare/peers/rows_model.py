"""The model for servers of rows: the pickle, or its compiled form, as MODEL says."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Model = Callable[[Sequence[dict[str, Any]]], list[float]]
"""Gives the propensity of each row."""


def load() -> Model:
    """The model."""
    return _compiled() if os.environ["MODEL"] == "compiled" else _pickled()


def _pickled() -> Model:
    import pandas as pd  # noqa: PLC0415 — no part of what serves the compiled form

    pipeline = pickle.loads(Path(os.environ["PICKLE"]).read_bytes())

    def propensities_of(rows: Sequence[dict[str, Any]]) -> list[float]:
        propensities: list[float] = pipeline.predict_proba(pd.DataFrame(rows))[:, 1].tolist()
        return propensities

    return propensities_of


def _compiled() -> Model:
    from load_tests.compare.peers import compiled_model  # noqa: PLC0415 — is there for the compiled form only

    return compiled_model.of_rows
