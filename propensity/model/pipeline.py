"""The pipeline form of a model: the notebook's pipeline, as it was unpickled.

The compiled forms are compared with it. It is served itself if none of them equals it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from propensity.contract.contract import Contract
from propensity.contract.features import Features, Propensities
from propensity.contract.field import Field

Input = Literal["frame", "array"]
"""What a pipeline takes: a pandas DataFrame with named columns, or a numpy array."""


def frame(features: Features, contract: Contract) -> pd.DataFrame:
    """Return features as a pipeline takes them: a column for each field, with the types it was trained with.

    The type of a column depends neither on its values nor on how many rows there are, so that a row is the
    same alone as in company.
    """
    columns = dict(zip(contract.columns.names, features.T, strict=True))
    return pd.DataFrame({field.name: _column(field, columns[field.name]) for field in contract.fields})


def _column(field: Field, values: npt.NDArray[np.float64]) -> Any:
    missing = np.isnan(values)
    if field.categories is not None:
        texts: Any = pd.Series(field.categories, dtype="str")
        known = texts.astype(field.category_dtype)
        if field.dtype is not None and field.dtype.startswith("category"):
            places = np.where(missing, -1, values).astype(np.intp)
            return pd.Categorical.from_codes(places, dtype=pd.CategoricalDtype(known))
        cells = np.array([*known, field.missing_value], dtype=object)
        places = np.where(missing, len(known), values).astype(np.intp)
        return pd.Series(cells[places], dtype=field.dtype or "str")
    dtype = pd.api.types.pandas_dtype(field.dtype or ("bool" if field.kind == "boolean" else "float64"))
    if dtype.kind == "O" and isinstance(dtype, np.dtype):
        cells = (values == 1 if field.kind == "boolean" else values).astype(object)
        cells[missing] = field.missing_value
        return pd.Series(cells, dtype=object)
    if not isinstance(dtype, np.dtype):
        return pd.Series(values).astype(dtype)
    # A type without a missing value: pandas holds such a column as floats, too.
    return values if dtype.kind in "biu" and missing.any() else values.astype(dtype)


class PipelineForm:
    """The form that predicts with the pipeline itself.

    Args:
        pipeline: a fitted binary classifier with `predict_proba` and `classes_`.
        contract: the contract of its rows.
        takes: whether it takes a frame or an array.
        positive: the class whose probability is the propensity, as text.
    """

    instant_rows = 0

    def __init__(self, pipeline: Any, contract: Contract, takes: Input, positive: str) -> None:
        self.pipeline = pipeline
        self.contract = contract
        self.takes = takes
        self.positive = positive
        self._place = [str(each) for each in pipeline.classes_].index(positive)
        # The service scales by worker processes; BLAS or OpenMP threads would compete with them for cores.
        self._one_thread = threadpool_limits(limits=1)

    def propensities(self, features: Features) -> Propensities:
        """Return the propensity of each row, shape (n,)."""
        probabilities = self.pipeline.predict_proba(self.input(features))
        propensities: Propensities = np.asarray(probabilities, dtype=np.float64)[:, self._place]
        return propensities

    def input(self, features: Features) -> Any:
        """Return what the pipeline takes for these features: a frame or an array, of n rows."""
        rows = frame(features, self.contract)
        return rows if self.takes == "frame" else rows.to_numpy()
