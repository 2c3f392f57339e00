"""Predictions of the past, read from the prediction log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from propensity.contract.contract import Contract
from propensity.contract.field import Field
from propensity.evaluation.errors import EvaluationError
from propensity.monitoring.prediction_log import column_of


def read(log: Path, wanted: pc.Expression) -> Iterator[pa.Table]:
    """Yield the wanted predictions of each file of the log, oldest first.

    Args:
        log: folder of the prediction log.
        wanted: filter on the columns of the log.

    Raises:
        EvaluationError: the folder has no files of a log, or one of them can't be read.
    """
    files = sorted(log.glob("date=*/*.parquet"))
    if not files:
        raise EvaluationError(
            f"{log}: no predictions there; PROPENSITY_LOG_FOLDER names the folder of the log"
        )
    for file in files:
        try:
            yield pq.read_table(file, filters=wanted, partitioning=None)
        except (pa.ArrowException, OSError) as error:
            raise EvaluationError(f"{file}: {str(error).splitlines()[0]}; move it out of the log") from error


def values(field: Field | None, logged: pa.Table, contract: Contract) -> npt.NDArray[np.float64] | None:
    """Return the values of a field as in `Features`, shape (n,); None if the log omits or hashes them.

    Args:
        field: the field; None for the propensity.
        logged: predictions from the log.
        contract: the contract of their model.
    """
    name = "propensity" if field is None else column_of(field.name, contract)
    if name not in logged.column_names:
        return None
    column: Any = logged[name].combine_chunks()
    if field is not None and field.categories is not None:
        places = pc.index_in(column.cast(pa.string()), pa.array(field.categories, pa.string()))
        if places.null_count > column.null_count:
            return None
        column = places
    elif not (pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)):
        return None
    numbers: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers
