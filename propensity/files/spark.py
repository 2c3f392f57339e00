"""Scores a Spark DataFrame as files are scored, for those who outgrow one machine.

Needs PySpark and Java on the cluster, and this package with its dependencies on the executors. The driver
checks the model, which travels with the job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa

from propensity.files.scoring import predict
from propensity.files.source import Piece, check_columns
from propensity.files.targets import without_dictionaries
from propensity.model import store
from propensity.model.manifest import ServedManifest
from propensity.model.predictor import Predictor
from propensity.settings import MODEL

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_COLUMNS = "propensity double, decision string, threshold double, model string, problem string"


def score(rows: DataFrame, model: str = MODEL, id_column: str | None = None) -> DataFrame:
    """Return the predictions of a DataFrame of rows.

    Args:
        rows: a column for each field, and perhaps one that names the row.
        model: tag in the store of the driver; by default that of `PROPENSITY_MODEL`, or the only one there.
        id_column: name of the column of ids, returned as `id`. Spark keeps no order, so without ids nothing
            tells which row a prediction belongs to.

    Returns:
        A row for each row: `id`, the columns of a prediction, and `problem`: a problem document as
        JSON if the row is not valid.

    Raises:
        FileError: a column is not a field, or is missing; raised in the driver, before the job starts.
        StoreError: the model must not be loaded.
    """
    # Only Spark needs PySpark.
    from pyspark.sql.pandas.types import to_arrow_schema  # noqa: PLC0415

    stored = store.to_serve(model).resolve()
    content, manifest = store.check(stored), store.manifest_of(stored)
    schema = to_arrow_schema(rows.schema, timezone="UTC")
    check_columns(schema, manifest.contract, id_column, "the DataFrame")
    columns = _COLUMNS
    if id_column is not None:
        columns = f"id {rows.schema[id_column].dataType.simpleString()}, {columns}"
    scoring = _scoring(content, manifest.model_dump_json(), str(stored.tag), id_column)
    return rows.mapInArrow(scoring, columns)


def _scoring(
    content: bytes, manifest: str, tag: str, id_column: str | None
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the function that an executor applies to its share of the rows."""

    def scored(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        predictor = _predictor(content, manifest, tag)
        for batch in batches:
            rows = pa.Table.from_batches([batch])
            predictions = predict(Piece.of(rows, predictor.contract, id_column), predictor)
            yield from without_dictionaries(predictions).to_batches()

    return scored


@lru_cache(maxsize=1)
def _predictor(content: bytes, manifest: str, tag: str) -> Predictor:
    return store.predictor_of(content, ServedManifest.model_validate_json(manifest), tag)
