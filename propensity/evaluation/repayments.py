"""Repayments: outcomes that arrive long after the prediction, joined with the prediction log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from propensity.contract.features import COLUMNS, Features
from propensity.evaluation.errors import EvaluationError
from propensity.evaluation.evaluation import DeployedPredictions
from propensity.evaluation.logged_predictions import read, values
from propensity.model.manifest import ModelCard

_TYPES = {"request_id": pa.string(), "row": pa.int32(), "default": pa.bool_()}
"""The columns of the outcomes."""


def read_repayments(card: ModelCard, outcomes: Path, log: Path) -> DeployedPredictions:
    """Return what the model predicted for the applications whose outcomes are known by now.

    Args:
        card: the card of the model; predictions of other models are ignored.
        outcomes: CSV or Parquet with the columns `request_id` and `default`, and `row` where a request was a
            batch.
        log: folder of the prediction log.

    Raises:
        EvaluationError: one of them can't be read, or too few outcomes belong to predictions of the model.
    """
    known = _read_outcomes(outcomes)
    wanted = (pc.field("model") == card.tag) & pc.field("request_id").isin(known["request_id"].unique())
    parts = [_columns(table) for table in read(log, wanted)]
    parts = [part for part in parts if len(part)] or parts[:1]
    # Some files may omit or hash a field: only fields that all files have are read.
    common = [name for name in parts[0].column_names if all(name in part.column_names for part in parts)]
    logged = pa.concat_tables([part.select(common) for part in parts])
    joined = logged.filter(pc.field("propensity").is_valid()).join(
        known, ["request_id", "row"], join_type="inner"
    )
    defaults = joined["default"].to_numpy()
    if defaults.all() or not defaults.any():
        raise EvaluationError(
            f"{outcomes}: {len(joined):,} of its {len(known):,} outcomes belong to predictions of {card.tag}"
            f" in {log}; some must be defaults, and some not"
        )
    return DeployedPredictions(
        card,
        defaults,
        joined["propensity"].to_numpy(),
        _features(joined),
        f"of {len(known):,} outcomes that arrived later",
        is_holdout=False,
        faults=_threshold_faults(joined, card),
    )


def _columns(table: pa.Table) -> pa.Table:
    """Return the columns to read from a file of the log, with the same types for all files."""
    columns = {
        "request_id": table["request_id"].cast(pa.string()),
        "row": table["row"].cast(pa.int32()),
        "propensity": table["propensity"].cast(pa.float64()),
        "decision": table["decision"].cast(pa.string()),
    }
    for name in COLUMNS:
        if (column := values(name, table)) is not None:
            columns[name] = pa.chunked_array([pa.array(column, pa.float64())])
    return pa.table(columns)


def _read_outcomes(path: Path) -> pa.Table:
    """Return the outcomes with the columns of `_TYPES`, one for each application."""
    # Types are given to the reader of CSV too, which would read a request id such as 007 as a number.
    options = pyarrow.csv.ConvertOptions(strings_can_be_null=True, column_types=_TYPES)
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            table = pyarrow.csv.read_csv(path, convert_options=options)
        if "row" not in table.column_names:
            table = table.append_column("row", pa.array(np.zeros(len(table), np.int32)))
        if not set(table.column_names) >= _TYPES.keys():
            raise EvaluationError(
                f"{path}: needs the columns request_id and default; it has {table.column_names}"
            )
        table = pa.table({name: table[name].cast(kind) for name, kind in _TYPES.items()})
    except (pa.ArrowException, OSError) as error:
        raise EvaluationError(f"{path}: {str(error).splitlines()[0]}") from error
    if any(column.null_count for column in table.columns):
        raise EvaluationError(f"{path}: each outcome needs a request_id and a default that is true or false")
    if len(table.group_by(["request_id", "row"]).aggregate([])) < len(table):
        raise EvaluationError(f"{path}: names an application twice; state its outcome once")
    return table


def _features(logged: pa.Table) -> Features | None:
    """Return the applications; None if the log does not have all of their fields."""
    if not set(COLUMNS) <= set(logged.column_names):
        return None
    return np.column_stack([logged[name].to_numpy() for name in COLUMNS])


def _threshold_faults(logged: pa.Table, card: ModelCard) -> list[str]:
    expected = logged["propensity"].to_numpy() >= card.threshold.value
    declined = np.array(logged["decision"].to_pylist()) == "decline"
    wrong = int((expected != declined).sum())
    return [f"{wrong:,} decisions in the log are not those of the threshold"] if wrong else []
