"""Later outcomes: those that arrive long after the prediction, joined with the prediction log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from propensity.contract.contract import Contract
from propensity.contract.features import Features
from propensity.evaluation.errors import EvaluationError
from propensity.evaluation.evaluation import DeployedPredictions
from propensity.evaluation.logged_predictions import read, values
from propensity.model.manifest import ModelCard, Target
from propensity.model.reference import free_name


def read_later_outcomes(card: ModelCard, outcomes: Path, log: Path) -> DeployedPredictions:
    """Return what the model predicted for the rows whose outcomes are known by now.

    Args:
        card: the card of the model; predictions of other models are ignored.
        outcomes: CSV or Parquet with the columns `request_id` and one that is called as the target, and `row`
            where a request was a batch. An outcome is true or false (whether the row belongs to the positive
            class), or one of the target's classes.
        log: folder of the prediction log.

    Raises:
        EvaluationError: one of them can't be read, or too few outcomes belong to predictions of the model.
    """
    known = _read_outcomes(outcomes, card.target)
    wanted = (pc.field("model") == card.tag) & pc.field("request_id").isin(known["request_id"].unique())
    parts = [_columns(table, card.contract) for table in read(log, wanted)]
    parts = [part for part in parts if len(part)] or parts[:1]
    # Some files may omit or hash a field: only fields that all files have are read.
    common = [name for name in parts[0].column_names if all(name in part.column_names for part in parts)]
    logged = pa.concat_tables([part.select(common) for part in parts])
    joined = logged.filter(pc.field("propensity").is_valid()).join(
        known, ["request_id", "row"], join_type="inner"
    )
    truth = joined["outcome"].to_numpy()
    if truth.all() or not truth.any():
        raise EvaluationError(
            f"{outcomes}: {len(joined):,} of its {len(known):,} outcomes belong to predictions of {card.tag}"
            f" in {log}; some must be positive, and some not"
        )
    return DeployedPredictions(
        card,
        truth,
        joined["propensity"].to_numpy(),
        _features(joined, card.contract),
        f"of {len(known):,} outcomes that arrived later",
        is_holdout=False,
        faults=_threshold_faults(joined, card),
    )


def _columns(table: pa.Table, contract: Contract) -> pa.Table:
    """Return the columns to read from a file of the log, with the same types for all files.

    Fields are called by their place, which no other column is.
    """
    columns = {
        "request_id": table["request_id"].cast(pa.string()),
        "row": table["row"].cast(pa.int32()),
        "propensity": table["propensity"].cast(pa.float64()),
        "decision": table["decision"].cast(pa.string()),
    }
    for place, field in enumerate(contract.columns.fields):
        if (column := values(field, table, contract)) is not None:
            columns[str(place)] = pa.chunked_array([pa.array(column, pa.float64())])
    return pa.table(columns)


def _read_outcomes(path: Path, target: Target) -> pa.Table:
    """Return the outcomes, one for each row: `request_id`, `row` and whether the `outcome` is positive."""
    name = free_name(target.name, {"request_id", "row"})
    # As texts: the reader of CSV would read a request id such as 007 as a number.
    options = pyarrow.csv.ConvertOptions(
        column_types={"request_id": pa.string(), "row": pa.int32(), name: pa.string()},
        strings_can_be_null=True,
    )
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            table = pyarrow.csv.read_csv(path, convert_options=options)
        if not {"request_id", name} <= set(table.column_names):
            raise EvaluationError(
                f"{path}: needs the columns request_id and {name}; it has {', '.join(table.column_names)}"
            )
        places = table["row"] if "row" in table.column_names else pa.array(np.zeros(len(table)))
        texts = table[name].cast(pa.string()).to_pylist()
        known = pa.table(
            {"request_id": table["request_id"].cast(pa.string()), "row": places.cast(pa.int32())}
        )
    except (pa.ArrowException, OSError) as error:
        raise EvaluationError(f"{path}: {str(error).splitlines()[0]}") from error
    if any(column.null_count for column in known.columns):
        raise EvaluationError(f"{path}: each outcome needs a request_id, and a row if one has it")
    if len(known.group_by(["request_id", "row"]).aggregate([])) < len(known):
        raise EvaluationError(f"{path}: has two outcomes of one request_id and row; state each once")
    outcomes = [_is_positive(text, target) for text in texts]
    if None in outcomes:
        raise EvaluationError(
            f"{path}: {name} is {texts[outcomes.index(None)]!r}; it must be true or false, or"
            f" {target.positive} or {target.negative}"
        )
    return known.append_column("outcome", pa.array(outcomes, pa.bool_()))


def _is_positive(text: str | None, target: Target) -> bool | None:
    """Return whether an outcome is the positive class; None if it is neither class."""
    if text in {target.positive, target.negative}:
        return text == target.positive
    return {"true": True, "false": False}.get((text or "").lower())


def _features(logged: pa.Table, contract: Contract) -> Features | None:
    """Return the features of the rows; None if the log does not have all of their fields."""
    places = [str(place) for place in range(len(contract.columns.fields))]
    if not set(places) <= set(logged.column_names):
        return None
    return np.column_stack([logged[place].to_numpy() for place in places])


def _threshold_faults(logged: pa.Table, card: ModelCard) -> list[str]:
    reached = logged["propensity"].to_numpy() >= card.threshold.value
    selected = np.array(logged["decision"].to_pylist()) == card.contract.decisions.positive
    wrong = int((reached != selected).sum())
    return [f"{wrong:,} decisions in the log are not those of the threshold"] if wrong else []
