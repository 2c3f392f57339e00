"""The pipeline form of a model: the notebook's pipeline, as it was unpickled.

The compiled form is compared with it. It is served itself if it can't be compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from propensity.contract.application import CATEGORIES, FEATURES
from propensity.contract.features import COLUMNS, Features, Propensities


def frame(features: Features) -> pd.DataFrame:
    """Return features as the pipeline takes them: a column for each, NaN or None where a value is missing."""
    columns = dict(zip(COLUMNS, features.T, strict=True))
    return pd.DataFrame(
        {name: _named(name, columns[name]) if name in CATEGORIES else columns[name] for name in FEATURES}
    )


def _named(name: str, places: npt.NDArray[np.float64]) -> npt.NDArray[np.object_]:
    names = np.array([*CATEGORIES[name], None], dtype=object)
    return names[np.where(np.isnan(places), len(CATEGORIES[name]), places).astype(np.intp)]


class PipelineForm:
    """The form that predicts with the pipeline itself."""

    instant_rows = 0

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        # The service scales by worker processes; BLAS or OpenMP threads would compete with them for cores.
        self._one_thread = threadpool_limits(limits=1)

    def propensities(self, features: Features) -> Propensities:
        """Return the propensity of each application, shape (n,)."""
        propensities: Propensities = self._pipeline.predict_proba(frame(features))[:, 1]
        return propensities
