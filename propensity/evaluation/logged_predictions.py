"""Past predictions: the files of the prediction log, read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from propensity.contract.application import CATEGORIES


def files(folder: Path) -> list[Path]:
    """What has been written so far, in the order of time."""
    return sorted(folder.glob("date=*/*.parquet"))


def values(field: str, logged: pa.Table) -> npt.NDArray[np.float64] | None:
    """The values of a field, as in `Features`; None where the log leaves it out, or has hashes of it."""
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
    found: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found
