"""The compiled form of a model: an ONNX graph, and how applications are encoded for it.

Neither pickle nor scikit-learn nor pandas is needed to predict with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime

from propensity.contract import CATEGORIES, FEATURES, Application

NUMBERS = tuple(name for name in FEATURES if name not in CATEGORIES)
MISSING = -1.0
"""What stands for a missing number; no feature takes it."""

COLUMNS = (*NUMBERS, *((name, category) for name in CATEGORIES for category in CATEGORIES[name]))
"""Columns of the encoding: the numbers, then one for each category; a missing category is all zeros."""

INPUT = "applications"

_ONE_HOT: dict[str, dict[str | None, tuple[float, ...]]] = {
    name: {value: tuple(float(category == value) for category in categories) for value in (*categories, None)}
    for name, categories in CATEGORIES.items()
}


def encode(applications: Sequence[Application]) -> npt.NDArray[np.float64]:
    """Applications as the graph takes them, shape (n, len(COLUMNS))."""
    encoded = np.empty((len(applications), len(COLUMNS)))
    for row, application in enumerate(applications):
        values = application.__dict__
        numbers = [MISSING if values[name] is None else values[name] for name in NUMBERS]
        for name, one_hot in _ONE_HOT.items():
            numbers.extend(one_hot[values[name]])
        encoded[row] = numbers
    return encoded


def single_threaded(graph: bytes) -> onnxruntime.InferenceSession:
    """A session that runs a graph in the calling thread alone."""
    options = onnxruntime.SessionOptions()
    # Worker processes are the unit of scaling; threads below them only fight for cores.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class CompiledForm:
    """Predicts with an ONNX graph."""

    def __init__(self, graph: bytes) -> None:
        self._session = single_threaded(graph)

    def propensities(self, applications: Sequence[Application]) -> npt.NDArray[np.float64]:
        """Probability of default of each application, shape (n,)."""
        propensities: npt.NDArray[np.float64]
        (propensities,) = self._session.run(None, {INPUT: encode(applications)})
        return propensities[:, 0]
