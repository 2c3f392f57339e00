"""The pipeline form of a model: the notebook's own pipeline, as it was unpickled.

The reference that a compiled form is held against, and what is served where a pipeline can't be compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from propensity.contract import CATEGORIES, FEATURES, Application


def frame(applications: Sequence[Application]) -> pd.DataFrame:
    """Applications as the pipeline takes them: a column a feature, NaN or None where a value is missing."""
    return pd.DataFrame(
        {
            name: np.array(
                [getattr(application, name) for application in applications],
                dtype=object if name in CATEGORIES else np.float64,
            )
            for name in FEATURES
        }
    )


class PipelineForm:
    """Predicts with the pipeline itself."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        # Worker processes are the unit of scaling; threads of BLAS or OpenMP below them only fight for cores.
        self._one_thread = threadpool_limits(limits=1)

    def propensities(self, applications: Sequence[Application]) -> npt.NDArray[np.float64]:
        """Probability of default of each application, shape (n,)."""
        propensities: npt.NDArray[np.float64] = self._pipeline.predict_proba(frame(applications))[:, 1]
        return propensities
