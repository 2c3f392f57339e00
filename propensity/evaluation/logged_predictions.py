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

from propensity.contract.application import CATEGORIES
from propensity.evaluation.errors import EvaluationError


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


def values(field: str, logged: pa.Table) -> npt.NDArray[np.float64] | None:
    """Return the values of a field as in `Features`, shape (n,); None if the log omits or hashes them."""
    if field not in logged.column_names:
        return None
    column: Any = logged[field].combine_chunks()
    if field in CATEGORIES:
        places = pc.index_in(column.cast(pa.string()), pa.array(CATEGORIES[field]))
        if places.null_count > column.null_count:
            return None
        column = places
    elif not pa.types.is_floating(column.type):
        return None
    numbers: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers
