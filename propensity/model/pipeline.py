"""The pipeline form of a model: the notebook's own pipeline, as it was unpickled.

The reference that a compiled form is held against, and what is served where a pipeline can't be compiled.
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
    """Applications as the pipeline takes them: a column a feature, NaN or None where a value is missing."""
    columns = dict(zip(COLUMNS, features.T, strict=True))
    return pd.DataFrame(
        {name: _named(name, columns[name]) if name in CATEGORIES else columns[name] for name in FEATURES}
    )


def _named(name: str, places: npt.NDArray[np.float64]) -> npt.NDArray[np.object_]:
    names = np.array([*CATEGORIES[name], None], dtype=object)
    return names[np.where(np.isnan(places), len(CATEGORIES[name]), places).astype(np.intp)]


class PipelineForm:
    """Predicts with the pipeline itself."""

    instant_rows = 0

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        # Worker processes are the unit of scaling; threads of BLAS or OpenMP below them only fight for cores.
        self._one_thread = threadpool_limits(limits=1)

    def propensities(self, features: Features) -> Propensities:
        """Probability of default of each application, shape (n,)."""
        propensities: Propensities = self._pipeline.predict_proba(frame(features))[:, 1]
        return propensities
