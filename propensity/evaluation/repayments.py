"""Outcomes that arrive later: how credits ended that were predicted long ago, by the prediction log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from propensity.contract.features import COLUMNS, Features
from propensity.evaluation.client import EvaluationError
from propensity.evaluation.evaluation import Deployed
from propensity.evaluation.logged_predictions import files, values
from propensity.model.manifest import ModelCard

_NAMES = {"request_id", "row", "default"}


def answered(card: ModelCard, outcomes: Path, log: Path) -> Deployed:
    """What the model answered to the applications whose outcomes are known by now.

    Args:
        card: of the model; what others have answered is passed over.
        outcomes: CSV or Parquet with the columns `request_id` and `default`, and `row` where a request was a
            batch.
        log: folder of the prediction log.

    Raises:
        EvaluationError: one of them can't be read, or they have nothing in common.
    """
    known = _read(outcomes)
    written = files(log)
    if not written:
        raise EvaluationError(
            f"{log}: no predictions there; PROPENSITY_LOG_FOLDER names the folder of the log"
        )
    wanted = (pc.field("model") == card.tag) & pc.field("request_id").isin(known["request_id"].unique())
    try:
        parts = [_logged(pq.read_table(file, filters=wanted, partitioning=None)) for file in written]
    except (pa.ArrowException, OSError) as error:
        raise EvaluationError(f"{log}: {str(error).splitlines()[0]}") from error
    parts = [part for part in parts if len(part)] or parts[:1]
    # Fields may be left out, or be hashes, in a part of the log: those that it has throughout are read.
    common = [name for name in parts[0].column_names if all(name in part.column_names for part in parts)]
    logged = pa.concat_tables([part.select(common) for part in parts])
    joined = logged.filter(pc.field("propensity").is_valid()).join(
        known, ["request_id", "row"], join_type="inner"
    )
    defaults = joined["default"].to_numpy()
    if len({*defaults.tolist()}) != 2:  # noqa: PLR2004
        raise EvaluationError(
            f"{outcomes}: {len(joined):,} of its {len(known):,} outcomes belong to predictions of {card.tag}"
            f" in {log}; some must be defaults, and some not"
        )
    return Deployed(
        card,
        defaults,
        joined["propensity"].to_numpy(),
        _features(joined),
        f"of {len(known):,} outcomes that arrived later",
        is_holdout=False,
        faults=[*_threshold_faults(joined, card)],
    )


def _logged(table: pa.Table) -> pa.Table:
    """What is read of a file of the log, in types that are the same for all of them."""
    read = {
        "request_id": table["request_id"].cast(pa.string()),
        "row": table["row"].cast(pa.int32()),
        "propensity": table["propensity"].cast(pa.float64()),
        "decision": table["decision"].cast(pa.string()),
    }
    for name in COLUMNS:
        if (column := values(name, table)) is not None:
            read[name] = pa.chunked_array([pa.array(column, pa.float64())])
    return pa.table(read)


def _read(path: Path) -> pa.Table:
    """The outcomes: request id, row and default, none of them twice."""
    try:
        table = (
            pq.read_table(path)
            if path.suffix == ".parquet"
            else pyarrow.csv.read_csv(
                path,
                convert_options=pyarrow.csv.ConvertOptions(
                    strings_can_be_null=True,
                    column_types={"request_id": pa.string(), "row": pa.int32(), "default": pa.bool_()},
                ),
            )
        )
    except (pa.ArrowException, OSError) as error:
        raise EvaluationError(f"{path}: {str(error).splitlines()[0]}") from error
    if "row" not in table.column_names:
        table = table.append_column("row", pa.array(np.zeros(len(table), np.int32)))
    if not set(table.column_names) >= _NAMES:
        raise EvaluationError(
            f"{path}: needs the columns request_id and default; it has {table.column_names}"
        )
    try:
        table = pa.table(
            {
                "request_id": table["request_id"].cast(pa.string()),
                "row": table["row"].cast(pa.int32()),
                "default": table["default"].cast(pa.bool_()),
            }
        )
    except pa.ArrowException as error:
        raise EvaluationError(f"{path}: {str(error).splitlines()[0]}") from error
    if any(column.null_count for column in table.columns):
        raise EvaluationError(f"{path}: each outcome needs a request_id and a default that is true or false")
    if len(table.group_by(["request_id", "row"]).aggregate([])) < len(table):
        raise EvaluationError(f"{path}: names an application twice; say its outcome once")
    return table


def _features(logged: pa.Table) -> Features | None:
    """The applications; None where the log does not have all their fields."""
    if not set(COLUMNS) <= set(logged.column_names):
        return None
    return np.column_stack([logged[name].to_numpy() for name in COLUMNS])


def _threshold_faults(logged: pa.Table, card: ModelCard) -> list[str]:
    declined = logged["propensity"].to_numpy() >= card.threshold.value
    said = np.array(logged["decision"].to_pylist()) == "decline"
    wrong = int((declined != said).sum())
    return [f"{wrong:,} decisions in the log are not those of the threshold"] if wrong else []
